"""Blocks of one scene cut into short clips, each a scene of its own."""

from collections.abc import Sequence

from datasets import Dataset

from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


def cut_clips(table: SceneTable, blocks: Sequence[range], clip_frames: int) -> Dataset:
    """Cuts blocks into clips of neighbouring frames, each a scene that begins at the last frame of the one before it.

    So the cameras of a block's clips join to one path. Last frames of a block that fill no clip are left out.

    Args:
        table (`SceneTable`): One scene.
        blocks (`Sequence[range]`): Places among its usable frames.
        clip_frames (`int`): Frames of a clip, 2 or more.

    Returns:
        `datasets.Dataset`: Table with `SCENE_FEATURES`, block after block; a clip is named
        `<scene_id>@<its first frame_id>`.

    Raises:
        SpatialDataError: A list of the scene has another length than its frames.
    """
    usable = table.usable_frames(0)
    starts = [start for block in blocks for start in block[: len(block) - clip_frames + 1 : clip_frames - 1]]
    clips = [table.row(0, usable[start : start + clip_frames].tolist()) for start in starts]
    named = [clip | {"scene_id": f"{clip['scene_id']}@{clip['frame_ids'][0]}"} for clip in clips]
    return Dataset.from_list(named, features=SCENE_FEATURES)


def clips_in(block: range, clip_frames: int) -> int:
    """Number of clips that `cut_clips` makes of a block."""
    return (len(block) - 1) // (clip_frames - 1)


def only_scene(scenes: Dataset) -> SceneTable:
    """Makes sure that a table is one scene with depth and poses.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.

    Returns:
        `SceneTable`

    Raises:
        SpatialDataError: There are several scenes, or the scene lacks depth, intrinsics or poses.
    """
    table = SceneTable(scenes)
    if len(table) > 1:
        raise SpatialDataError(
            f"there are {len(table)} scenes ({', '.join(table.scene_ids[:3])} ...): give the folder of one of them."
        )
    for field in ("world_from_camera", "depth", "intrinsics"):
        if table.lacks(0, field):
            raise SpatialDataError(
                f"Scene {table.scene_ids[0]!r} has no `{field}`: what is reconstructed is compared with measured "
                "depth and known cameras. Give a posed RGB-D scene; `igep check` says what one has."
            )
    return table
