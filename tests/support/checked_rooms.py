"""Rendered rooms with texture and motion, on which `igep check` can tell right from wrong."""

from functools import cache
from typing import Any

import numpy as np

from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.experiments.check_mistakes import walked_room
from igep.trainers.experiments.deliberate_mistakes import DELIBERATE_MISTAKES
from igep.trainers.scene_check.scene_views import SceneViews, read_scene_views


ROOM_FRAMES, ROOM_PIXELS, ROOM_SEED = 16, 128, 5


@cache
def _room(num_frames: int) -> dict[str, Any]:
    return walked_room(ROOM_SEED, num_frames, ROOM_PIXELS)


def room_row(num_frames: int = ROOM_FRAMES, own_depth_camera: bool = True) -> dict[str, Any]:
    """A right row, its images in memory; with intrinsics of the depth camera as ScanNet's layout has them."""
    row = _room(num_frames)
    return row if own_depth_camera else {**row, "depth_intrinsics": []}


def room_views(num_frames: int = ROOM_FRAMES) -> SceneViews:
    """The same as the check sees it."""
    return read_scene_views(validate_scene(room_row(num_frames)))


def with_poses(row: dict[str, Any], poses: np.ndarray) -> dict[str, Any]:
    """A row with other poses."""
    return {**row, "world_from_camera": poses.tolist()}


def spoiled(name: str, row: dict[str, Any] | None = None) -> dict[str, Any]:
    """A room with a deliberate mistake of the experiment."""
    mistake = next(mistake for mistake in DELIBERATE_MISTAKES if mistake.name == name)
    return mistake.make(room_row() if row is None else row)
