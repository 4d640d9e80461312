"""Is one geometry better than another? Differences paired over frames; the interval knows how alike neighbours are."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


MAX_BLOCKS = 8
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie.

    Args:
        mean (`float`): Mean difference; nan without any.
        low (`float`): Lower end; minus infinity where there is too little to tell.
        high (`float`): Upper end; infinity where there is too little to tell.
    """

    mean: float
    low: float
    high: float


def paired_interval(differences: np.ndarray, frames: np.ndarray) -> Interval:
    """Student's interval over blocks of time: consecutive frames are no independent witnesses, blocks nearly are.

    Args:
        differences (`np.ndarray`): (P,) of pairs of frames; those that are not finite are left out.
        frames (`np.ndarray`): (P,) the earlier frame of each pair.

    Returns:
        `Interval`: Of the mean over blocks, at 99 %.
    """
    used = np.isfinite(differences)
    if not used.any():
        return Interval(float("nan"), -np.inf, np.inf)
    order = np.argsort(frames[used], kind="stable")
    values, times = differences[used][order], frames[used][order]
    distinct, place = np.unique(times, return_inverse=True)
    blocks = min(MAX_BLOCKS, len(distinct))
    block = place * blocks // len(distinct)
    means = np.bincount(block, values) / np.bincount(block)
    mean = float(means.mean())
    if blocks < 2:
        return Interval(mean, -np.inf, np.inf)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, blocks - 1) * means.std(ddof=1) / np.sqrt(blocks)
    return Interval(mean, float(mean - half), float(mean + half))
