"""Asks a model the questions of groups, in the order of the groups."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.benchmarks.benchmark import QuestionGroup


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
    """
    samples = (
        GroupSample(
            group.group_id, group.read_frames(), [each.question for each in group.questions], frames_as, group=group
        )
        for group in groups
    )
    for sample, texts in answer_samples(model, processor, samples, options, progress=progress, total=total):
        yield sample.group, texts


class SpreadGroups(Sequence[QuestionGroup]):
    """At most so many of some groups, spread evenly over all.

    Args:
        groups (`Sequence[QuestionGroup]`): All of them.
        most (`int`, *optional*): How many; all unless given.
    """

    def __init__(self, groups: Sequence[QuestionGroup], most: int | None):
        taken = len(groups) if most is None else min(most, len(groups))
        self._groups = groups
        self._numbers = [place * len(groups) // taken for place in range(taken)]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> QuestionGroup:
        return self._groups[self._numbers[place]]
