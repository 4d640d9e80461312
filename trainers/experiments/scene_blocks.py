"""One scene cut by time into blocks that are trained on and blocks that are held out, and each block into short clips."""

from collections.abc import Sequence

from datasets import Dataset

from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


def split_blocks(
    num_frames: int, *, held_out_blocks: int, held_out_fraction: float, dropped_frames: int, clip_frames: int
) -> tuple[list[range], list[range]]:
    """Splits the frames of a video: trained, dropped, held out, dropped, trained, ... and held out at its end.

    Frames beside each other are near-copies, so those between two blocks belong to neither.

    Args:
        num_frames (`int`): Frames of the video.
        held_out_blocks (`int`): Blocks that are held out; each stands at the end of an equal part of the video.
        held_out_fraction (`float`): Share of the frames that they hold together, between 0 and 1.
        dropped_frames (`int`): Frames left out where a trained block meets a held-out one.
        clip_frames (`int`): Fewest frames of a block.

    Returns:
        `tuple[list[range], list[range]]`: Frame indices of the trained and of the held-out blocks.

    Raises:
        ValueError: An option is out of range, or a block would be shorter than a clip; the message says what to change.
    """
    if held_out_blocks < 1:
        raise ValueError(f"held_out_blocks={held_out_blocks}: give 1 or more.")
    if not 0 < held_out_fraction < 1:
        raise ValueError(f"held_out_fraction={held_out_fraction}: give a share between 0 and 1, such as 0.2.")
    if dropped_frames < 0:
        raise ValueError(f"dropped_frames={dropped_frames}: give 0 or more.")
    trained, held_out, begin = [], [], 0
    for number in range(held_out_blocks):
        end = round(num_frames * (number + 1) / held_out_blocks)
        first_held_out = end - round(num_frames * held_out_fraction / held_out_blocks)
        trained.append(range(begin, max(begin, first_held_out - dropped_frames)))
        held_out.append(range(first_held_out, end))
        begin = end + dropped_frames
    for name, blocks in (("trained", trained), ("held-out", held_out)):
        shortest = min(map(len, blocks))
        if shortest < clip_frames:
            raise ValueError(
                f"{num_frames} frames are too few: a {name} block would have {shortest}, and a clip has {clip_frames}. Give a longer "
                "scene, fewer held_out_blocks or dropped_frames, or another held_out_fraction."
            )
    return trained, held_out


def cut_clips(table: SceneTable, blocks: Sequence[range], clip_frames: int) -> Dataset:
    """Cuts blocks into clips of neighbouring frames, each a scene of its own, which begins at the last frame of the one before it.

    So the cameras of a block's clips join to one path. Last frames of a block that fill no clip are left out.

    Args:
        table (`SceneTable`): One scene.
        blocks (`Sequence[range]`): Places among its usable frames.
        clip_frames (`int`): Frames of a clip, 2 or more.

    Returns:
        `datasets.Dataset`: Table with `SCENE_FEATURES`, block after block; a clip is named `<scene_id>@<its first frame_id>`.

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
                f"Scene {table.scene_ids[0]!r} has no `{field}`: what is reconstructed is compared with measured depth and known "
                "cameras. Give a posed RGB-D scene; `igep check` says what one has."
            )
    return table
