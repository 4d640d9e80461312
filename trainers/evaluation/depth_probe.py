"""How much depth can be read linearly from a vision encoder: ridge regression from its tokens to the depth beneath them.

The probe is fitted on the *saved* model, after training, so it measures what geometry supervision left in the encoder
and not what a trained head can decode. Log depth is regressed: a relative error then weighs the same near and far.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg


@dataclass(frozen=True)
class DepthProbe:
    """A fitted linear map from standardised token features to log depth.

    Args:
        mean (`np.ndarray`), scale (`np.ndarray`): (C,) standardisation of the features.
        weights (`np.ndarray`): (C,) linear map.
        intercept (`float`): Mean log depth of the fitted tokens.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float

    def predict_metres(self, features: np.ndarray) -> np.ndarray:
        """(..., C) token features -> (...) depth in metres."""
        return np.exp((features - self.mean) / self.scale @ self.weights + self.intercept)


def token_depth(depth_metres: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Geometric mean depth under each token of a feature grid.

    Args:
        depth_metres (`np.ndarray`): (..., H, W); zero or non-finite = invalid. H and W are multiples of the grid.
        grid (`tuple[int, int]`): (h, w) of the feature map.

    Returns:
        `np.ndarray`: (..., h, w), NaN where a token covers no valid pixel.
    """
    height, width = depth_metres.shape[-2:]
    rows, columns = grid
    if height % rows or width % columns:
        raise ValueError(
            f"depth of {height} x {width} does not divide into a {rows} x {columns} grid: resize it first"
        )
    cells = depth_metres.reshape(*depth_metres.shape[:-2], rows, height // rows, columns, width // columns)
    valid = np.isfinite(cells) & (cells > 0)
    logs = np.log(np.where(valid, cells, 1.0)).sum((-3, -1))
    count = valid.sum((-3, -1))
    return np.where(count > 0, np.exp(logs / np.maximum(count, 1)), np.nan)


def fit_depth_probe(features: np.ndarray, depth_metres: np.ndarray, penalty: float = 10.0) -> DepthProbe:
    """Ridge regression in closed form.

    Args:
        features (`np.ndarray`): (N, C) encoder tokens.
        depth_metres (`np.ndarray`): (N,) depth beneath each; tokens with NaN are left out.
        penalty (`float`, *optional*, defaults to `10.0`): L2 penalty on the weights of standardised features.

    Returns:
        `DepthProbe`
    """
    known = np.isfinite(depth_metres)
    if known.sum() <= features.shape[1]:
        raise ValueError(f"{known.sum()} tokens with depth cannot fit {features.shape[1]} weights: use more frames")
    x = features[known].astype(np.float64)
    y = np.log(depth_metres[known].astype(np.float64))
    mean, scale = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / scale
    gram = x.T @ x + penalty * np.eye(x.shape[1])
    weights = linalg.solve(gram, x.T @ (y - y.mean()), assume_a="pos")
    return DepthProbe(mean, scale, weights, float(y.mean()))


def score_depth_probe(probe: DepthProbe, features: np.ndarray, depth_metres: np.ndarray) -> dict[str, float]:
    """R2 of log depth and delta_1 on held-out tokens.

    Args:
        probe (`DepthProbe`): Fitted on other scenes.
        features (`np.ndarray`): (N, C).
        depth_metres (`np.ndarray`): (N,); NaN is left out.

    Returns:
        `dict[str, float]`: `r2` of log depth and `delta_1`, the share of tokens within a ratio below 1.25.
    """
    known = np.isfinite(depth_metres)
    truth = depth_metres[known].astype(np.float64)
    predicted = probe.predict_metres(features[known].astype(np.float64))
    error, spread = np.log(predicted / truth), np.log(truth) - np.log(truth).mean()
    ratio = np.maximum(predicted / truth, truth / predicted)
    return {"r2": float(1 - (error**2).sum() / (spread**2).sum()), "delta_1": float((ratio < 1.25).mean())}
