"""Intervals of a figure over blocks of frames that were scored together: a percentile bootstrap over the blocks.

Frames of a block resemble each other, so blocks are drawn, not frames. With few blocks such an interval is too narrow:
it knows no block but those that there are.
"""

from collections.abc import Callable

import numpy as np


FEWEST_BLOCKS = 4  # of fewer, an interval would say next to nothing
DRAWS = 10_000


def resampled_counts(num_blocks: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each block is in each resample.

    Args:
        num_blocks (`int`): Blocks.
        draws (`int`, *optional*, defaults to `10000`): Resamples.
        seed (`int`, *optional*, defaults to `0`): Draws them.

    Returns:
        `np.ndarray`: (draws, num_blocks) int64; a row adds up to `num_blocks`.
    """
    return np.random.default_rng(seed).multinomial(num_blocks, np.full(num_blocks, 1 / num_blocks), size=draws)


def interval(
    figure: Callable[[np.ndarray], np.ndarray],
    sums: np.ndarray,
    others: np.ndarray | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The interval of a figure, or of its difference between two arms that were scored on the same blocks.

    Args:
        figure (`Callable`): (..., K) sums over blocks -> (...) the figure.
        sums (`np.ndarray`): (N, K) what each block adds to them.
        others (`np.ndarray`, *optional*): (N, K) the same of the arm that is taken off; resampled together with the
            first.
        level (`float`, *optional*, defaults to `0.95`): Share of the resamples inside.
        draws (`int`, *optional*, defaults to `10000`): Resamples.
        seed (`int`, *optional*, defaults to `0`): Draws them.

    Returns:
        `tuple[float, float]` or `None`: `None` of fewer than `FEWEST_BLOCKS` blocks.

    Raises:
        ValueError: The arms have other blocks.
    """
    if others is not None and others.shape != sums.shape:
        raise ValueError(f"{len(sums)} and {len(others)} blocks: a difference is paired over the same ones.")
    if len(sums) < FEWEST_BLOCKS:
        return None
    counts = resampled_counts(len(sums), draws, seed)
    values = figure(counts @ sums)
    if others is not None:
        values = values - figure(counts @ others)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
