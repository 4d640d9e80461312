"""Verify the geometry of posed RGB-D scenes before training: does depth carried by the poses agree with itself?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm

from igep.camera_geometry import z_from_euclidean
from igep.trainers.data.scannet import load_scannet, scene_folders
from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_depth, decode_frame, validate_scene
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.spatial_dataset import build_example
from igep.trainers.scene_check.depth_agreement import DepthCamera, depth_agreement, thinned
from igep.trainers.scene_check.geometry_mistakes import (
    COMPARABLE_PIXELS,
    PLAUSIBLE_DEPTH_METRES,
    Mistake,
    axis_mistakes,
    common_mistakes,
    explain_disagreement,
)


PAIRS_PER_GAP = 12
PAIRS_PER_GAP_FOR_MISTAKES = 6
MEASURED_SIDE, SEARCH_SIDE = 320, 120  # pixels: thinning changes the median error little and saves most of the time
OK_ERROR, WRONG_ERROR = 0.02, 0.05  # real sensors with good poses stay near 0.005 at small gaps
Verdict = Literal["ok", "suspicious", "wrong"]


@dataclass(frozen=True)
class GapAgreement:
    """Agreement of frames that lie so many frames apart.

    Args:
        gap (`int`): Frames between source and target.
        num_pairs (`int`): Pairs compared.
        overlap (`float`): Mean fraction of measured source pixels that land inside the target image.
        relative_error (`float`): Median over pairs of the median relative error; nan when nothing can be compared.
    """

    gap: int
    num_pairs: int
    overlap: float
    relative_error: float


@dataclass(frozen=True)
class SceneReport:
    """What the check says about a scene.

    Args:
        scene_id (`str`): The scene.
        num_frames (`int`): Frames with a valid pose.
        gaps (`tuple[GapAgreement, ...]`): Agreement per frame gap; gaps that the scene is too short for are left out.
        verdict (`str`): `"ok"`, `"suspicious"` or `"wrong"`.
        reason (`str`): Why, with the likely mistake; empty for most scenes that are ok.
        row (`dict | None`): The scene's row, for the picture; `None` when it could not be read.
    """

    scene_id: str
    num_frames: int
    gaps: tuple[GapAgreement, ...]
    verdict: Verdict
    reason: str
    row: dict | None = field(default=None, repr=False)


def check_folder(root: str | Path, gaps: Sequence[int] = (1, 2, 5, 10)) -> list[SceneReport]:
    """Check a ScanNet-like scene folder or a folder of them; a scene that cannot be read is reported as wrong.

    Args:
        root (`str | Path`): See `scannet.load_scannet`.
        gaps (`Sequence[int]`, *optional*, defaults to `(1, 2, 5, 10)`): Frame gaps to compare.

    Returns:
        `list[SceneReport]`: One per scene.

    Raises:
        SpatialDataError: No scene at `root`.
        ValueError: A gap below 1.
    """
    _assert_gaps(gaps)
    reports = []
    for folder in _progress(scene_folders(root)):
        try:
            scenes, _ = load_scannet(folder)
        except SpatialDataError as error:
            reports.append(SceneReport(folder.name, 0, (), "wrong", str(error)))
            continue
        reports.append(check_scene(scenes.with_format("arrow")[0].to_pylist()[0], gaps))
    return reports


def check_scenes(scenes: Dataset, gaps: Sequence[int] = (1, 2, 5, 10)) -> list[SceneReport]:
    """Check every row of a scenes table.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        gaps (`Sequence[int]`, *optional*, defaults to `(1, 2, 5, 10)`): Frame gaps to compare.

    Returns:
        `list[SceneReport]`: One per scene.

    Raises:
        ValueError: A gap below 1.
    """
    _assert_gaps(gaps)
    rows = scenes.with_format("arrow")
    return [check_scene(rows[row].to_pylist()[0], gaps) for row in _progress(range(len(scenes)))]


def check_scene(row: dict, gaps: Sequence[int] = (1, 2, 5, 10)) -> SceneReport:
    """Check one scene: decode all its images, carry depth between frames, and look for a mistake that explains an error.

    Args:
        row (`dict`): Row of a table with `SCENE_FEATURES`, its images decoded or not.
        gaps (`Sequence[int]`, *optional*, defaults to `(1, 2, 5, 10)`): Frame gaps to compare.

    Returns:
        `SceneReport`: The verdict. Data that cannot be read makes it `"wrong"`.
    """
    try:
        scene = validate_scene(row)
        colour_size = _decode_all(scene, row)
    except SpatialDataError as error:
        return SceneReport(row["scene_id"], 0, (), "wrong", str(error))
    num_frames = len(scene.valid_frames)
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
        reason = f"cannot be checked: the scene has no {' and no '.join(missing)}"
        return SceneReport(scene.scene_id, num_frames, (), "suspicious", reason, row)
    pairs = frame_pairs(scene, gaps, PAIRS_PER_GAP)
    if not pairs:
        reason = "cannot be checked: no two frames with depth at these gaps"
        return SceneReport(scene.scene_id, num_frames, (), "suspicious", reason, row)
    agreements = _measure(scene, colour_size, pairs)
    verdict, reason = _judge(scene, colour_size, gaps, agreements)
    return SceneReport(scene.scene_id, num_frames, agreements, verdict, reason, row)


def format_reports(reports: Sequence[SceneReport], gaps: Sequence[int]) -> str:
    """The reports as a table, and below it a line for every scene that is not simply ok.

    Args:
        reports (`Sequence[SceneReport]`): The reports.
        gaps (`Sequence[int]`): Frame gaps, one column each.

    Returns:
        `str`: Text of several lines.
    """
    header = ["scene", "frames", *(f"gap {gap}: error (overlap)" for gap in gaps), "verdict"]
    lines = [header]
    for report in reports:
        cells = {agreement.gap: agreement for agreement in report.gaps}
        columns = [_cell(cells[gap]) if gap in cells else "-" for gap in gaps]
        lines.append([report.scene_id, str(report.num_frames or "-"), *columns, report.verdict])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{report.scene_id}: {report.verdict}: {report.reason}" for report in reports if report.reason]
    explanation = "error: median relative error of depth carried into a frame that many frames away"
    return "\n".join([*table, explanation, *notes])


def _assert_gaps(gaps: Sequence[int]) -> None:
    if not gaps or min(gaps) < 1:
        raise ValueError(f"gaps={list(gaps)}: give frame gaps of 1 or more.")


def _progress(items: Sequence) -> Iterable:
    return tqdm(items, desc="check", unit="scene", disable=len(items) < 4)


def _decode_all(scene: ValidScene, row: dict) -> tuple[int, int]:
    """Open every image and build an example, which fits sizes and principal points; give the colour (height, width)."""
    colour_sizes = {decode_frame(scene.scene_id, index, frame).size for index, frame in enumerate(scene.frames)}
    depth_sizes = {
        decode_depth(scene.scene_id, index, depth).shape[::-1]
        for index, depth in enumerate(scene.depth or ())
        if depth is not None
    }
    for field_name, sizes in (("frames", colour_sizes), ("depth", depth_sizes)):
        if len(sizes) > 1:
            raise SpatialDataError(
                f"Scene {scene.scene_id!r}: `{field_name}` have several sizes (width, height): {sorted(sizes)}. Frames of "
                "a scene have one size: resize them, and their intrinsics with them."
            )
    build_example(row, (), 1, (8, 8), scene.scene_id)
    width, height = colour_sizes.pop()
    return height, width


def frame_pairs(scene: ValidScene, gaps: Sequence[int], most: int) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Pairs of frames with depth that lie so many valid frames apart, spread evenly over the scene.

    Args:
        scene (`ValidScene`): A scene with depth.
        gaps (`Sequence[int]`): Frame gaps.
        most (`int`): Most pairs per gap.

    Returns:
        `list[tuple[int, Tensor, Tensor]]`: Per gap with any pair: the gap, sources and targets as indices of stored frames.
    """
    usable = scene.valid_frames.tolist()
    pairs = []
    for gap in gaps:
        both = [
            (source, target)
            for source, target in zip(usable, usable[gap:], strict=False)
            if scene.depth[source] is not None and scene.depth[target] is not None
        ]
        if both:
            chosen = [both[index] for index in uniform_frame_indices(len(both), min(most, len(both)))]
            sources, targets = torch.tensor(chosen).unbind(1)
            pairs.append((gap, sources, targets))
    return pairs


