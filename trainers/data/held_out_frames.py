"""Frames that are held out of training as rows to evaluate on: every frame once, without questions."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset

from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.spatial_dataset import build_example


class HeldOutFrames(torch.utils.data.Dataset):
    """Clips of neighbouring frames that together show each frame of their scenes.

    Clips follow each other; the last one of a scene reaches back to be as long as the others, and what it shows again
    has no depth there, so that every frame counts once. Questions are left out: they were trained on.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`, of held-out frames alone.
        num_frames (`int`): Frames of a row.
        geometry_size (`tuple[int, int]`): (H, W) of depth and intrinsics.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement.

    Raises:
        SpatialDataError: A scene has fewer frames than a row. Reading a row raises it for anything that breaks the
            contract.
    """

    def __init__(
        self,
        scenes: Dataset,
        *,
        num_frames: int,
        geometry_size: tuple[int, int],
        max_depth_metres: float = np.inf,
    ):
        self.num_frames = num_frames
        self.geometry_size = (int(geometry_size[0]), int(geometry_size[1]))
        self.max_depth_metres = max_depth_metres
        self.scene_table = SceneTable(scenes)
        self._rows: list[tuple[int, list[int], int]] = []  # scene, its frames, how many of them were shown before
        for number, scene_id in enumerate(self.scene_table.scene_ids):
            usable = self.scene_table.usable_frames(number).tolist()
            if len(usable) < num_frames:
                raise SpatialDataError(
                    f"Scene {scene_id!r}: {len(usable)} of its frames are held out, fewer than the {num_frames} of a "
                    "row. Raise eval_frame_fraction, lower num_frames, or hold out whole scenes with eval_scenes."
                )
            for start in range(0, len(usable), num_frames):
                first = min(start, len(usable) - num_frames)
                self._rows.append((number, usable[first : first + num_frames], start - first))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        number, frames, shown_before = self._rows[row]
        example = build_example(
            self.scene_table.row(number, frames),
            (),
            len(frames),
            self.geometry_size,
            self.sample_ids[row],
            self.max_depth_metres,
        )
        if example.depth_metres is not None:
            example.depth_metres[:shown_before] = 0
        return example

    def example(self, row: int, draw: int) -> SpatialExample:
        """As `self[row]`: a row is the same at every use."""
        return self[row]

    @property
    def task(self) -> str:
        """No question is asked."""
        return "held-out frames"

    @property
    def usage(self) -> dict[str, Any]:
        """Nothing: no question is asked."""
        return {}

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Names of the rows, in order."""
        names = self.scene_table.scene_ids
        return tuple(f"{names[number]}/held-out-{frames[0]}" for number, frames, _ in self._rows)
