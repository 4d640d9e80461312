"""What rows to train on tell of themselves, whatever their class: names, task, and how it wants to be asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SpatialExample


FARTHEST_DEPTH = "max_depth_metres"  # in `usage`: depth beyond it was no measurement


@runtime_checkable
class RowSource(Protocol):
    """Rows to train on, as a mixture reads and cards report them. A class of one's own needs these and no base."""

    @property
    def sample_ids(self) -> Sequence[str]:
        """Names of the rows, in order, without reading them."""

    @property
    def task(self) -> str:
        """What rows ask, in a word or two: `questions` for those of people, a task of VLM3, or words of one's own."""

    @property
    def usage(self) -> dict[str, Any]:
        """The options under which the questions of the task were written, without which a model would be asked
        differently than it was taught (see `VLM3Options.usage`), and `FARTHEST_DEPTH` of the depth that was read;
        empty where the questions are plain words and depth is as it was measured."""

    def __len__(self) -> int: ...

    def example(self, row: int, draw: int) -> SpatialExample:
        """The row as it is when it comes for the `draw`-th time, counted from 0."""


@dataclass(frozen=True)
class RowText:
    """A text of a row.

    Args:
        where (`str`): File and line, or the name of the question, for messages.
        kind (`str`): `"question"`, `"answer"`, or `"prompt"` of a text that trains nothing.
        text (`str`): The text.
    """

    where: str
    kind: str
    text: str


@runtime_checkable
class TextSource(Protocol):
    """Rows whose texts are known without frames: they are read before training. A class of one's own may be one."""

    def texts(self) -> Iterator[RowText]:
        """Every text of the rows."""


@runtime_checkable
class SceneRows(Protocol):
    """Rows about scenes of a table: a resumed run compares their geometry."""

    scene_table: SceneTable


@runtime_checkable
class RowsOfScenes(SceneRows, Protocol):
    """Rows of which each is about one scene of the table: what a loss needs of all scenes is looked at beforehand."""

    @property
    def scene_numbers(self) -> Sequence[int]:
        """The scene of each row, by its place in the table."""


class MapStyleRows:
    """A map-style dataset of `SpatialExample` that tells nothing of itself, as a row source: questions in plain words.

    Args:
        dataset (`torch.utils.data.Dataset`): The dataset.
    """

    task = "rows of a dataset class of the user's"
    usage: dict[str, Any] = {}

    def __init__(self, dataset: torch.utils.data.Dataset):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Numbers of the rows: names are not known without reading them."""
        return tuple(str(row) for row in range(len(self)))

    def example(self, row: int, draw: int) -> SpatialExample:
        """The row, the same at every use."""
        return self._dataset[row]


def as_row_source(dataset: torch.utils.data.Dataset) -> RowSource:
    """What a dataset tells of its rows.

    Args:
        dataset (`torch.utils.data.Dataset`): A row source, or any map-style dataset of `SpatialExample`.

    Returns:
        `RowSource`: The dataset itself if it is one.

    Raises:
        TypeError: It has `example` as a row source has, but leaves out what cards report.
    """
    if isinstance(dataset, RowSource):
        return dataset
    missing = [name for name in ("sample_ids", "task", "usage") if name not in dir(dataset)]
    if missing and "example" in dir(dataset):  # a card would call its task that of any dataset
        raise TypeError(
            f"{type(dataset).__name__} has `example` but not {', '.join(f'`{name}`' for name in missing)}: define "
            "what `RowSource` lists, or take `example` away to train on it as a plain dataset."
        )
    return MapStyleRows(dataset)
