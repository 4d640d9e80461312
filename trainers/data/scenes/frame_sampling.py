"""Which frames of a long video are used and in what order: evenly spread, by count, the same every time."""

import re

import numpy as np


def uniform_frame_indices(num_available: int, num_frames: int) -> np.ndarray:
    """Indices of `num_frames` different frames spread evenly over a video, its first and its last included.

    Args:
        num_available (`int`): Frames that the video has.
        num_frames (`int`): Frames wanted; one frame is the middle one.

    Returns:
        `np.ndarray`: (num_frames,) int64, strictly increasing.

    Raises:
        ValueError: Fewer frames available than wanted, or fewer than one wanted.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames}: ask for at least one frame.")
    if num_available < num_frames:
        raise ValueError(f"num_frames={num_frames}, but only {num_available} frames are available: ask for fewer.")
    if num_frames == 1:
        return np.array([(num_available - 1) // 2])
    return np.linspace(0, num_available - 1, num_frames).round().astype(np.int64)


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Sort key under which `frame-2` comes before `frame-10`.

    Args:
        name (`str`): File or folder name.

    Returns:
        `list[tuple[int, int | str]]`: Its runs of digits as numbers and its other parts as lower-case text.
    """
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
