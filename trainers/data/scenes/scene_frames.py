"""Scenes cut by frames: short clips for scenes without questions, and blocks of time held out of training.

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
    """Cut scenes into clips of neighbouring frames, so that a long video gives many samples with overlapping views.

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


def hold_out_block(
    scenes: Dataset, fraction: float, margin_fraction: float, fewest_kept: int = 1
) -> tuple[Dataset, Dataset]:
    """Hold a block of time out of every scene: its last frames, and before them a margin that nobody sees.

    Frames that lie beside each other are near-copies: every n-th frame held out measures how well a model remembers.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        fraction (`float`): Share of a scene's frames that is held out, between 0 and 1; of few frames at least one.
        margin_fraction (`float`): Share of them that is left out between both parts, at least one frame.
        fewest_kept (`int`, *optional*, defaults to `1`): Frames of a scene that must be left to train on.

    Returns:
        `tuple[Dataset, Dataset]`: The scenes without these frames, and the scenes with the held-out frames alone.

    Raises:
        ValueError: A fraction is out of range.
        SpatialDataError: A scene has too few frames.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"eval_frame_fraction={fraction}: give a share between 0 and 1, such as 0.2.")
    if not 0 <= margin_fraction < 1 - fraction:
        raise ValueError(
            f"eval_margin_fraction={margin_fraction}: give a share from 0 to below {1 - fraction:g}, such as 0.05."
        )

    def parts(row: dict[str, Any]) -> tuple[range, range]:
        count = len(row["frames"])
        held_out = max(1, round(count * fraction))
        kept = count - held_out - max(1, round(count * margin_fraction))
        if kept < fewest_kept:
            raise SpatialDataError(
                f"Scene {row['scene_id']!r} has {count} frames, too few for eval_frame_fraction={fraction:g}: with "
                f"{held_out} held out and a margin, {max(kept, 0)} are left to train on and {fewest_kept} are needed. "
                "Hold out whole scenes with eval_scenes, or leave this scene out."
            )
        return range(kept), range(count - held_out, count)

    kept = _rewrite(scenes, lambda row: [take_frames(row, parts(row)[0])])
    return kept, _rewrite(scenes, lambda row: [take_frames(row, parts(row)[1])])


def _rewrite(scenes: Dataset, rows_of: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Dataset:
    schema = SCENE_FEATURES.arrow_schema

    def rewrite(table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([row for old in table.to_pylist() for row in rows_of(old)], schema=schema)

    rewritten = scenes.with_format("arrow").map(rewrite, batched=True, batch_size=8, features=SCENE_FEATURES)
    return rewritten.with_format(None)
