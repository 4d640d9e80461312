"""Rows whose questions are written under VLM3's options when a row is read: what such datasets tell of themselves."""

from collections.abc import Iterator
from typing import Any

import torch

from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.vlm3.spatial_question import WrittenQuestion
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


class WrittenRows(torch.utils.data.Dataset):
    """Base of datasets whose `example(row, draw)` writes fresh questions for every use of a row.

    Args:
        options (`VLM3Options`): How the questions are written.
    """

    def __init__(self, options: VLM3Options):
        self.options = options

    @property
    def task(self) -> str:
        """The task of VLM3."""
        return self.options.task

    @property
    def usage(self) -> dict[str, Any]:
        """How its questions are written, see `VLM3Options.usage`."""
        return self.options.usage

    def unified_sizes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Sizes of the images that the model will see, without decoding them.

        Returns:
            `Iterator[tuple[str, tuple[int, int]]]`: For each camera the name of what it took, and height and width.
        """
        raise NotImplementedError

    def __getitem__(self, row: int) -> SpatialExample:
        return self.example(row, 0)


def turns_of(written: list[WrittenQuestion]) -> dict[str, tuple]:
    """Questions as the turns of a sample.

    Args:
        written (`list[WrittenQuestion]`): In order.

    Returns:
        `dict[str, tuple]`: `conversation`, `question_types` and `references` of a `SpatialExample`.
    """
    return {
        "conversation": tuple((one.question, one.answer) for one in written),
        "question_types": tuple(one.question_type for one in written),
        "references": tuple(one.reference for one in written),
    }