def _depth_camera(
    scene: ValidScene, colour_size: tuple[int, int], frames: torch.Tensor, max_side: int
) -> tuple[DepthCamera, torch.Tensor]:
    """Thinned depth maps of these frames with their camera, and what that camera would be if it were the colour camera."""
    stored = np.stack([decode_depth(scene.scene_id, index, scene.depth[index]) for index in frames.tolist()])
    size = stored.shape[1:]
    colour = resize_intrinsics(scene.intrinsics, colour_size, size)
    own = colour if scene.depth_intrinsics is None else scene.depth_intrinsics
    pose = scene.world_from_camera[frames]
    if scene.colour_from_depth is not None:
        pose = pose @ scene.colour_from_depth
    intrinsics, as_colour = (torch.from_numpy(matrices[frames]).float() for matrices in (own, colour))
    depth_metres = torch.from_numpy(stored.astype(np.float32) * np.float32(scene.metres_per_depth_unit))
    if scene.depth_kind == "euclidean":
        depth_metres = z_from_euclidean(depth_metres, intrinsics)
    camera = DepthCamera(depth_metres, intrinsics, torch.from_numpy(pose))
    return thinned(camera, max_side), thinned(replace(camera, intrinsics=as_colour), max_side).intrinsics


def _measure(
    scene: ValidScene, colour_size: tuple[int, int], pairs: list[tuple[int, torch.Tensor, torch.Tensor]]
) -> tuple[GapAgreement, ...]:
    agreements = []
    for gap, sources, targets in pairs:
        frames, places = torch.cat([sources, targets]).unique(return_inverse=True)
        camera, _ = _depth_camera(scene, colour_size, frames, MEASURED_SIDE)
        overlap, error, count = depth_agreement(camera, *places.split(len(sources)))
        comparable = torch.where(count >= COMPARABLE_PIXELS, error, torch.nan)
        agreements.append(GapAgreement(gap, len(sources), overlap.mean().item(), comparable.nanmedian().item()))
    return tuple(agreements)


