"""What a benchmark is to the scorer: questions about frames with a metric, or a measurement of the model itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from transformers import PreTrainedModel

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.metrics.figure import Figure


@dataclass(frozen=True)
class Question:
    """A question of a benchmark, and what the metric needs to judge an answer to it.

    Args:
        sample_id (`str`): Unique in the benchmark.
        question (`str`): As the model is asked.
        answer (`str`): A true answer in words.
        question_type (`str`): Empty where the benchmark has no types.
        reference (`Any`): The truth as the metric takes it.
    """

    sample_id: str
    question: str
    answer: str
    question_type: str
    reference: Any


@dataclass(frozen=True)
class QuestionGroup:
    """Questions about the same frames. None of them sees another.

    Args:
        group_id (`str`): Name of the frames: a scene, a pair of images.
        questions (`tuple[Question, ...]`): At least one.
        read_frames (`Callable`): Reads the RGB frames, in order. Nothing else goes to a model, unless it reads 3D
            positions.
        read_example (`Callable`, *optional*): Reads the same frames with their depth, of a height and width, and their
            cameras, for a model that reads 3D positions; `None` = they are not known.
    """

    group_id: str
    questions: tuple[Question, ...]
    read_frames: Callable[[], Sequence[Image.Image]]
    read_example: Callable[[tuple[int, int]], SpatialExample] | None = None

    def row(self, question: Question, prediction: str | None) -> dict[str, Any]:
        """A question of the group and what was predicted for it: a line of the predictions, and what metrics are fed.

        Args:
            question (`Question`): One of them.
            prediction (`str` or `None`): The model's answer; `None` = there is none.

        Returns:
            `dict`: The question's fields, `group_id` and `prediction`.
        """
        return {"group_id": self.group_id, **vars(question), "prediction": prediction}


class QuestionBenchmark(ABC):
    """Questions whose answers are scored.

    Attributes:
        name (`str`): As on the command line.
        max_new_tokens (`int`): Longest answer unless the options say otherwise.
        frames_as (`str`): `"video"` or `"images"`, unless the model or the options say otherwise.
        task (`str`): Task of the rows: `questions`, or one of VLM3.
        dataset (`str`, *optional*): Loader of the benchmark's own files, which reads them unless the options name
            another.
        change_no_answer (`tuple[str, ...]`): Options that change no answer, so that a run goes on with others.
    """

    name: str
    max_new_tokens: int = 64
    frames_as: str = "video"
    task: str = "questions"
    dataset: str | None = None
    change_no_answer: tuple[str, ...] = ("questions_per_pass", "checkpoint", "picture", "pixel_grid")

    def longest_answer(self, think: bool) -> int:
        """Longest answer in tokens unless the options say otherwise.

        Args:
            think (`bool`): Whether questions of the option `think` ask for reasoning.

        Returns:
            `int`
        """
        return self.max_new_tokens

    @abstractmethod
    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> Sequence[QuestionGroup]:
        """The questions, in an order that depends on the options alone. Frames are not read before they are asked for.

        Args:
            options (`BenchmarkOptions`): Scenes and questions.
            tables (`SceneTableCache`): Keeps the scenes for other benchmarks.

        Returns:
            `Sequence[QuestionGroup]`

        Raises:
            ValueError: There are no such questions, or they break their format.
        """

    @abstractmethod
    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        """Scores predictions.

        Args:
            rows (`Sequence[dict]`): One row of `QuestionGroup.row` for every question of the benchmark, in order.
            options (`BenchmarkOptions`): As for `groups`.

        Returns:
            `tuple[dict[str, Figure], dict]`: The scores by their names, and what was counted beside them.
        """

    def check_references(self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions) -> None:
        """Raises `ValueError` where the metric does not take what is true, as `figures` would when all is answered.

        Args:
            rows (`Sequence[dict]`): As for `figures`, without predictions.
            options (`BenchmarkOptions`): As for `groups`.
        """
        self.figures(rows, options)

    def check_model(self, settings: dict[str, Any], options: BenchmarkOptions) -> None:  # noqa: B027
        """Raises `ValueError` where the model cannot answer such questions; called before any benchmark is answered.

        Args:
            settings (`dict`): The configuration of the saved model.
            options (`BenchmarkOptions`): As for `groups`.
        """

    @abstractmethod
    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        """How scores are measured, see `BenchmarkResults`; with `geometry_inputs`: `none`, `pose` or `depth+pose`."""


class AnsweringBenchmark(QuestionBenchmark):
    """A benchmark whose questions are not answered by generating text."""

    @abstractmethod
    def answers(
        self,
        model: PreTrainedModel,
        processor: IGEPProcessor,
        groups: Iterable[QuestionGroup],
        options: BenchmarkOptions,
        *,
        share_prefix: bool = True,
        progress: str | None = None,
        total: int | None = None,
    ) -> Iterator[tuple[QuestionGroup, list[str]]]:
        """Answers all questions of all groups.

        Args:
            model (`PreTrainedModel`): In eval mode.
            processor (`IGEPProcessor`): Its processor.
            groups (`Iterable[QuestionGroup]`): Read as they are answered.
            options (`BenchmarkOptions`): As for `groups`.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask the questions of a group in one pass, where
                there is one.
            progress (`str`, *optional*): Title of a progress bar; without one, none is shown.
            total (`int`, *optional*): Number of groups, for the progress bar.

        Yields:
            `tuple[QuestionGroup, list[str]]`: Every group, and an answer to each of its questions.

        Raises:
            ValueError: The model or the scenes lack what answering takes.
        """


class ModelMeasurement(ABC):
    """What is measured on a model without scoring answers, such as what can be read from its encoder.

    Attributes:
        name (`str`): As on the command line.
    """

    name: str

    @abstractmethod
    def check(self, settings: dict[str, Any], options: BenchmarkOptions) -> None:
        """Raises `ValueError` or `OSError` where the model cannot be measured; called before anything else is done.

        Args:
            settings (`dict`): The configuration of the saved model.
            options (`BenchmarkOptions`): What to measure on.
        """

    @abstractmethod
    def measure(
        self, model: PreTrainedModel, processor: IGEPProcessor, options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        """Measures.

        Args:
            model (`PreTrainedModel`): A saved model in eval mode.
            processor (`IGEPProcessor`): Its processor.
            options (`BenchmarkOptions`): What to measure on.

        Returns:
            `tuple[dict[str, Figure], dict]`: As `QuestionBenchmark.figures`.
        """

    @abstractmethod
    def protocol(self, options: BenchmarkOptions) -> dict[str, str]:
        """How it is measured, as `QuestionBenchmark.protocol`."""
