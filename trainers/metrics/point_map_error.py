"""Point maps of a video: how far each pixel's point is from the true one, as predicted and at the best scale."""

import math
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np
from scipy.spatial import cKDTree

from igep.trainers.geometry.similarity_alignment import align_points


NAMES = (
    "point_error_metres",
    "point_error_scaled_metres",
    "point_error_sim3_metres",
    "relative_point_error",
    "relative_point_error_scaled",
    "accuracy_metres",
    "completeness_metres",
    "chamfer_metres",
)
DESCRIPTION = """Scores points that pixels of a video were predicted to see, in the world of its first camera.

`metric`: as predicted. `scaled`: after one scale for the whole video, the least squares of the distances relative to
how far the true points are from the first camera. `sim3`: after the best similarity (Umeyama). Then also as clouds, as
VGGT's evaluation has it: `accuracy` is the mean distance from a predicted point to the nearest true one,
`completeness` that from a true point to the nearest predicted one.
"""
CITATION = "Wang et al., VGGT: Visual Geometry Grounded Transformer, 2025 (arXiv 2503.11651)."
INPUTS = """
Args:
    predictions (`list[list]`): Of each video N points, three numbers in metres.
    references (`list[list]`): The true points of the same pixels, in the same order.

Returns:
    `point_error_metres`: mean distance over the points of a video, then mean over videos; `point_error_scaled_metres`
        and `point_error_sim3_metres` likewise after alignment.
    `relative_point_error`, `relative_point_error_scaled`: likewise, each distance divided by that of the true point
        from the first camera.
    `accuracy_metres`, `completeness_metres`, `chamfer_metres`: of the clouds after `sim3`; the last is their mean.
    `unusable`: predicted points that are not finite, which are left out of the means. `count`: points that were
    scored.
"""


def point_map_scores(predictions: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> dict[str, float]:
    """Scores point maps; see `INPUTS`.

    Args:
        predictions (`Sequence[np.ndarray]`): (N, 3) of each video.
        references (`Sequence[np.ndarray]`): Likewise, finite and away from the first camera's centre.

    Returns:
        `dict[str, float]`: The errors are NaN where no point is finite.

    Raises:
        ValueError: Nothing to score, other numbers of points than are true, or a true point that cannot be.
    """
    errors: list[dict[str, float]] = []
    unusable = count = 0
    for predicted, true in zip(predictions, references, strict=True):
        predicted, true = _checked(predicted, true)
        finite = np.isfinite(predicted).all(-1)
        unusable += int((~finite).sum())
        count += int(finite.sum())
        if finite.any():
            errors.append(_errors_of_video(predicted[finite], true[finite]))
    if not unusable + count:
        raise ValueError("references holds no point: there is nothing to score.")
    means = {name: float(np.mean([one[name] for one in errors])) if errors else math.nan for name in NAMES}
    return {**means, "unusable": unusable, "count": count}


def _errors_of_video(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    far = np.linalg.norm(true, axis=-1)
    scaled = _best_scale(predicted, true) * predicted
    aligned = align_points(predicted, true, with_scale=True).apply(predicted)
    distance, distance_scaled, distance_sim3 = (
        np.linalg.norm(points - true, axis=-1) for points in (predicted, scaled, aligned)
    )
    accuracy = float(cKDTree(true).query(aligned)[0].mean())
    completeness = float(cKDTree(aligned).query(true)[0].mean())
    found = (
        *(float(one.mean()) for one in (distance, distance_scaled, distance_sim3)),
        *(float((one / far).mean()) for one in (distance, distance_scaled)),
        *(accuracy, completeness, (accuracy + completeness) / 2),
    )
    return dict(zip(NAMES, found, strict=True))


def _best_scale(predicted: np.ndarray, true: np.ndarray) -> float:
    """The s of least sum of |s p - t|^2 / |t|^2."""
    weights = 1 / np.square(true).sum(-1)
    spread = (weights * np.square(predicted).sum(-1)).sum()
    return float((weights * (predicted * true).sum(-1)).sum() / spread) if spread > 0 else 0.0


def _checked(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted = np.asarray(predicted, dtype=np.float64).reshape(-1, 3)
    true = np.asarray(true, dtype=np.float64).reshape(-1, 3)
    if predicted.shape != true.shape:
        raise ValueError(
            f"predictions has {len(predicted)} points of a video and references {len(true)}: give each pixel one of "
            "both."
        )
    wrong = ~np.isfinite(true).all(-1) | ~true.any(-1)
    if wrong.any():
        raise ValueError(
            f"references holds {true[wrong][0].tolist()}: true points are finite and not the first camera's centre; "
            "leave the pixel out."
        )
    return predicted, true


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class PointMapError(evaluate.Metric):
    """`point_map_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        points = datasets.List(datasets.List(datasets.Value("float64")))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": points, "references": points}),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, float]:
        return point_map_scores(predictions, references)
