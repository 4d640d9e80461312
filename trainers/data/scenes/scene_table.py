"""A scenes table read frame by frame: a video of thousands of embedded images costs only the frames that are asked for."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from datasets import Dataset

from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


PER_FRAME = ("frame_ids", "frames", "depth", "intrinsics", "depth_intrinsics", "world_from_camera")


class SceneTable:
    """Reads rows of a scenes table with some of their frames.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.

    Raises:
        SpatialDataError: A missing column, an empty table, or two scenes of one name.
    """

    def __init__(self, scenes: Dataset):
        missing = [field for field in SCENE_FEATURES if field not in scenes.column_names]
        if missing:
            raise SpatialDataError(
                f"The scenes table has no column {missing[0]!r} (it has {scenes.column_names}): write it with the features in "
                "spatial_example.py."
            )
        if len(scenes) == 0:
            raise SpatialDataError("The scenes table is empty. Check its path and filters.")
        self._scenes = scenes.with_format("arrow")
        self.scene_ids: list[str] = scenes.select_columns(["scene_id"]).with_format("arrow")[:]["scene_id"].to_pylist()
        seen: set[str] = set()
        for number, scene_id in enumerate(self.scene_ids):
            if scene_id in seen:
                raise SpatialDataError(f"The scenes table has scene_id {scene_id!r} again in row {number}.")
            seen.add(scene_id)
        # Columns of little weight, so that asking what a scene has reads no image.
        self._light = scenes.select_columns(["frame_ids", "world_from_camera"]).with_format("arrow")
        self._lists = scenes.select_columns(["intrinsics", "world_from_camera", "boxes"]).with_format("arrow")
        self._depth = scenes.select_columns(["frame_ids", "depth"]).with_format("arrow")

    def __len__(self) -> int:
        return len(self.scene_ids)

    def frame_ids(self, number: int) -> list[str]:
        """Names of all frames of a scene."""
        return self._light[number]["frame_ids"].to_pylist()[0] or []

    def usable_frames(self, number: int) -> np.ndarray:
        """Indices of the frames of a scene whose pose is finite; all of them where the scene has no poses."""
        row = self._light[number]
        count = len(row["frame_ids"][0].values or [])
        poses = row["world_from_camera"][0].values
        if poses is None or len(poses) == 0:
            return np.arange(count)
        numbers = poses.flatten().flatten()
        if len(poses) != count or len(numbers) != 16 * count:
            return np.arange(count)  # the contract is broken: reading a frame says how
        return np.flatnonzero(np.isfinite(np.asarray(numbers, dtype=np.float64)).reshape(count, 16).all(1))

    def frames_with_depth(self, number: int) -> np.ndarray:
        """(F,) bool, the frames of a scene that have a depth map; all `False` where the scene has no depth."""
        row = self._depth[number]
        count = len(row["frame_ids"][0].values or [])
        depth = row["depth"][0].values
        if depth is None or len(depth) == 0:
            return np.zeros(count, dtype=bool)
        if len(depth) != count:
            return np.ones(count, dtype=bool)  # the contract is broken: reading a frame says how
        return np.asarray(depth.is_valid())

    def lacks(self, number: int, field: str) -> bool:
        """Whether a list of a scene (`intrinsics`, `world_from_camera`, `boxes`) is empty."""
        return len(self._lists[number][field][0].values or []) == 0

    def row(self, number: int, frames: Sequence[int]) -> dict:
        """Reads a scene with some of its frames.

        Args:
            number (`int`): Row of the scene.
            frames (`Sequence[int]`): Indices of the frames to keep, in this order.

        Returns:
            `dict`: A row of the schema that holds these frames alone, images undecoded.

        Raises:
            SpatialDataError: A list of the row has another length than its frames.
        """
        row = self._scenes[number]
        taken = {}
        count = len(row["frames"][0].values or [])
        for name in SCENE_FEATURES:
            value = row[name][0]
            if name not in PER_FRAME or value.values is None or len(value.values) == 0:
                taken[name] = value.as_py()
                continue
            if len(value.values) != count:
                raise SpatialDataError(
                    f"Scene {self.scene_ids[number]!r}: {len(value.values)} `{name}` for {count} `frames`: give one per frame."
                )
            taken[name] = value.values.take(pa.array(list(frames), type=pa.int64())).to_pylist()
        return taken