def _judge(
    scene: ValidScene, colour_size: tuple[int, int], gaps: Sequence[int], agreements: tuple[GapAgreement, ...]
) -> tuple[Verdict, str]:
    pairs = frame_pairs(scene, gaps, PAIRS_PER_GAP_FOR_MISTAKES)
    sources, targets = (torch.cat([pair[side] for pair in pairs]) for side in (1, 2))
    frames, places = torch.cat([sources, targets]).unique(return_inverse=True)
    sources, targets = places.split(len(sources))
    camera, as_colour = _depth_camera(scene, colour_size, frames, SEARCH_SIDE)
    own_mistakes = _own_mistakes(scene, camera, as_colour, frames)
    errors = [agreement.relative_error for agreement in agreements if np.isfinite(agreement.relative_error)]
    nearest = errors[0] if errors else np.inf
    explanation = explain_disagreement(camera, sources, targets, [*own_mistakes, *common_mistakes(camera)])
    if explanation is None and (nearest > OK_ERROR or max(errors) > WRONG_ERROR):
        explanation = explain_disagreement(camera, sources, targets, axis_mistakes(camera))
    if explanation is not None:
        return (
            "wrong" if max(errors, default=np.inf) > OK_ERROR else "suspicious",
            f"likely {explanation.description}; without it the error would be {explanation.relative_error:.2%}",
        )
    median = camera.depth_metres[camera.depth_metres > 0].median().item()
    is_plausible = PLAUSIBLE_DEPTH_METRES[0] <= median <= PLAUSIBLE_DEPTH_METRES[1]
    odd_depth = f"a median depth of {median:.3g} m is odd for a room: are depth and poses in metres?"
    if not errors and not is_plausible:
        return "wrong", f"no two frames see the same place, and {odd_depth}"
    if not errors:
        return (
            "suspicious",
            "no two frames see the same place: frames too far apart (try smaller gaps), or wrong poses",
        )
    if nearest > OK_ERROR:
        return (
            "wrong" if nearest > WRONG_ERROR else "suspicious",
            f"an error of {nearest:.2%} between near frames, which no simple mistake explains",
        )
    far = [agreement for agreement in agreements if agreement.relative_error > WRONG_ERROR]
    if far:
        return (
            "suspicious",
            f"an error of {far[0].relative_error:.2%} at gap {far[0].gap}: drifting or mixed-up poses?",
        )
    if not is_plausible:
        return "suspicious", odd_depth
    return "ok", ""


def _own_mistakes(
    scene: ValidScene, camera: DepthCamera, as_colour: torch.Tensor, frames: torch.Tensor
) -> list[Mistake]:
    """Mistakes that need more of the scene than the compared frames."""
    mistakes = []
    if (as_colour - camera.intrinsics).abs().max() > 0.1:
        mistakes.append(
            Mistake(
                "`depth_intrinsics` are not the depth camera's: the colour camera's fit better (are the two mixed up?)",
                replace(camera, intrinsics=as_colour),
            )
        )
    position = np.searchsorted(scene.valid_frames, frames.numpy())
    for shift, direction in ((1, "earlier"), (-1, "later")):
        shifted = scene.valid_frames[np.clip(position + shift, 0, len(scene.valid_frames) - 1)]
        pose = scene.world_from_camera[shifted]
        if scene.colour_from_depth is not None:
            pose = pose @ scene.colour_from_depth
        mistakes.append(
            Mistake(
                f"the poses belong to other frames: shift the list of poses one frame {direction}",
                replace(camera, world_from_camera=torch.from_numpy(pose)),
            )
        )
    return mistakes


def _cell(agreement: GapAgreement) -> str:
    error = f"{agreement.relative_error:.2%}" if np.isfinite(agreement.relative_error) else "none comparable"
    return f"{error} ({agreement.overlap:.0%})"
