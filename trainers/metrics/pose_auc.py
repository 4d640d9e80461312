"""Camera poses of a video: area under the accuracy curve of the relative poses of all pairs of frames."""

import math
from collections.abc import Sequence
from itertools import combinations

import datasets
import evaluate
import numpy as np

from igep.trainers.geometry.camera_angles import checked_rotation, direction_angle_degrees, rotation_angle_degrees
from igep.trainers.metrics.camera_pose import AUC_DEGREES, pose_auc
from igep.trainers.metrics.sample_pairs import check_protocol


PROTOCOLS = ("peer", "standard")
NO_BASELINE_METRES = 1e-6  # two cameras nearer than this stand at one place
DESCRIPTION = """Scores the camera poses of videos by the relative poses of all pairs of frames,
whatever the world and the scale.

The error of a pair is the larger of two angles, that between the rotations and that between the directions of the
translations.
`protocol="peer"` is the evaluation of VGGT (`evaluation/test_co3d.py`): a direction and its opposite count as the
same, and a true pair that stands at one place has an error of 90 degrees, whatever was predicted.
`protocol="standard"` takes directions as they are; a true pair that stands at one place has no direction and is judged
by its rotation alone; cameras that are predicted at one place and stand apart are infinitely wrong.
"""
CITATION = "Wang et al., VGGT: Visual Geometry Grounded Transformer, 2025 (arXiv 2503.11651)."
INPUTS = """
Args:
    predictions (`list[list]`): Of each video F poses `world_from_camera`, 4 x 4; any world, any scale. A pose that is
        not finite or does not rotate makes every pair with it infinitely wrong.
    references (`list[list]`): Likewise, the truth.
    protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.

Returns:
    `auc_5`, `auc_10`, `auc_30`: mean over whole degrees up to 5, 10 and 30 of the share of pairs with a smaller error,
    in [0, 1].
    `rotation_error_degrees`, `translation_direction_error_degrees`: medians over the pairs for which they are known.
    `unusable`: predicted poses that are none. `without_baseline`: true pairs that stand at one place.
    `count`: pairs of all videos.
"""


def pose_auc_scores(
    predictions: Sequence[np.ndarray], references: Sequence[np.ndarray], protocol: str = "standard"
) -> dict[str, float]:
    """Scores poses; see `INPUTS`.

    Args:
        predictions (`Sequence[np.ndarray]`): (F, 4, 4) `world_from_camera` of each video.
        references (`Sequence[np.ndarray]`): Likewise.
        protocol (`str`, *optional*, defaults to `"standard"`): `peer` or `standard`.

    Returns:
        `dict[str, float]`: The medians are NaN where no pair has such an error.

    Raises:
        ValueError: Nothing to score, an unknown protocol, other numbers of frames than are true, or a true pose that
            is none.
    """
    check_protocol(protocol, PROTOCOLS)
    errors: list[float] = []
    rotations: list[float] = []
    directions: list[float] = []
    unusable = without_baseline = 0
    for predicted, true in zip(predictions, references, strict=True):
        cameras, true_cameras = posed_cameras(predicted, true)
        unusable += sum(camera is None for camera in cameras)
        for first, second in combinations(range(len(true_cameras)), 2):
            true_pair = _relative(true_cameras[first], true_cameras[second])
            stands = np.linalg.norm(true_pair[:3, 3]) < NO_BASELINE_METRES
            without_baseline += bool(stands)
            if cameras[first] is None or cameras[second] is None:
                errors.append(math.inf)
                continue
            pair = _relative(cameras[first], cameras[second])
            rotation = rotation_angle_degrees(true_pair[:3, :3].T @ pair[:3, :3])
            rotations.append(rotation)
            if stands:
                errors.append(max(rotation, 90.0) if protocol == "peer" else rotation)
                continue
            if not pair[:3, 3].any():
                errors.append(max(rotation, 90.0) if protocol == "peer" else math.inf)
                continue
            direction = direction_angle_degrees(pair[:3, 3], true_pair[:3, 3])
            if protocol == "peer":
                direction = min(direction, 180 - direction)
            directions.append(direction)
            errors.append(max(rotation, direction))
    if not errors:
        raise ValueError(
            "references holds no pair of frames: there is nothing to score. Give videos of two or more frames."
        )
    return {
        **{f"auc_{degrees}": pose_auc(errors, degrees) for degrees in AUC_DEGREES},
        "rotation_error_degrees": float(np.median(rotations)) if rotations else math.nan,
        "translation_direction_error_degrees": float(np.median(directions)) if directions else math.nan,
        "unusable": unusable,
        "without_baseline": without_baseline,
        "count": len(errors),
    }


def posed_cameras(predicted: np.ndarray, true: np.ndarray) -> tuple[list[np.ndarray | None], list[np.ndarray]]:
    """The poses of one video, predicted and true, their rotation parts the nearest rotations.

    Args:
        predicted (`np.ndarray`): (F, 4, 4) `world_from_camera`.
        true (`np.ndarray`): (F, 4, 4).

    Returns:
        `tuple[list, list]`: F poses each, (4, 4) float64; a predicted one is `None` where it is not finite or does not
        rotate.

    Raises:
        ValueError: Other shapes, or a true pose that is none.
    """
    predicted, true = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if true.ndim != 3 or true.shape[1:] != (4, 4) or predicted.shape != true.shape:
        raise ValueError(
            f"predictions {predicted.shape} and references {true.shape} of a video must both be (F, 4, 4): give every "
            "frame one pose."
        )
    cameras = [_nearest_pose(pose) for pose in true]
    number = next((place for place, camera in enumerate(cameras) if camera is None), None)
    if number is not None:
        raise ValueError(
            f"references: the pose of frame {number} is {true[number].tolist()}, which is no pose: leave the frame "
            "out."
        )
    return [_nearest_pose(pose) for pose in predicted], cameras


def _nearest_pose(pose: np.ndarray) -> np.ndarray | None:
    if not np.isfinite(pose).all():
        return None
    try:
        rotation = checked_rotation(pose)
    except ValueError:
        return None
    nearest = pose.copy()
    nearest[:3, :3] = rotation
    return nearest


def _relative(world_from_first: np.ndarray, world_from_second: np.ndarray) -> np.ndarray:
    """(4, 4) `first_from_second`."""
    inverse = np.eye(4)
    inverse[:3, :3] = world_from_first[:3, :3].T
    inverse[:3, 3] = -world_from_first[:3, :3].T @ world_from_first[:3, 3]
    return inverse @ world_from_second


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class PoseAUC(evaluate.Metric):
    """`pose_auc_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        poses = datasets.List(datasets.List(datasets.List(datasets.Value("float64"))))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": poses, "references": poses}),
        )

    def _compute(self, predictions: list, references: list, protocol: str = "standard") -> dict[str, float]:
        return pose_auc_scores(predictions, references, protocol)
