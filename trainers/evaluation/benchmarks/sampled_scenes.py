"""The frames of scenes that a benchmark looks at, evenly sampled, with their geometry."""

import math

import numpy as np
from datasets import Dataset
from PIL import Image

from igep.trainers.data.box_visibility import PosedCameras
from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_frame
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.spatial_dataset import example_of


class SampledScenes:
    """Reads so many frames of each scene.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        num_frames (`int`): Frames of a scene.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement.

    Raises:
        SpatialDataError: An empty table. Reading raises it for frames that are missing, broken or too few.
    """

    def __init__(self, scenes: Dataset, *, num_frames: int, max_depth_metres: float = math.inf):
        self.scenes = SceneTable(scenes)
        self._num_frames = num_frames
        self._max_depth_metres = max_depth_metres

    def sampled_scene(self, scene: int) -> ValidScene:
        """A scene with the frames that questions ask about, not decoded; `SpatialDataError` where they are too few."""
        scene_id, usable = self.scenes.scene_ids[scene], self.scenes.usable_frames(scene)
        try:
            sampled = usable[uniform_frame_indices(len(usable), self._num_frames)].tolist()
        except ValueError as error:
            raise SpatialDataError(
                f"Scene {scene_id!r}: {len(usable)} of its frames are valid, {self._num_frames} are asked for: lower "
                "num_frames, or leave this scene out."
            ) from error
        return self.scenes.scene(scene, sampled)

    def posed_scene(self, scene: int) -> tuple[ValidScene, PosedCameras]:
        """As `sampled_scene`, and its frames' cameras; `SpatialDataError` where it has no poses or intrinsics."""
        self.scenes.check_has(scene, ("world_from_camera", "intrinsics"), "boxes are asked for or shown in a camera")
        found = self.sampled_scene(scene)
        first = decode_frame(found.scene_id, found.frame_numbers[0], found.frames[0])
        return found, PosedCameras(found.world_from_camera, found.intrinsics, (first.height, first.width))

    def read_frames(self, scene: int) -> list[Image.Image]:
        """The frames that the questions of a scene are asked about."""
        found = self.sampled_scene(scene)
        return [
            decode_frame(found.scene_id, number, frame)
            for number, frame in zip(found.frame_numbers, found.frames, strict=True)
        ]

    def read_example(self, scene: int, size: tuple[int, int]) -> SpatialExample:
        """The same frames with their geometry at a size (height, width)."""
        found = self.sampled_scene(scene)
        return example_of(found, np.arange(len(found.frames)), (), size, found.scene_id, self._max_depth_metres)
