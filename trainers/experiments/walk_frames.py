"""Frames of a real scene with what they need here, depth and poses; and clips of them with marked points."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from igep.trainers.data.scannet import load_scannet
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.spatial_dataset import example_of
from igep.trainers.experiments.marked_points import MarkedClip, mark_clip


MAX_DEPTH_METRES = 10.0  # a depth camera of a room measures no farther


class WalkFrames:
    """The frames of one scene that have a pose and measured depth, numbered in their order.

    Args:
        folder (`str` or `Path`): A scene folder, as `dataset: scannet` reads it.
        frame_pixels (`int`): Side of the squares that the model sees. Depth has half of it.

    Raises:
        SpatialDataError: No scene or several, or one without poses or depth.
    """

    def __init__(self, folder: str | Path, frame_pixels: int):
        scenes, _ = load_scannet(folder)
        if len(scenes) != 1:
            raise SpatialDataError(f"{folder}: holds {len(scenes)} scenes. Name each scene's own folder.")
        self.frame_pixels = frame_pixels
        self._table = SceneTable(scenes)
        self.name = self._table.scene_ids[0]
        reason = "questions and losses are made from depth and poses alone"
        self._table.check_has(0, ("world_from_camera", "depth"), reason)
        usable = self._table.usable_frames(0)
        self._frames = usable[self._table.frames_with_depth(0)[usable]].tolist()

    def __len__(self) -> int:
        return len(self._frames)

    def example(self, numbers: Sequence[int]) -> SpatialExample:
        """Some frames with their depth and cameras.

        Args:
            numbers (`Sequence[int]`): Frames, in order.

        Returns:
            `SpatialExample`: Without questions; named `<scene>@<its first frame's id>`.
        """
        scene = self._table.scene(0, [self._frames[number] for number in numbers])
        size = (self.frame_pixels // 2, self.frame_pixels // 2)
        name = f"{self.name}@{scene.frame_ids[0]}"
        return example_of(scene, np.arange(len(numbers)), (), size, name, MAX_DEPTH_METRES)

    def marked_clips(
        self, pairs: Iterable[tuple[int, int]], draws: int, questions_per_kind: int, seed: int
    ) -> tuple[list[MarkedClip], int]:
        """Clips with marks.

        Args:
            pairs (`Iterable[tuple[int, int]]`): Frames of each clip.
            draws (`int`): How often each is marked, anew each time.
            questions_per_kind (`int`): At most so many questions of each kind for one marking.
            seed (`int`): Draws marks and questions.

        Returns:
            `tuple[list[MarkedClip], int]`: The clips, and how many markings found no room for their marks or nothing
            to ask.
        """
        found = [
            mark_clip(
                example,
                draw,
                frame_pixels=self.frame_pixels,
                questions_per_kind=questions_per_kind,
                seed=seed,
            )
            for example in map(self.example, pairs)
            for draw in range(draws)
        ]
        clips = [clip for clip in found if clip is not None]
        return clips, len(found) - len(clips)
