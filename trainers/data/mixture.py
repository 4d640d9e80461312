"""Several datasets as one, in an order that is a pure function of a seed (`mixture_order`), read row by row as drawn.

The same samples come on any number of ranks and after a resume: a run that stopped after n samples goes on with sample
n.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from igep.trainers.data.mixture_order import MixtureOrder, Place
from igep.trainers.data.row_source import RowSource, as_row_source
from igep.trainers.data.scenes.spatial_example import SpatialExample


WEIGHTINGS = ("uniform", "size", "temperature", "custom")


@dataclass(frozen=True)
class MixturePart:
    """One dataset of a mixture.

    Args:
        name (`str`): Unique in the mixture; sample names begin with it.
        dataset (`RowSource`): Its rows.
        weight (`float`, *optional*): Share in a mixture with custom weights, relative to the others.
        max_samples (`int`, *optional*): Use at most so many of the rows, drawn with the seed.
        percent (`float`, *optional*, defaults to `100.0`): Use so many of a hundred rows, drawn with the seed. A
            smaller percentage is a part of a larger one.

    Raises:
        ValueError: A value outside its range, or nothing left of the dataset.
    """

    name: str
    dataset: RowSource
    weight: float | None = None
    max_samples: int | None = None
    percent: float = 100.0

    def __post_init__(self):
        where = f"Mixture part {self.name!r}"
        if not self.name:
            raise ValueError(f"{where}: the name is empty. Give each part one of its own.")
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(
                f"{where}: max_samples={self.max_samples} must be at least 1; to leave it out, remove it."
            )
        if not 0 < self.percent <= 100:
            raise ValueError(f"{where}: percent={self.percent} must be above 0 and at most 100.")
        if self.weight is not None and not 0 <= self.weight < float("inf"):
            raise ValueError(f"{where}: weight={self.weight} must be a finite number >= 0.")
        if len(self.dataset) == 0:
            raise ValueError(f"{where}: its dataset is empty. Check its path and filters, or remove the part.")
        if self.num_rows == 0:
            raise ValueError(
                f"{where}: percent={self.percent} of {len(self.dataset)} rows leaves none. Raise percent."
            )

    @property
    def num_rows(self) -> int:
        """Rows in use, after `percent` and `max_samples`."""
        rows = round(len(self.dataset) * self.percent / 100)
        return rows if self.max_samples is None else min(rows, self.max_samples)


def mixture_shares(parts: Sequence[MixturePart], weighting: str = "size", temperature: float = 2.0) -> np.ndarray:
    """Share of each part in the samples.

    Args:
        parts (`Sequence[MixturePart]`): D parts.
        weighting (`str`, *optional*, defaults to `"size"`): `uniform`; `size` = rows in use; `temperature` = rows in
            use to the power of 1 / temperature (T5, section 3.5.2, after its cap); `custom` = each part's `weight`.
        temperature (`float`, *optional*, defaults to `2.0`): 1 is `size`, and the larger, the closer to `uniform`.

    Returns:
        `np.ndarray`: (D,) float64, sums to 1.

    Raises:
        ValueError: No part, a name that comes twice, an unknown weighting, a temperature below 1, weights that are
            missing, all 0, or given where they would not be used.
    """
    if not parts:
        raise ValueError("mixture is empty: give at least one part.")
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"mixture names {name!r} {names.count(name)} times: give each part a name of its own.")
    if weighting not in WEIGHTINGS:
        raise ValueError(f"mixture_weights={weighting!r} is unknown: use one of {', '.join(WEIGHTINGS)}.")
    if not 1 <= temperature < float("inf"):
        raise ValueError(f"mixture_temperature={temperature} must be a finite number >= 1.")
    for part in parts:
        if (part.weight is None) == (weighting == "custom"):
            raise ValueError(
                f"Mixture part {part.name!r}: weight={part.weight} with mixture_weights={weighting!r}. Give every "
                "part a weight and set mixture_weights to custom, or give none."
            )
    sizes = np.array([part.num_rows for part in parts], dtype=np.float64)
    if weighting == "uniform":
        weights = np.ones(len(parts))
    elif weighting == "custom":
        weights = np.array([part.weight for part in parts], dtype=np.float64)
        if weights.max() == 0:
            raise ValueError("mixture: every weight is 0. Give at least one part a weight above 0.")
        weights = weights / weights.max()
    else:
        weights = (sizes / sizes.max()) ** (1 if weighting == "size" else 1 / temperature)
    return weights / weights.sum()


class MixtureDataset(torch.utils.data.Dataset):
    """Several datasets as one map-style dataset, to be read in order: sample n of the run is row n.

    The length is that of one epoch of the trainer, and epochs follow each other without a seam: row i of epoch e is
    sample e * len + i of the run (`set_epoch`, which data loaders call). A part has epochs of its own, whose questions
    are fresh ones where the dataset writes them itself. `IGEPSFTTrainer` reads a mixture in order by itself.

    Args:
        parts (`Sequence[MixturePart]`): The datasets.
        weighting (`str`, *optional*, defaults to `"size"`): See `mixture_shares`.
        temperature (`float`, *optional*, defaults to `2.0`): See `mixture_shares`.
        samples_per_epoch (`int`, *optional*): Length; the number of all rows in use unless given.
        samples_per_step (`int`, *optional*, defaults to `1`): The length is rounded up to a multiple of it. With the
            global batch size, no epoch ends within a step, and every number of ranks sees the same samples.
        group_size (`int`, *optional*, defaults to `1`): Samples that follow each other and are of one part. With the
            batch size of a process, every batch is of one part.
        seed (`int`, *optional*, defaults to `0`): Seed of the order.

    Raises:
        ValueError: See `mixture_shares`; or a length below 1.
    """

    def __init__(
        self,
        parts: Sequence[MixturePart],
        *,
        weighting: str = "size",
        temperature: float = 2.0,
        samples_per_epoch: int | None = None,
        samples_per_step: int = 1,
        group_size: int = 1,
        seed: int = 0,
    ):
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise ValueError(f"mixture_samples_per_epoch={samples_per_epoch} must be at least 1.")
        if samples_per_step < 1:
            raise ValueError(f"samples_per_step={samples_per_step} must be at least 1.")
        if group_size < 1 or samples_per_step % group_size:
            raise ValueError(
                f"group_size={group_size} must be at least 1 and divide samples_per_step={samples_per_step}."
            )
        self.shares = mixture_shares(parts, weighting, temperature)
        self.parts = tuple(parts)
        self._row_names = [part.dataset.sample_ids for part in parts]
        sizes = [part.num_rows for part in parts]
        length = sum(sizes) if samples_per_epoch is None else samples_per_epoch
        self._length = math.ceil(length / samples_per_step) * samples_per_step
        self.order = MixtureOrder(
            [part.name for part in parts],
            [len(part.dataset) for part in parts],
            sizes,
            self.shares,
            seed,
            group_size,
        )
        # In shared memory: workers that outlive an epoch must hear of the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch of the trainer is read from now on, counted from 0."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> SpatialExample:
        sample = self._sample(index)
        place = self.order.place(sample)
        example = self.parts[place.part].dataset.example(place.row, place.draw)
        return dataclasses.replace(example, sample_id=self._name(place))

    def sample_id(self, index: int) -> str:
        """Name of the sample at an index, `<part>/<row>#<draw>`, without reading it.

        Args:
            index (`int`): Within the epoch that is set.

        Returns:
            `str`
        """
        return self._name(self.order.place(self._sample(index)))

    def counts(self, num_samples: int) -> dict[str, int]:
        """How many of the first samples of the run come from each part.

        Args:
            num_samples (`int`): From the start of the run.

        Returns:
            `dict[str, int]`: Name of the part to its count.
        """
        counts = self.order.counts(num_samples).tolist()
        return {part.name: count for part, count in zip(self.parts, counts, strict=True)}

    def samples_after_steps(self, steps: int, samples_per_step: int) -> int:
        """How many samples of the run a number of optimiser steps has used.

        Args:
            steps (`int`): Steps since the start of the run.
            samples_per_step (`int`): Global batch size. The last step of an epoch has fewer where it does not divide
                it.

        Returns:
            `int`
        """
        epochs, rest = divmod(steps, math.ceil(self._length / samples_per_step))
        return epochs * self._length + min(rest * samples_per_step, self._length)

    def logged_counts(self, steps: int, samples_per_step: int) -> dict[str, int]:
        """What a log after a number of optimiser steps says about the samples of the run up to there.

        Args:
            steps (`int`): Steps since the start of the run.
            samples_per_step (`int`): Global batch size.

        Returns:
            `dict[str, int]`: `samples_<part>` to the count of the part.
        """
        counts = self.counts(self.samples_after_steps(steps, samples_per_step))
        return {f"samples_{name}": count for name, count in counts.items()}

    def count_table(self, num_samples: int) -> str:
        """A table of what the first samples of the run were: realised and wanted shares, and epochs of each part.

        Args:
            num_samples (`int`): From the start of the run.

        Returns:
            `str`
        """
        width = max(len("mixture"), *(len(part.name) for part in self.parts)) + 2
        columns = ("rows", "samples", "share", "wanted", "epochs")
        lines = [f"{'mixture':<{width}}" + "".join(f"{column:>10}" for column in columns)]
        for part, share, count in zip(self.parts, self.shares, self.counts(num_samples).values(), strict=True):
            realised = count / max(num_samples, 1)
            lines.append(
                f"{part.name:<{width}}{part.num_rows:>10}{count:>10}{realised:>10.2%}{share:>10.2%}"
                f"{count / part.num_rows:>10.2f}"
            )
        return "\n".join(lines)

    def _sample(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(f"Sample {index} of a mixture of {self._length} samples an epoch.")
        return int(self._epoch) * self._length + index

    def _name(self, place: Place) -> str:
        return f"{self.parts[place.part].name}/{self._row_names[place.part][place.row]}#{place.draw}"


@dataclass(frozen=True)
class DrawnRows:
    """The rows of one source that a run has drawn from.

    Args:
        name (`str`): Name of the part of the mixture.
        source (`RowSource`): Its rows.
        num_rows (`int`): Rows in use.
        samples (`int`): Samples drawn.
    """

    name: str
    source: RowSource
    num_rows: int
    samples: int


def drawn_rows(dataset: torch.utils.data.Dataset, samples: int) -> list[DrawnRows]:
    """What the first samples of a run are, source by source.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.
        samples (`int`): From the start of the run.

    Returns:
        `list[DrawnRows]`: The parts of a mixture in their order; one of the name "training rows" for any other
        dataset.
    """
    if not isinstance(dataset, MixtureDataset):
        return [DrawnRows("training rows", as_row_source(dataset), len(dataset), samples)]
    counts = dataset.counts(samples)
    return [
        DrawnRows(part.name, as_row_source(part.dataset), part.num_rows, counts[part.name]) for part in dataset.parts
    ]
