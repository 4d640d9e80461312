"""A scenes table read frame by frame: a video of thousands of embedded images costs only frames that are asked for."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features

from igep.trainers.data.scenes.scene_validation import (
    ValidScene,
    assert_unique_frame_ids,
    lost_poses,
    validate_scene,
)
from igep.trainers.data.scenes.spatial_example import PER_FRAME_FIELDS, SCENE_FEATURES, SpatialDataError


SCENES_AT_ONCE = 256


class SceneTable:
    """Reads rows of a scenes table with some of their frames.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.

    Raises:
        SpatialDataError: A missing column, an empty table, or two scenes of one name.
    """

    def __init__(self, scenes: Dataset):
        self.scene_ids = checked_names(scenes, "scenes", SCENE_FEATURES, "scene_id")
        # A row of Arrow is a view of the file: it costs nothing until values are taken out of it.
        self._scenes = scenes.with_format("arrow")

    def __len__(self) -> int:
        return len(self.scene_ids)

    def num_frames(self, number: int) -> int:
        """Number of all frames of a scene."""
        return len(self._scenes[number]["frame_ids"][0].values or [])

    def frame_ids(self, number: int) -> list[str]:
        """Names of all frames of a scene; `SpatialDataError` where two are the same."""
        names = self._scenes[number]["frame_ids"].to_pylist()[0] or []
        assert_unique_frame_ids(self.scene_ids[number], names)
        return names

    def usable_frames(self, number: int) -> np.ndarray:
        """Indices of the frames of a scene whose pose is not lost; all of them where the scene has no poses."""
        count = len(self._scenes[number]["frame_ids"][0].values or [])
        poses = self._stored_poses(number, count)
        return np.arange(count) if poses is None else np.flatnonzero(~lost_poses(poses))

    def poses(self, number: int) -> np.ndarray:
        """(F, 4, 4) float64 `world_from_camera` of the usable frames of a scene; none where it has no poses."""
        count = len(self._scenes[number]["frame_ids"][0].values or [])
        poses = self._stored_poses(number, count)
        return np.empty((0, 4, 4)) if poses is None else poses[~lost_poses(poses)]

    def _stored_poses(self, number: int, count: int) -> np.ndarray | None:
        """(F, 4, 4), or `None` where there are none, or where the contract is broken: reading a frame says how."""
        poses = self._scenes[number]["world_from_camera"][0].values
        if poses is None or len(poses) == 0:
            return None
        numbers = poses.flatten().flatten()
        if len(poses) != count or len(numbers) != 16 * count:
            return None
        return np.asarray(numbers, dtype=np.float64).reshape(count, 4, 4)

    def frames_with_depth(self, number: int) -> np.ndarray:
        """(F,) bool, the frames of a scene that have a depth map; all `False` where the scene has no depth."""
        row = self._scenes[number]
        count = len(row["frame_ids"][0].values or [])
        depth = row["depth"][0].values
        if depth is None or len(depth) == 0:
            return np.zeros(count, dtype=bool)
        if len(depth) != count:
            return np.ones(count, dtype=bool)  # the contract is broken: reading a frame says how
        return np.asarray(depth.is_valid())

    def with_depth_alone(self) -> list[int]:
        """Numbers of the scenes that have no poses and a depth map for every frame."""
        found = []
        columns = ("frame_ids", "depth", "world_from_camera")
        for batch in self._scenes.select_columns(list(columns)).iter(SCENES_AT_ONCE):
            frames, depth, poses = (pc.fill_null(pc.list_value_length(batch[name]), 0) for name in columns)
            alone = pc.and_(pc.equal(poses, 0), pc.and_(pc.equal(depth, frames), pc.greater(depth, 0)))
            found.append(np.asarray(alone))
        numbers = np.flatnonzero(np.concatenate(found)).tolist()
        return [number for number in numbers if self.frames_with_depth(number).all()]

    def columns_without(self, names: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
        """All columns of the schema but some, a few hundred scenes at a time."""
        kept = [name for name in SCENE_FEATURES if name not in names]
        for batch in self._scenes.select_columns(kept).iter(SCENES_AT_ONCE):
            yield {name: batch[name].combine_chunks() for name in kept}

    def lacks(self, number: int, field: str) -> bool:
        """Whether a list of a scene (`depth`, `intrinsics`, `world_from_camera`, `boxes`) is empty."""
        return len(self._scenes[number][field][0].values or []) == 0

    def check_has(self, number: int, fields: Sequence[str], reason: str) -> None:
        """Raises `SpatialDataError` where a list of a scene (see `lacks`) is empty, and says for what it is needed."""
        missing = [field for field in fields if self.lacks(number, field)]
        if missing:
            raise SpatialDataError(
                f"Scene {self.scene_ids[number]!r} has no `{missing[0]}`: {reason}. Add it, or leave the scene's "
                "questions out."
            )

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
            if name not in PER_FRAME_FIELDS or value.values is None or len(value.values) == 0:
                taken[name] = value.as_py()
                continue
            if len(value.values) != count:
                raise SpatialDataError(
                    f"Scene {self.scene_ids[number]!r}: {len(value.values)} `{name}` for {count} `frames`: give one "
                    "per frame."
                )
            taken[name] = value.values.take(pa.array(list(frames), type=pa.int64())).to_pylist()
        return taken

    def scene(self, number: int, frames: Sequence[int]) -> ValidScene:
        """As `row`, validated.

        Args:
            number (`int`): Row of the scene.
            frames (`Sequence[int]`): Indices of the frames to keep, in this order.

        Returns:
            `ValidScene`: Its frames are these.

        Raises:
            SpatialDataError: The scene breaks the contract, as far as these frames show.
        """
        return validate_scene(self.row(number, frames), frames)


def checked_names(table: Dataset, name: str, features: Features, column: str) -> list[str]:
    """Names of the rows of a table, each there once.

    Args:
        table (`datasets.Dataset`): A table of the schema.
        name (`str`): What to call it in messages.
        features (`datasets.Features`): Columns that it must have.
        column (`str`): Column of the names.

    Returns:
        `list[str]`

    Raises:
        SpatialDataError: A missing column, an empty table, or a name that comes twice.
    """
    missing = [field for field in features if field not in table.column_names]
    if missing:
        raise SpatialDataError(
            f"The {name} table has no column {missing[0]!r} (it has {table.column_names}): write it with the features "
            "in spatial_example.py."
        )
    if len(table) == 0:
        raise SpatialDataError(
            f"The {name} table is empty. Check its path and filters; to train on scenes alone, pass questions=None."
        )
    names = column_values(table, column)
    seen: set[str] = set()
    for row, value in enumerate(names):
        if value in seen:
            raise SpatialDataError(f"The {name} table has {column} {value!r} again in row {row}: make it unique.")
        seen.add(value)
    return names


def column_values(table: Dataset, column: str) -> list[str]:
    """All values of a column, without reading the others."""
    return table.select_columns(column).with_format("arrow")[:][column].to_pylist()
