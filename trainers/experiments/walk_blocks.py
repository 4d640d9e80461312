"""A walk through a place, cut into blocks of time: some to train on, some held out, and between them frames that nobody sees.

Neighbouring frames are near-copies, and so are their depths: only a block whose neighbours are left out measures more than
memory.
"""

from dataclasses import dataclass
from itertools import pairwise

from igep.trainers.data.scenes.spatial_example import SpatialDataError


@dataclass(frozen=True)
class WalkBlocks:
    """How a walk is cut.

    Args:
        train_frames (`int`, *optional*, defaults to `40`): Frames between two held-out blocks.
        held_out_frames (`int`, *optional*, defaults to `20`): Frames of a held-out block.
        margin_frames (`int`, *optional*, defaults to `5`): Of the frames between, so many are dropped on either side of a
            held-out block.
        first_frame (`int`, *optional*, defaults to `0`): Frame at which the first block to train on begins; those before it
            belong to the cycle as well. Another one holds other blocks out.

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
                f"margin_frames={self.margin_frames} on either side leave fewer than 2 of train_frames={self.train_frames}: lower "
                "the margin."
            )


def split_walk(num_frames: int, blocks: WalkBlocks, name: str) -> tuple[list[int], list[list[int]]]:
    """Cuts a walk.

    Args:
        num_frames (`int`): Frames of the walk, numbered in its order.
        blocks (`WalkBlocks`): How.
        name (`str`): Of the walk, for messages.

    Returns:
        `tuple[list[int], list[list[int]]]`: Frames to train on, and the held-out blocks. A block that the walk's ends cut short
        is not held out.

    Raises:
        SpatialDataError: The walk is too short for a held-out block and frames to train on.
    """
    cycle = blocks.train_frames + blocks.held_out_frames
    first = (blocks.first_frame + blocks.train_frames) % cycle
    starts = range(first, num_frames - blocks.held_out_frames + 1, cycle)
    held_out = [list(range(start, start + blocks.held_out_frames)) for start in starts]
    unseen = {
        frame
        for start in starts
        for frame in range(start - blocks.margin_frames, start + blocks.held_out_frames + blocks.margin_frames)
    }
    train = [frame for frame in range(num_frames) if frame not in unseen]
    if not held_out or not neighbours(train):
        raise SpatialDataError(
            f"Scene {name!r} has {num_frames} frames with poses and depth, too few for a block of {blocks.held_out_frames} that is "
            f"held out beside {blocks.train_frames} to train on: give a longer walk, or smaller blocks."
        )
    return train, held_out


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
