"""Asks a model the questions of groups, in the order of the groups."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.centre_square import centre_square, crops_to_centre
from igep.trainers.data.geometry_batch import geometry_batch
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.benchmarks.benchmark import QuestionGroup
from igep.trainers.evaluation.benchmarks.reconstruction import ScenesToReconstruct
from igep.trainers.evaluation.benchmarks.scene_questions import SceneQuestions
from igep.trainers.evaluation.load_vlm import reads_positions


@dataclass(frozen=True)
class GroupSample(Sample):
    """The questions of a group, which comes back with the answers.

    Args:
        group (`QuestionGroup`): Whose frames and questions they are; what is true is not shown to the model.
    """

    group: QuestionGroup = field(kw_only=True)


def answer_groups(
    model: PreTrainedModel,
    processor: IGEPProcessor,
    groups: Iterable[QuestionGroup],
    options: AnsweringOptions,
    *,
    frames_as: str,
    progress: str | None = None,
    total: int | None = None,
) -> Iterator[tuple[QuestionGroup, list[str]]]:
    """Answers all questions of all groups.

    Args:
        model (`PreTrainedModel`): An IGEP model or a plain VLM in eval mode.
        processor (`IGEPProcessor`): Its processor.
        groups (`Iterable[QuestionGroup]`): Read as they are answered.
        options (`AnsweringOptions`): How answers are decoded.
        frames_as (`str`): `"images"` or `"video"`.
        progress (`str`, *optional*): Title of a progress bar; without one, none is shown.
        total (`int`, *optional*): Number of groups, for the progress bar.

    Yields:
        `tuple[QuestionGroup, list[str]]`: Every group, and an answer to each of its questions.

    Raises:
        ValueError: The model reads 3D positions, and a group has none.
    """
    with_geometry = reads_positions(model.config.to_dict())
    samples = (
        GroupSample(
            group.group_id,
            group.read_frames(),
            [each.question for each in group.questions],
            frames_as,
            _geometry(model, processor, group, frames_as) if with_geometry else None,
            group=group,
        )
        for group in groups
    )
    for sample, texts in answer_samples(model, processor, samples, options, progress=progress, total=total):
        yield sample.group, texts


def unified_groups(groups: Iterable[QuestionGroup], processor: IGEPProcessor) -> Iterator[QuestionGroup]:
    """Groups whose frames are checked when they are read: the processor must leave unified images at their size.

    Args:
        groups (`Iterable[QuestionGroup]`): Of one of VLM3's tasks.
        processor (`IGEPProcessor`): The model's.

    Yields:
        `QuestionGroup`: Each of them. Reading its frames raises a `ValueError` where the processor would resize one.
    """
    right: set[tuple[int, int]] = set()

    def checked_frames(group: QuestionGroup) -> Sequence[Image.Image]:
        frames = group.read_frames()
        for size in {(frame.height, frame.width) for frame in frames} - right:
            try:
                processor.check_unified_size(size)
            except ValueError as error:
                raise ValueError(f"{group.group_id}: {error}") from error
            right.add(size)
        return frames

    for group in groups:
        yield replace(group, read_frames=partial(checked_frames, group))


def _geometry(
    model: PreTrainedModel, processor: IGEPProcessor, group: QuestionGroup, frames_as: str
) -> dict[str, torch.Tensor]:
    """What a model that reads 3D positions is shown besides the frames of a group, as in its training."""
    check_knows_positions(group)
    size = (model.config.geometry_size[0], model.config.geometry_size[1])
    example = group.read_example(size)
    if frames_as == "video" and crops_to_centre(processor):
        example = centre_square(example)
    return geometry_batch([example], size, model.config.position_range_metres)


def check_knows_positions(group: QuestionGroup) -> None:
    """Raises `ValueError` where the benchmark of a group has nothing from which 3D positions could be computed."""
    if group.read_example is None:
        raise ValueError(
            f"{group.group_id}: this benchmark knows no depth and poses, which the model needs to answer "
            "(position_encoding). Score a model that answers from RGB."
        )


class SpreadGroups(Sequence[QuestionGroup]):
    """At most so many of some groups, spread evenly over all.

    Args:
        groups (`Sequence[QuestionGroup]`): All of them.
        most (`int`, *optional*): How many; all unless given.

    Attributes:
        of (`int`): How many all groups are.
        left_out (`LeftOutQuestions`, *optional*): Questions of the benchmark's file that are in none of all groups.
    """

    def __init__(self, groups: Sequence[QuestionGroup], most: int | None):
        self.left_out = groups.left_out if isinstance(groups, SceneQuestions) else None
        self.of = len(groups)
        taken = len(groups) if most is None else min(most, len(groups))
        self._groups = groups
        self._numbers = [place * len(groups) // taken for place in range(taken)]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> QuestionGroup:
        return self._groups[self._numbers[place]]

    def check(self, geometry: Sequence[str]) -> list[dict[str, Any]]:
        """Reads the questions of all groups, and no shown frame, so that what is wrong with the last is told first.

        Scenes to reconstruct have no questions and are checked alone. Groups of other kinds are not read: their
        questions are written from frames, or were checked when they were loaded.

        Args:
            geometry (`Sequence[str]`): What their scenes must have: of `depth_metres`, `intrinsics` and
                `world_from_camera`.

        Returns:
            `list[dict]`: The rows of `QuestionGroup.row` of all that were read, without predictions.

        Raises:
            SpatialDataError: A question or a scene that cannot be asked about.
        """
        if isinstance(self._groups, ScenesToReconstruct):
            for number in self._numbers:
                self._groups.check(number)
        if not isinstance(self._groups, SceneQuestions):
            return []
        read = [self._groups.check(number, geometry) for number in self._numbers]
        return [group.row(question, None) for group in read for question in group.questions]
