"""Clips of a short video that are read once: a small model trains on each of them hundreds of times."""

import dataclasses
from typing import Any

from datasets import Dataset
from PIL import Image

from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset


class ClipsInMemory(SpatialDataset):
    """Rows of scenes alone, each kept after it was read, with its frames at the size that the model sees.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        frame_size (`tuple[int, int]`, *optional*): (H, W) of the frames that are kept; as they are stored unless
            given.
        **rows: Options of `SpatialDataset`.
    """

    def __init__(self, scenes: Dataset, frame_size: tuple[int, int] | None, **rows: Any):
        super().__init__(scenes, None, **rows)
        self.frame_size = frame_size
        self._kept: dict[int, SpatialExample] = {}

    def __getitem__(self, row: int) -> SpatialExample:
        if row not in self._kept:
            example = super().__getitem__(row)
            if self.frame_size is not None:
                height, width = self.frame_size
                frames = tuple(frame.resize((width, height), Image.Resampling.BICUBIC) for frame in example.frames)
                example = dataclasses.replace(example, frames=frames)
            self._kept[row] = example
        return self._kept[row]
