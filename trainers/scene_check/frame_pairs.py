"""Which frames are compared: near and far, up to the whole sequence, so that some motion shows every mistake."""

import numpy as np


PAIRS_PER_GAP = 12
FEW_PAIRS = 12
NEIGHBOUR_GAPS = (1, 2, 3)


def near_and_far_pairs(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of frames 1, 2, 4, 8, ... apart, spread evenly over the scene, in either direction.

    Args:
        num_frames (`int`): Frames of the scene.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (P,) int64 sources and targets; both directions of each pair where there are
        few.
    """
    earlier, later = [], []
    gap = 1
    while gap < num_frames:
        starts = np.linspace(0, num_frames - 1 - gap, min(PAIRS_PER_GAP, num_frames - gap)).round().astype(np.int64)
        earlier.append(starts)
        later.append(starts + gap)
        gap *= 2
    first = np.concatenate(earlier) if earlier else np.empty(0, dtype=np.int64)
    second = np.concatenate(later) if later else np.empty(0, dtype=np.int64)
    if len(first) <= FEW_PAIRS:
        return np.concatenate([first, second]), np.concatenate([second, first])
    is_turned = np.arange(len(first)) % 2 == 1
    return np.where(is_turned, second, first), np.where(is_turned, first, second)


def neighbour_pairs(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of frames up to three apart: each frame is in several.

    Args:
        num_frames (`int`): Frames of the scene.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (P,) int64 sources and targets, the source first in time.
    """
    sources = [np.arange(num_frames - gap) for gap in NEIGHBOUR_GAPS if gap < num_frames]
    if not sources:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    targets = [source + gap for gap, source in zip(NEIGHBOUR_GAPS, sources, strict=False)]
    return np.concatenate(sources), np.concatenate(targets)
