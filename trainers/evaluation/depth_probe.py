"""How much depth can be read linearly from a vision encoder: ridge regression from tokens to the depth beneath them.

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
        `dict[str, float]`: See `score_depth`.
    """
    known = np.isfinite(depth_metres)
    return score_depth(probe.predict_metres(features[known].astype(np.float64)), depth_metres[known])


def score_depth(predicted_metres: np.ndarray, depth_metres: np.ndarray) -> dict[str, float]:
    """R2 of log depth and delta_1 of a prediction.

    Args:
        predicted_metres (`np.ndarray`): (...) predicted depth.
        depth_metres (`np.ndarray`): (...) true depth; NaN is left out.

    Returns:
        `dict[str, float]`: `r2` of log depth and `delta_1`, the share of tokens within a ratio below 1.25.
    """
    known = np.isfinite(depth_metres)
    predicted, truth = predicted_metres[known], depth_metres[known].astype(np.float64)
    error, spread = np.log(predicted / truth), np.log(truth) - np.log(truth).mean()
    ratio = np.maximum(predicted / truth, truth / predicted)
    return {"r2": float(1 - (error**2).sum() / (spread**2).sum()), "delta_1": float((ratio < 1.25).mean())}


def depth_by_place(depth_metres: np.ndarray) -> np.ndarray:
    """The best guess of depth from a token's place in the image alone: the geometric mean of all frames there.

    Args:
        depth_metres (`np.ndarray`): (frames, h, w) depth of each token; NaN is left out.

    Returns:
        `np.ndarray`: (h, w) depth in metres.

    Raises:
        ValueError: No frame has depth at some place.
    """
    known = np.isfinite(depth_metres)
    if not known.any(0).all():
        raise ValueError(f"{(~known.any(0)).sum()} places have depth in no frame: use more frames")
    return np.exp(np.nanmean(np.log(depth_metres.astype(np.float64)), axis=0))


def score_relative_depth(
    predicted_metres: np.ndarray, depth_metres: np.ndarray, pairs_per_frame: int = 32, seed: int = 0
) -> dict[str, float]:
    """What a prediction knows of depth inside each frame, which no constant and no constant per frame does.

    Args:
        predicted_metres (`np.ndarray`): (..., h, w) predicted depth under each token.
        depth_metres (`np.ndarray`): (..., h, w) true depth; NaN is left out.
        pairs_per_frame (`int`, *optional*, defaults to `32`): Pairs of tokens that are drawn in a frame.
        seed (`int`, *optional*, defaults to `0`): Draws them.

    Returns:
        `dict[str, float]`: `within_frame_r2` of log depth, each frame's mean taken out of both; `order`, the share of
        pairs whose nearer token is told, among those whose depths are at least 5 % apart (a tie of the prediction
        counts half; chance is .5); and `pairs`, how many these are.

    Raises:
        ValueError: There is no frame with two tokens of known depth.
    """
    grid = depth_metres.shape[-2] * depth_metres.shape[-1]
    truth = np.log(depth_metres.reshape(-1, grid).astype(np.float64))
    predicted = np.log(predicted_metres.reshape(-1, grid).astype(np.float64))
    known = np.isfinite(truth)
    frames = known.sum(1) >= 2
    if not frames.any():
        raise ValueError("no frame has two tokens of known depth: there is no order to tell.")
    error = spread = agreeing = pairs = 0.0
    rng = np.random.default_rng(seed)
    for seen, real, guess in zip(known[frames], truth[frames], predicted[frames], strict=True):
        real, guess = real[seen], guess[seen]
        guess_apart, real_apart = guess - guess.mean(), real - real.mean()
        error += float(((guess_apart - real_apart) ** 2).sum())
        spread += float((real_apart**2).sum())
        first, second = rng.integers(len(real), size=(2, pairs_per_frame))
        apart = real[first] - real[second]
        clear = np.abs(apart) >= np.log(1.05)
        same_sign = np.sign(guess[first] - guess[second])[clear] * np.sign(apart)[clear]
        agreeing += float(((same_sign + 1) / 2).sum())
        pairs += int(clear.sum())
    if not spread or not pairs:
        raise ValueError("no frame has tokens of different depth: there is no order to tell.")
    return {"within_frame_r2": 1 - error / spread, "order": agreeing / pairs, "pairs": int(pairs)}
