"""What depth figures are worth that look at no pixel: without them a small error on near-copies looks like a result.

`copied frame`: the depth map of the training frame of the same scene that was taken from the nearest view.
`constant depth`: the median depth of the training frames of the same scene, or of all where it was not trained on. A
model that learned to see depth is better than both.
"""

from collections.abc import Iterable

import numpy as np
import torch

from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.spatial_dataset import SpatialDataset, build_example
from igep.trainers.supervision.geometry_losses import verifier_metrics


COPIED, CONSTANT = "copied frame", "constant depth"
MOST_FRAMES = 256  # held-out frames looked at, evenly spread: both figures are means over a million pixels then
FRAMES_FOR_CONSTANT = 16  # of each scene
METRES_SEEN = 2.0  # a turn by an angle moves what a camera sees in a room by about so much times the angle


def baselines_of_rows(
    train: torch.utils.data.Dataset, held_out: torch.utils.data.Dataset
) -> dict[str, dict[str, float]]:
    """As `depth_baselines`, of rows of scenes; none for mixtures and for rows without scenes.

    Args:
        train (`torch.utils.data.Dataset`): Rows that were trained on.
        held_out (`torch.utils.data.Dataset`): Rows that were evaluated.

    Returns:
        `dict[str, dict[str, float]]`: See `depth_baselines`.
    """
    if not isinstance(train, SpatialDataset) or not isinstance(held_out, SpatialDataset | HeldOutFrames):
        return {}
    return depth_baselines(train.scene_table, held_out.scene_table, train.geometry_size, train.max_depth_metres)


def depth_baselines(
    train: SceneTable, held_out: SceneTable, geometry_size: tuple[int, int], max_depth_metres: float
) -> dict[str, dict[str, float]]:
    """Depth figures of two predictions that look at no held-out pixel.

    Args:
        train (`SceneTable`): Scenes that were trained on; clips are named `<scene_id>@<frame>`.
        held_out (`SceneTable`): Held-out scenes, or held-out frames of the same scenes.
        geometry_size (`tuple[int, int]`): (H, W) at which depth is compared.
        max_depth_metres (`float`): Farther depth is no measurement.

    Returns:
        `dict[str, dict[str, float]]`: By baseline `depth_abs_rel` and `depth_delta_1`, as the trainer logs them;
        without `copied frame` where no held-out scene was trained on, and empty without measured depth.
    """
    seen = {scene_id: _frames_of(train, scene_id) for scene_id in held_out.scene_ids}
    everywhere = [(number, frame) for number in range(len(train)) for frame in train.usable_frames(number).tolist()]
    asked = [(number, frame) for number in range(len(held_out)) for frame in held_out.usable_frames(number).tolist()]
    truth, copies, constants = [], [], []
    medians: dict[str, float] = {}
    for number, frame in _spread(asked, MOST_FRAMES):
        depth, pose = _depth_and_pose(held_out, number, frame, geometry_size, max_depth_metres)
        if depth is None:
            continue
        scene_id = held_out.scene_ids[number]
        others = seen[scene_id]
        place = scene_id if others else ""
        if place not in medians:
            frames = _spread(others or everywhere, FRAMES_FOR_CONSTANT if others else MOST_FRAMES)
            medians[place] = _median_depth(train, frames, geometry_size, max_depth_metres)
        truth.append(depth)
        constants.append(np.full_like(depth, medians[place]))
        if others:
            nearest = others[_nearest_view(train, others, pose)]
            copy, _ = _depth_and_pose(train, *nearest, geometry_size, max_depth_metres)
            # Where the copy has a hole it knows nothing better than the constant.
            copies.append(constants[-1] if copy is None else np.where(copy > 0, copy, constants[-1]))
    if not truth or not np.isfinite(constants).all():
        return {}
    figures = {CONSTANT: _figures(constants, truth)}
    return {COPIED: _figures(copies, truth)} | figures if len(copies) == len(truth) else figures


def _figures(predicted: list[np.ndarray], measured: list[np.ndarray]) -> dict[str, float]:
    metrics = verifier_metrics(*(torch.from_numpy(np.stack(maps))[None] for maps in (predicted, measured)))
    return {"depth_abs_rel": metrics["abs_rel"].item(), "depth_delta_1": metrics["delta_1"].item()}


def _spread(frames: list[tuple[int, int]], at_most: int) -> list[tuple[int, int]]:
    return [frames[place] for place in uniform_frame_indices(len(frames), min(len(frames), at_most))]


def _frames_of(table: SceneTable, scene_id: str) -> list[tuple[int, int]]:
    """Places (row, frame) of the different frames of a scene in a table that may hold it whole, in clips, or both."""
    found: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(table.scene_ids):
        if name == scene_id or name.rpartition("@")[0] == scene_id:
            names = table.frame_ids(number)
            for frame in table.usable_frames(number).tolist():
                found.setdefault(names[frame], (number, frame))
    return list(found.values())


def _depth_and_pose(
    table: SceneTable, number: int, frame: int, size: tuple[int, int], max_depth_metres: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    example = build_example(table.row(number, [frame]), (), 1, size, table.scene_ids[number], max_depth_metres)
    depth, poses = example.depth_metres, example.world_from_camera
    return None if depth is None else depth[0], None if poses is None else poses[0]


def _median_depth(
    table: SceneTable, frames: Iterable[tuple[int, int]], size: tuple[int, int], max_depth_metres: float
) -> float:
    """Median over the measured pixels of some frames; NaN without any."""
    maps = [_depth_and_pose(table, number, frame, size, max_depth_metres)[0] for number, frame in frames]
    measured = [depth[depth > 0] for depth in maps if depth is not None]
    return float(np.median(np.concatenate(measured))) if any(map(len, measured)) else np.nan


def _nearest_view(table: SceneTable, frames: list[tuple[int, int]], pose: np.ndarray | None) -> int:
    """Place of the frame that was taken from the nearest view; without poses the last one, the nearest in time."""
    if pose is None:
        return len(frames) - 1
    poses = np.array([table.row(number, [frame])["world_from_camera"][0] for number, frame in frames])
    distance = np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=-1)
    cosine = (np.einsum("fij,ij->f", poses[:, :3, :3], pose[:3, :3]) - 1) / 2
    return int(np.argmin(distance + METRES_SEEN * np.arccos(np.clip(cosine, -1, 1))))
