"""From predicted and true geometry of scenes to figures; whatever is missing or broken is counted."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from igep.camera_geometry import transform_points, unproject
from igep.trainers.metrics.figure import SHARE, Figure, Scale, error_scale
from igep.trainers.metrics.metric_depth import aligned_depth_scores
from igep.trainers.metrics.point_map_error import point_map_scores
from igep.trainers.metrics.pose_auc import PROTOCOLS, pose_auc_scores
from igep.trainers.metrics.trajectory_error import FEWEST_CAMERAS, trajectory_scores


METRES, RATIO, DEGREES = error_scale("metres"), error_scale("ratio"), error_scale("degrees")
ALIGNED = {"metric": "none", "median_scale": "median", "least_squares_scale": "least_squares"}
UNREADABLE = "prediction that is no reconstruction of these frames"


@dataclass(frozen=True)
class Geometry:
    """Of one video, true or predicted.

    Args:
        depth_metres (`np.ndarray`, *optional*): (F, h, w); 0 = none, -1 = not seen.
        intrinsics (`np.ndarray`, *optional*): (F, 3, 3) in pixels of h x w.
        world_from_camera (`np.ndarray`, *optional*): (F, 4, 4); the first is the world.
    """

    depth_metres: np.ndarray | None
    intrinsics: np.ndarray | None
    world_from_camera: np.ndarray | None

    @property
    def points_metres(self) -> np.ndarray:
        """(F, h, w, 3) in the world of the first camera; without meaning where there is no depth."""
        depth, intrinsics, poses = (torch.from_numpy(value) for value in vars(self).values())
        return transform_points(poses, unproject(depth, intrinsics)).numpy()

    @property
    def has_points(self) -> bool:
        """Whether there is all that points take."""
        return all(value is not None for value in vars(self).values())


def read_geometry(stored: dict[str, Any], frames: int, grid: tuple[int, int]) -> Geometry:
    """Reads what `as_prediction` wrote.

    Args:
        stored (`dict`): Parsed JSON.
        frames (`int`): F.
        grid (`tuple[int, int]`): Rows and columns of the depth.

    Returns:
        `Geometry`

    Raises:
        ValueError: It is something else.
    """
    shapes = {"depth_metres": (frames, *grid), "intrinsics": (frames, 3, 3), "world_from_camera": (frames, 4, 4)}
    found = {}
    try:
        for name, shape in shapes.items():
            value = None if stored[name] is None else np.array(stored[name], dtype=np.float64)
            if value is not None and value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape} and not {shape}")
            found[name] = value
    except (KeyError, TypeError) as error:
        raise ValueError(f"no geometry: {error!r}") from error
    return Geometry(**found)


def reconstruction_figures(
    rows: Sequence[dict[str, Any]], grid: tuple[int, int]
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Scores reconstructions.

    A prediction that is missing or cannot be read is wrong in everything that others were predicted of: infinitely
    wrong poses, depth outside of delta_1; errors that are means of lengths are over what was predicted. Figures of
    what no prediction has, such as the cameras of a model that predicts depth alone, are left out.

    Args:
        rows (`Sequence[dict]`): Rows of `QuestionGroup.row`.
        grid (`tuple[int, int]`): Rows and columns of the depth.

    Returns:
        `tuple[dict[str, Figure], dict]`: Figures, and what was counted.
    """
    pairs, unreadable, missing = [], 0, 0
    for row in rows:
        true = _true_geometry(row["reference"], grid)
        predicted = None
        if row["prediction"] is None:
            missing += 1
        else:
            try:
                predicted = read_geometry(json.loads(row["prediction"]), _frames(row["reference"]), grid)
            except ValueError:
                unreadable += 1
        pairs.append((predicted, true))
    facts: dict[str, Any] = {
        "missing": missing,
        "failures": {UNREADABLE: unreadable} if unreadable else {},
        "scenes_without_depth": sum(true.depth_metres is None for _, true in pairs),
        "scenes_without_poses": sum(true.world_from_camera is None for _, true in pairs),
    }
    figures: dict[str, Figure] = {}
    for score in (_depth, _poses, _paths, _points):
        more, counted = score(pairs)
        figures |= more
        facts |= counted
    return figures, facts


Pairs = Sequence[tuple[Geometry | None, Geometry]]
Scored = tuple[dict[str, Figure], dict[str, Any]]


