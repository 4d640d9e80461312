"""The order of a mixture, without its data: which sample of a run is which row of which part.

It is a pure function of the seed, so it is the same on any number of ranks and after a resume. Each part goes through
its own shuffled epochs; the shares say how the parts are interleaved.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


BLOCK = 64  # groups of samples within which the order is random; over whole blocks the counts follow the shares
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Place:
    """Where a sample comes from: number of the part, row of its dataset, and how many times the row came before."""

    part: int
    row: int
    draw: int


class MixtureOrder:
    """The order of a mixture, without its data.

    In each block of 64 samples the parts come in a random order, as often as their shares say: rounded up or down, and
    rounded so that the errors of the blocks cancel out (systematic sampling whose offsets follow the golden ratio).
    Where samples come in groups of one part, all this holds of groups.

    Args:
        names (`Sequence[str]`): D names; a part's own order depends on its name, not on the other parts.
        dataset_sizes (`Sequence[int]`): Rows of each dataset.
        rows_in_use (`Sequence[int]`): Of these, how many are used.
        shares (`np.ndarray`): (D,) shares that sum to 1.
        seed (`int`): The same seed gives the same order.
        group_size (`int`, *optional*, defaults to `1`): Samples that follow each other and are of one part.
    """

    def __init__(
        self,
        names: Sequence[str],
        dataset_sizes: Sequence[int],
        rows_in_use: Sequence[int],
        shares: np.ndarray,
        seed: int,
        group_size: int = 1,
    ):
        self._seed = seed
        self._group_size = group_size
        self._seeds = [[seed, *name.encode()] for name in names]
        self._rows = [
            # The first of a permutation, so that a smaller subsample lies within a larger one.
            np.sort(np.random.default_rng(own).permutation(size)[:used])
            for own, size, used in zip(self._seeds, dataset_sizes, rows_in_use, strict=True)
        ]
        edges = np.cumsum(shares)
        self._edges = BLOCK * edges / edges[-1]
        self._offset = np.random.default_rng(seed).random()
        self._block: tuple[int, np.ndarray, np.ndarray] | None = None
        self._permutations: dict[int, tuple[int, np.ndarray]] = {}

    def counts(self, num_samples: int) -> np.ndarray:
        """How many of the first samples of the run come from each part.

        Args:
            num_samples (`int`): From the start of the run.

        Returns:
            `np.ndarray`: (D,) int64.
        """
        groups, samples = divmod(num_samples, self._group_size)
        blocks, rest = divmod(groups, BLOCK)
        counts = self._block_counts(np.arange(blocks)).sum(0)
        parts, _ = self._read_block(blocks)
        counts = (counts + np.bincount(parts[:rest], minlength=len(self._rows))) * self._group_size
        counts[parts[rest]] += samples
        return counts

    def place(self, sample: int) -> Place:
        """Where the sample of this number, counted from the start of the run, comes from.

        Args:
            sample (`int`): 0 or more, without end.

        Returns:
            `Place`
        """
        group, number = divmod(sample, self._group_size)
        parts, positions = self._read_block(group // BLOCK)
        part = int(parts[group % BLOCK])
        position = int(positions[group % BLOCK]) * self._group_size + number
        draw, number = divmod(position, len(self._rows[part]))
        held_draw, permutation = self._permutations.get(part, (-1, np.empty(0)))
        if held_draw != draw:
            permutation = np.random.default_rng([*self._seeds[part], 1 + draw]).permutation(len(self._rows[part]))
            self._permutations[part] = draw, permutation
        return Place(part, int(self._rows[part][permutation[number]]), draw)

    def _block_counts(self, blocks: np.ndarray) -> np.ndarray:
        """(B, D) groups of each part in each of the B blocks."""
        offsets = np.modf(self._offset + blocks * GOLDEN_RATIO)[0]
        edges = np.ceil(self._edges - offsets[:, None]).astype(np.int64)
        return np.diff(edges, axis=1, prepend=0)

    def _read_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """(64,) part of each group of a block, and which group of that part it is since the start of the run."""
        if self._block is None or self._block[0] != block:
            counts = self._block_counts(np.arange(block + 1))
            parts = np.repeat(np.arange(len(self._rows)), counts[-1])
            positions = np.concatenate([np.arange(count) for count in counts[-1]]) + counts[:-1].sum(0)[parts]
            shuffled = np.random.default_rng([self._seed, block]).permutation(BLOCK)
            # Positions ascend within a part, so that a part's own epochs come one after the other.
            order = parts[shuffled]
            ascending = np.empty(BLOCK, dtype=np.int64)
            ascending[np.argsort(order, kind="stable")] = positions
            self._block = block, order, ascending
        return self._block[1], self._block[2]
