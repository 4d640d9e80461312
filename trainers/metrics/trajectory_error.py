"""Absolute trajectory error: how far camera centres are from the true ones, after the best alignment of the whole."""

import math
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from igep.trainers.geometry.similarity_alignment import Similarity, align_points
from igep.trainers.metrics.pose_auc import posed_cameras


FEWEST_CAMERAS = 3  # two always lie on two after a similarity
DESCRIPTION = """Scores the camera centres of videos against the true ones: root mean square distance per video,
then the mean over videos.

Three alignments: by the best similarity (Sim(3), as for monocular video of unknown scale), by the best rigid transform
(SE(3), which judges the scale too), both after Umeyama on all centres; and by the first camera alone, as a model gives
its poses.
"""
CITATION = (
    "Sturm et al., A Benchmark for the Evaluation of RGB-D SLAM Systems, 2012; Umeyama, Least-Squares Estimation of "
    "Transformation Parameters Between Two Point Patterns, 1991."
)
INPUTS = """
Args:
    predictions (`list[list]`): Of each video F poses `world_from_camera`, 4 x 4, in metres and any world.
    references (`list[list]`): Likewise, the truth.

Returns:
    `ate_sim3_metres`, `ate_se3_metres`, `ate_first_camera_metres`: means over the scored videos.
    `scale_error`: median over them of max(s, 1/s) - 1, where s is the scale of the similarity: 0 = metric.
    `too_short`: videos of fewer than three frames, which say nothing. `unusable`: videos with a predicted pose that is
        none: they are not in the means, and counted.
    `count`: scored videos.
"""


def trajectory_scores(predictions: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> dict[str, float]:
    """Scores trajectories; see `INPUTS`.

    Args:
        predictions (`Sequence[np.ndarray]`): (F, 4, 4) `world_from_camera` of each video.
        references (`Sequence[np.ndarray]`): Likewise.

    Returns:
        `dict[str, float]`: The errors are NaN where no video could be scored.

    Raises:
        ValueError: Nothing to score, other numbers of frames than are true, or a true pose that is none.
    """
    if not len(references):
        raise ValueError("references is empty: there is nothing to score.")
    errors: list[tuple[float, float, float]] = []
    scales: list[float] = []
    too_short = unusable = 0
    for predicted, true in zip(predictions, references, strict=True):
        cameras, true_cameras = posed_cameras(predicted, true)
        if len(true_cameras) < FEWEST_CAMERAS:
            too_short += 1
            continue
        found = [camera for camera in cameras if camera is not None]
        if len(found) < len(cameras):
            unusable += 1
            continue
        centres, true_centres = (np.stack(poses)[:, :3, 3] for poses in (found, true_cameras))
        similarity = align_points(centres, true_centres, with_scale=True)
        rigid = align_points(centres, true_centres, with_scale=False)
        first = true_cameras[0] @ np.linalg.inv(found[0])
        by_first = Similarity(1.0, first[:3, :3], first[:3, 3])
        errors.append(tuple(_rms(fit.apply(centres), true_centres) for fit in (similarity, rigid, by_first)))
        scales.append(max(similarity.scale, 1 / similarity.scale) - 1 if similarity.scale > 0 else math.inf)
    names = ("ate_sim3_metres", "ate_se3_metres", "ate_first_camera_metres")
    means = np.mean(errors, axis=0).tolist() if errors else [math.nan] * 3
    return {
        **dict(zip(names, means, strict=True)),
        "scale_error": float(np.median(scales)) if scales else math.nan,
        "too_short": too_short,
        "unusable": unusable,
        "count": len(errors),
    }


def _rms(points: np.ndarray, others: np.ndarray) -> float:
    return float(np.sqrt(np.square(points - others).sum(-1).mean()))


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class TrajectoryError(evaluate.Metric):
    """`trajectory_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        poses = datasets.List(datasets.List(datasets.List(datasets.Value("float64"))))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": poses, "references": poses}),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, float]:
        return trajectory_scores(predictions, references)
