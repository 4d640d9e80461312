"""A walk through a place, cut into blocks of time: some to train on, some held out, and unseen frames between them.

Neighbouring frames are near-copies, and so are their depths: only a block whose neighbours are left out measures more
than memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from igep.trainers.data.scenes.spatial_example import SpatialDataError


@dataclass(frozen=True)
class WalkBlocks:
    """How a walk is cut.

    Args:
        train_frames (`int`, *optional*, defaults to `40`): Frames between two held-out blocks.
        held_out_frames (`int`, *optional*, defaults to `20`): Frames of a held-out block.
        margin_frames (`int`, *optional*, defaults to `5`): Of the frames between, so many are dropped on either side
            of a held-out block.
        first_frame (`int`, *optional*, defaults to `0`): Frame at which the first block to train on begins; those
            before it belong to the cycle as well. Another one holds other blocks out.

    Raises:
        ValueError: A number is out of range, or the margins leave nothing to train on.
    """

    train_frames: int = 40
    held_out_frames: int = 20
    margin_frames: int = 5
    first_frame: int = 0

    def __post_init__(self):
        for name, least in (("train_frames", 1), ("held_out_frames", 2), ("margin_frames", 0), ("first_frame", 0)):
            if vars(self)[name] < least:
                raise ValueError(f"{name}={vars(self)[name]}: give {least} or more.")
        if self.train_frames - 2 * self.margin_frames < 2:
            raise ValueError(
                f"margin_frames={self.margin_frames} on either side leave fewer than 2 of "
                f"train_frames={self.train_frames}: lower the margin."
            )


def split_walk(num_frames: int, blocks: WalkBlocks, name: str) -> tuple[list[int], list[list[int]]]:
    """Cuts a walk into blocks of a length that is given, as many as it has room for.

    Args:
        num_frames (`int`): Frames of the walk, numbered in its order.
        blocks (`WalkBlocks`): How.
        name (`str`): Of the walk, for messages.

    Returns:
        `tuple[list[int], list[list[int]]]`: Frames to train on, and the held-out blocks. A block that the walk's ends
        cut short is not held out.

    Raises:
        SpatialDataError: The walk is too short for a held-out block and frames to train on.
    """
    cycle = blocks.train_frames + blocks.held_out_frames
    first = (blocks.first_frame + blocks.train_frames) % cycle
    starts = range(first, num_frames - blocks.held_out_frames + 1, cycle)
    held_out = [range(start, start + blocks.held_out_frames) for start in starts]
    trained = stretches_between(num_frames, held_out, blocks.margin_frames)
    train = [frame for stretch in trained for frame in stretch]
    if not held_out or not neighbours(train):
        raise SpatialDataError(
            f"Scene {name!r} has {num_frames} frames with poses and depth, too few for a block of "
            f"{blocks.held_out_frames} that is held out beside {blocks.train_frames} to train on: give a longer walk, "
            "or smaller blocks."
        )
    return train, [list(block) for block in held_out]


def split_blocks(
    num_frames: int, *, held_out_blocks: int, held_out_fraction: float, dropped_frames: int, clip_frames: int
) -> tuple[list[range], list[range]]:
    """Cuts a walk of any length into as many blocks as asked for: trained, dropped, held out, ... held out at its end.

    Args:
        num_frames (`int`): Frames of the walk.
        held_out_blocks (`int`): Blocks that are held out; each stands at the end of an equal part of the walk.
        held_out_fraction (`float`): Share of the frames that they hold together, between 0 and 1.
        dropped_frames (`int`): Frames left out where a trained block meets a held-out one.
        clip_frames (`int`): Fewest frames of a block.

    Returns:
        `tuple[list[range], list[range]]`: Frame indices of the trained and of the held-out blocks.

    Raises:
        ValueError: An option is out of range, or a block would be shorter than a clip; the message says what to
            change.
    """
    if held_out_blocks < 1:
        raise ValueError(f"held_out_blocks={held_out_blocks}: give 1 or more.")
    if not 0 < held_out_fraction < 1:
        raise ValueError(f"held_out_fraction={held_out_fraction}: give a share between 0 and 1, such as 0.2.")
    if dropped_frames < 0:
        raise ValueError(f"dropped_frames={dropped_frames}: give 0 or more.")
    block_frames = round(num_frames * held_out_fraction / held_out_blocks)
    ends = [round(num_frames * (number + 1) / held_out_blocks) for number in range(held_out_blocks)]
    held_out = [range(end - block_frames, end) for end in ends]
    trained = stretches_between(num_frames, held_out, dropped_frames)[:-1]
    for name, blocks in (("trained", trained), ("held-out", held_out)):
        shortest = min(map(len, blocks))
        if shortest < clip_frames:
            raise ValueError(
                f"{num_frames} frames are too few: a {name} block would have {shortest}, and a clip has "
                f"{clip_frames}. Give a longer scene, fewer held_out_blocks or dropped_frames, or another "
                "held_out_fraction."
            )
    return trained, held_out


def stretches_between(num_frames: int, held_out: Sequence[range], dropped_frames: int) -> list[range]:
    """What is left of a walk before, between and behind its held-out blocks.

    Args:
        num_frames (`int`): Frames of the walk.
        held_out (`Sequence[range]`): The blocks, in order.
        dropped_frames (`int`): Frames left out on either side of each.

    Returns:
        `list[range]`: One more than there are blocks; empty where nothing is left.
    """
    begins = [0, *(block.stop + dropped_frames for block in held_out)]
    ends = [*(block.start - dropped_frames for block in held_out), num_frames]
    return [range(begin, max(begin, end)) for begin, end in zip(begins, ends, strict=True)]


def even_blocks(num_frames: int, block_frames: int) -> list[list[int]]:
    """Cuts a scene that is only tested on into blocks of about equal length.

    Args:
        num_frames (`int`): Its frames.
        block_frames (`int`): Frames of a block, at least; a scene with fewer is one block.

    Returns:
        `list[list[int]]`
    """
    count = max(1, num_frames // block_frames)
    edges = [num_frames * number // count for number in range(count + 1)]
    return [list(range(start, end)) for start, end in pairwise(edges)]


def neighbours(frames: list[int]) -> list[tuple[int, int]]:
    """Pairs of frames of which one follows the other in the walk.

    Args:
        frames (`list[int]`): In order.

    Returns:
        `list[tuple[int, int]]`
    """
    return [(first, second) for first, second in pairwise(frames) if second == first + 1]
