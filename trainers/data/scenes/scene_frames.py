"""Scenes cut by frames: short clips for scenes without questions, and frames held out of training.

Images stay as they are stored; only the lists that hold them are cut.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset

from igep.trainers.data.scenes.spatial_example import PER_FRAME_FIELDS, SCENE_FEATURES, SpatialDataError


def take_frames(row: dict[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """A scene row with some of its frames.

    Args:
        row (`dict`): Row of a table with `SCENE_FEATURES`.
        indices (`Sequence[int]`): Frames to keep, in order.

    Returns:
        `dict`: The row, its other fields unchanged.
    """
    taken = dict(row)
    for field in PER_FRAME_FIELDS:
        taken[field] = [row[field][index] for index in indices] if row[field] else []
    return taken


def split_into_clips(scenes: Dataset, frames_per_clip: int) -> Dataset:
    """Cut every scene into clips of neighbouring frames, so that a long video gives many samples with overlapping views.

    Clips follow each other without overlap; the last one reaches back as far as it needs to be as long as the others.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        frames_per_clip (`int`): Frames of a clip.

    Returns:
        `datasets.Dataset`: Table with `SCENE_FEATURES`; a clip is named `<scene_id>@<its first frame_id>`.

    Raises:
        SpatialDataError: A scene has fewer frames than a clip.
    """
    if frames_per_clip < 1:
        raise ValueError(f"frames_per_clip={frames_per_clip}: give 1 or more.")

    def clips(row: dict[str, Any]) -> list[dict[str, Any]]:
        num_frames = len(row["frames"])
        if num_frames < frames_per_clip:
            raise SpatialDataError(
                f"Scene {row['scene_id']!r} has {num_frames} frames, fewer than a clip of {frames_per_clip}: lower "
                "clip_frames, or leave this scene out."
            )
        starts = [min(start, num_frames - frames_per_clip) for start in range(0, num_frames, frames_per_clip)]
        cut = [take_frames(row, range(start, start + frames_per_clip)) for start in starts]
        return [{**clip, "scene_id": f"{clip['scene_id']}@{clip['frame_ids'][0]}"} for clip in cut]

    return _rewrite(scenes, clips)


def hold_out_frames(scenes: Dataset, every: int) -> tuple[Dataset, Dataset]:
    """Hold every n-th frame of every scene out of training.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        every (`int`): n, 2 or more.

    Returns:
        `tuple[Dataset, Dataset]`: The scenes without these frames, and the scenes with these frames alone.

    Raises:
        SpatialDataError: A scene has fewer frames than `every`.
    """
    if every < 2:
        raise ValueError(f"every={every}: give 2 or more, 1 would leave nothing to train on.")

    def held_out(row: dict[str, Any]) -> list[dict[str, Any]]:
        if len(row["frames"]) < every:
            raise SpatialDataError(
                f"Scene {row['scene_id']!r} has {len(row['frames'])} frames: none is left when every {every}th is held out."
            )
        return [take_frames(row, range(every - 1, len(row["frames"]), every))]

    def kept(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [take_frames(row, [frame for frame in range(len(row["frames"])) if frame % every != every - 1])]

    held_out_scenes = _rewrite(scenes, held_out)
    return _rewrite(scenes, kept), held_out_scenes


def _rewrite(scenes: Dataset, rows_of: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Dataset:
    schema = SCENE_FEATURES.arrow_schema

    def rewrite(table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([row for old in table.to_pylist() for row in rows_of(old)], schema=schema)

    rewritten = scenes.with_format("arrow").map(rewrite, batched=True, batch_size=8, features=SCENE_FEATURES)
    return rewritten.with_format(None)
