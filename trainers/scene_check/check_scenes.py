"""Verify the geometry of posed RGB-D scenes before training: do depth, poses, cameras and colours agree?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from datasets import Dataset
from tqdm import tqdm

from igep.trainers.data.scannet import read_scene_folder, scene_folders
from igep.trainers.data.scenes.scene_validation import ValidScene, validate_scene
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.scene_check.compare_geometries import MIN_OVERLAP
from igep.trainers.scene_check.judge_colour import judge_colour
from igep.trainers.scene_check.judge_depth import DepthJudgement, judge_depth
from igep.trainers.scene_check.scene_views import read_scene_views


Verdict = Literal["ok", "not testable", "suspicious", "wrong"]
MAX_NAMES = 10
VERDICTS: tuple[Verdict, ...] = ("ok", "not testable", "suspicious", "wrong")  # the worst last


@dataclass(frozen=True)
class SceneReport:
    """What the check says about a scene.

    Args:
        scene_id (`str`): The scene.
        num_frames (`int`): Frames that were compared; 0 where none could be.
        verdict (`str`): One of `VERDICTS`.
        reason (`str`): Why, with the likely mistake; empty for a scene that is ok.
        not_testable (`tuple[str, ...]`): Kinds of mistakes that this scene cannot show.
        near_error (`float`): Median over neighbouring frames of the mean relative error of carried depth, each at most
            5 %.
        far_error (`float`): The same over pairs that are farther apart and share at least 30 % of what they see.
        reachable_error (`float`): The same over all of these, if each pair had the best pose of its own.
        colour_agreement (`float`): Mean correlation of colours at points that both frames see.
        pictured (`tuple[int, int] | None`): Two stored frames for the picture.
        row (`dict | None`): The scene's row, for the picture; `None` when it could not be read.
    """

    scene_id: str
    num_frames: int
    verdict: Verdict
    reason: str
    not_testable: tuple[str, ...] = ()
    near_error: float = float("nan")
    far_error: float = float("nan")
    reachable_error: float = float("nan")
    colour_agreement: float = float("nan")
    pictured: tuple[int, int] | None = None
    row: dict | None = field(default=None, repr=False)


def check_folder(
    root: str | Path,
    *,
    frame_stride: int = 1,
    metres_per_depth_unit: float | None = None,
    depth_kind: str = "z",
) -> list[SceneReport]:
    """Check a ScanNet-like scene folder or a folder of them; a scene that cannot be read is reported as wrong.

    Args:
        root (`str | Path`): See `scannet.load_scannet`.
        frame_stride (`int`, *optional*, defaults to `1`): As training reads it: every n-th frame.
        metres_per_depth_unit (`float`, *optional*): As training reads it: by default 0.001 for whole numbers and 1 for
            floating-point depth.
        depth_kind (`str`, *optional*, defaults to `"z"`): As training reads it.

    Returns:
        `list[SceneReport]`: One per scene.

    Raises:
        SpatialDataError: No scene at `root`.
        ValueError: `frame_stride` below 1.
    """
    if frame_stride < 1:
        raise ValueError(f"frame_stride={frame_stride}: give 1 or more.")
    reports = []
    for folder in _progress(scene_folders(root)):
        try:
            row = read_scene_folder(folder, frame_stride, metres_per_depth_unit, depth_kind)
        except SpatialDataError as error:
            reports.append(SceneReport(folder.name, 0, "wrong", str(error)))
            continue
        reports.append(check_scene(row))
    return reports


def check_scenes(scenes: Dataset) -> list[SceneReport]:
    """Check every row of a scenes table.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.

    Returns:
        `list[SceneReport]`: One per scene.
    """
    rows = scenes.with_format("arrow")
    return [check_scene(rows[row].to_pylist()[0]) for row in _progress(range(len(scenes)))]


def check_scene(row: dict) -> SceneReport:
    """Check one scene: decode all images, carry depth and colour between frames, and look for what explains an error.

    Args:
        row (`dict`): Row of a table with `SCENE_FEATURES`, its images decoded or not.

    Returns:
        `SceneReport`: The verdict. Data that cannot be read makes it `"wrong"`.
    """
    try:
        scene = validate_scene(row)
        missing = _missing(scene)
        if missing:
            reason = f"cannot be checked: the scene has {missing}"
            return SceneReport(scene.scene_id, 0, "suspicious", reason, row=row)
        views = read_scene_views(scene)
    except SpatialDataError as error:
        return SceneReport(row["scene_id"], 0, "wrong", str(error))
    depth = judge_depth(views)
    colour_problems, colour_not_testable, agreement = (), (), float("nan")
    if depth.geometry is not None:
        in_order = replace(views, contrast=views.contrast[depth.images], texture=views.texture[depth.images])
        colour = judge_colour(in_order, depth.geometry, depth.sources, depth.targets)
        colour_problems, colour_not_testable, agreement = colour.problems, colour.not_testable, colour.agreement
    problems = (*depth.problems, *colour_problems)
    not_testable = (*depth.not_testable, *colour_not_testable)
    verdict: Verdict = "not testable" if not_testable else "ok"
    if problems:
        verdict = max((problem.verdict for problem in problems), key=VERDICTS.index)
    reasons = [problem.reason for problem in problems]
    if not_testable:
        reasons.append(f"this scene cannot show mistakes in {', '.join(not_testable)}")
    if depth.unjudged:
        names = ", ".join(views.frame_ids[frame] for frame in depth.unjudged[:MAX_NAMES])
        reasons.append(
            f"{len(depth.unjudged)} of {len(views)} frames share too little with their neighbours to be judged "
            f"({names}{', ...' if len(depth.unjudged) > MAX_NAMES else ''})"
        )
    near, far = _errors(depth)
    return SceneReport(
        scene.scene_id,
        len(views),
        verdict,
        "; ".join(reasons),
        not_testable,
        near,
        far,
        depth.reachable_error,
        agreement,
        _pictured(depth, views.frames),
        row,
    )


def _progress(items: Sequence) -> Iterable:
    return tqdm(items, desc="check", unit="scene", disable=len(items) < 4)


def _missing(scene: ValidScene) -> str:
    """What the scene needs and has not, in words; empty where it has all."""
    missing = [
        name
        for name, value in (
            ("depth", scene.depth),
            ("poses", scene.world_from_camera),
            ("intrinsics", scene.intrinsics),
        )
        if value is None
    ]
    if missing:
        return f"no {' and no '.join(missing)}"
    usable = [frame for frame in scene.valid_frames.tolist() if scene.depth[frame] is not None]
    return "no two frames with depth and a pose" if len(usable) < 2 else ""


def _errors(depth: DepthJudgement) -> tuple[float, float]:
    """Median errors of neighbouring frames, and of frames farther apart that see much of the same place."""
    gap = np.abs(depth.sources - depth.targets)
    error, overlap = depth.agreement.error, depth.agreement.overlap
    near = error[(gap == 1) & np.isfinite(error)]
    far = error[(gap > 1) & np.isfinite(error) & (overlap >= MIN_OVERLAP)]
    return tuple(float(np.median(part)) if len(part) else float("nan") for part in (near, far))


def _pictured(depth: DepthJudgement, frames: list[int]) -> tuple[int, int]:
    """Of compared pairs the one that shares nearest to 60 % of what it sees: enough to look at, after some motion."""
    pair = int(np.argmin(np.abs(depth.agreement.overlap - 0.6)))
    return frames[depth.sources[pair]], frames[depth.targets[pair]]