def _depth(pairs: Pairs) -> Scored:
    scored = _having(pairs, lambda one: one.depth_metres is not None)
    found: dict[str, list[float]] = {}
    pixels = not_seen = 0
    for predicted, true in scored:
        depth = np.zeros_like(true.depth_metres) if predicted is None else predicted.depth_metres
        measured = true.depth_metres > 0
        not_seen += int((measured & (depth < 0)).sum())
        compared = measured & (depth >= 0)
        pixels += int(compared.sum())
        if not compared.any():
            continue
        for name, alignment in ALIGNED.items():
            scores = aligned_depth_scores(depth[compared].tolist(), true.depth_metres[compared].tolist(), alignment)
            for figure in ("abs_rel", "delta_1"):
                found.setdefault(f"depth_{figure}, {name}", []).append(scores[figure])
    scales = {name: RATIO if "abs_rel" in name else SHARE for name in found}
    figures = {name: Figure.measured(_mean(values), pixels, scales[name]) for name, values in found.items()}
    return figures, {"pixels_not_seen": not_seen} if figures else {}


def _poses(pairs: Pairs) -> Scored:
    scored = [pair for pair in _having(pairs, _has_poses) if len(pair[1].world_from_camera) > 1]
    if not scored:
        return {}, {}
    figures, facts = {}, {}
    for protocol in PROTOCOLS:
        scores = pose_auc_scores(*_cameras(scored), protocol)
        pairs_of_frames = int(scores["count"])
        for name in ("auc_5", "auc_10", "auc_30"):
            figures[f"{name}, {protocol}"] = Figure(scores[name], pairs_of_frames, SHARE)
    for name in ("rotation_error_degrees", "translation_direction_error_degrees"):
        figures[name] = Figure.measured(scores[name], pairs_of_frames, DEGREES)
    facts |= {"unusable_poses": scores["unusable"], "pairs_without_baseline": scores["without_baseline"]}
    return figures, facts


def _paths(pairs: Pairs) -> Scored:
    scored = _having(pairs, _has_poses)
    if not any(len(true.world_from_camera) >= FEWEST_CAMERAS for _, true in scored):
        return {}, {}
    scores = trajectory_scores(*_cameras(scored))
    count = int(scores["count"])
    scales: dict[str, Scale] = {
        **dict.fromkeys(("ate_sim3_metres", "ate_se3_metres", "ate_first_camera_metres"), METRES),
        "scale_error": RATIO,
    }
    # The scale of a camera that was predicted to stand still is no number.
    finite = {name: scores[name] if math.isfinite(scores[name]) else math.nan for name in scales}
    figures = {name: Figure.measured(finite[name], count, scale) for name, scale in scales.items()}
    return figures, {"paths_not_scored": int(scores["too_short"] + scores["unusable"])}


def _points(pairs: Pairs) -> Scored:
    scored = [pair for pair in _having(pairs, lambda one: one.has_points) if pair[0] is not None]
    predicted_points, true_points = [], []
    for predicted, true in scored:
        compared = (true.depth_metres > 0) & (predicted.depth_metres > 0)
        predicted_points.append(predicted.points_metres[compared])
        true_points.append(true.points_metres[compared])
    if not any(map(len, true_points)):
        return {}, {}
    scores = point_map_scores(predicted_points, true_points)
    count = int(scores.pop("count"))
    unusable = int(scores.pop("unusable"))
    figures = {
        name: Figure.measured(value, count, RATIO if name.startswith("relative") else METRES)
        for name, value in scores.items()
    }
    return figures, {"unusable_points": unusable}


def _having(pairs: Pairs, has: Callable[[Geometry], bool]) -> Pairs:
    """The pairs whose truth has something, if any prediction has it; a prediction without it counts as none."""
    if not any(predicted is not None and has(predicted) for predicted, _ in pairs):
        return []
    return [
        (predicted if predicted is not None and has(predicted) else None, true)
        for predicted, true in pairs
        if has(true)
    ]


def _has_poses(one: Geometry) -> bool:
    return one.world_from_camera is not None


def _cameras(pairs: Pairs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predicted poses, NaN where there are none, and the true ones."""
    true = [each.world_from_camera for _, each in pairs]
    predicted = [
        np.full_like(poses, np.nan) if each is None else each.world_from_camera
        for (each, _), poses in zip(pairs, true, strict=True)
    ]
    return predicted, true


def _frames(stored: dict[str, Any]) -> int:
    return len(next(value for value in stored.values() if value is not None))


def _true_geometry(stored: dict[str, Any], grid: tuple[int, int]) -> Geometry:
    return read_geometry(stored, _frames(stored), grid)


def _mean(values: Sequence[float]) -> float:
    """Over what was measured."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
