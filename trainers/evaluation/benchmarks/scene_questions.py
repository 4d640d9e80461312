"""Questions that people wrote about scenes, grouped by scene: from both tables of the row schema to what is asked."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from igep.trainers.cards.run_data import named_dataset
from igep.trainers.data.left_out_questions import left_out_of
from igep.trainers.data.scenes.scene_table import checked_names, column_values
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SpatialDataError
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import Question, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.sampled_scenes import SampledScenes


COLUMN_OF = {"depth_metres": "depth"}  # of the scenes table, where it has another name than what is read from it


class SceneQuestions(SampledScenes, Sequence[QuestionGroup]):
    """The questions of each scene in table order, so many at a time; RGB frames are sampled evenly from the scene.

    Attributes:
        left_out (`LeftOutQuestions`, *optional*): Questions of the file that are not among them.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`.
        num_frames (`int`): Frames that a question is asked about.
        questions_per_group (`int`): Most questions of a group.
        reference_of (`Callable[[dict], Any]`): The truth as the metric takes it, from a row of the questions.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement, for models that are given depth.

    Raises:
        SpatialDataError: An empty table, a question named twice, or one about a scene that is not there. Reading a
            group raises it for a question without text or answer, and for frames that are missing, broken or too few.
    """

    def __init__(
        self,
        scenes: Dataset,
        questions: Dataset,
        *,
        num_frames: int,
        questions_per_group: int,
        reference_of: Callable[[dict[str, Any]], Any],
        max_depth_metres: float = math.inf,
    ):
        super().__init__(scenes, num_frames=num_frames, max_depth_metres=max_depth_metres)
        self.left_out = left_out_of(questions)
        self._reference_of = reference_of
        numbers = {scene_id: number for number, scene_id in enumerate(self.scenes.scene_ids)}
        by_scene: list[list[int]] = [[] for _ in numbers]
        names = checked_names(questions, "questions", QUESTION_FEATURES, "question_id")
        for row, scene_id in enumerate(column_values(questions, "scene_id")):
            if scene_id not in numbers:
                raise SpatialDataError(
                    f"Question {names[row]!r} (row {row}) is about scene {scene_id!r}, which is not in the scenes "
                    "table: add the scene or filter the question out."
                )
            by_scene[numbers[scene_id]].append(row)
        self._questions = questions.with_format("arrow")
        self._groups = [
            (scene, rows[start : start + questions_per_group])
            for scene, rows in enumerate(by_scene)
            for start in range(0, len(rows), questions_per_group)
        ]

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, number: int) -> QuestionGroup:
        scene, rows = self._groups[number]
        return self.group(scene, self._questions[rows].to_pylist())

    def check(self, number: int, geometry: Sequence[str]) -> QuestionGroup:
        """Reads a group without the frames that are shown.

        Args:
            number (`int`): Which.
            geometry (`Sequence[str]`): What its scene must have: of `depth_metres`, `intrinsics` and
                `world_from_camera`.

        Returns:
            `QuestionGroup`

        Raises:
            SpatialDataError: A question cannot be asked, its scene has too few frames, or lacks some of the geometry.
        """
        scene, _ = self._groups[number]
        self.scenes.check_has(scene, [COLUMN_OF.get(name, name) for name in geometry], "the model is given it")
        self.sampled_scene(scene)
        return self[number]

    def group(self, scene: int, rows: Sequence[dict[str, Any]]) -> QuestionGroup:
        """Some questions about one scene; a benchmark whose questions depend on its frames writes them here.

        Args:
            scene (`int`): Its number in the scenes table.
            rows (`Sequence[dict]`): Rows of the questions table.

        Returns:
            `QuestionGroup`
        """
        return QuestionGroup(
            self.scenes.scene_ids[scene],
            tuple(map(self.question, rows)),
            lambda: self.read_frames(scene),
            lambda size: self.read_example(scene, size),
        )

    def question(self, row: dict[str, Any]) -> Question:
        """A row of the questions table as a question; `SpatialDataError` where it cannot be scored."""
        where = f"Question {row['question_id']!r} about scene {row['scene_id']!r}"
        if not row["question"]:
            raise SpatialDataError(f"{where}: `question` is {row['question']!r}. Write it, or remove the row.")
        if not row["answers"] or not row["answers"][0]:
            raise SpatialDataError(
                f"{where}: `answers` is {row['answers']}: without one there is nothing to score. Is it the split "
                "whose answers are hidden?"
            )
        return Question(
            row["question_id"], row["question"], row["answers"][0], row["question_type"] or "", self._reference_of(row)
        )


def scenes_and_questions(options: BenchmarkOptions, tables: SceneTableCache) -> tuple[Dataset, Dataset]:
    """The tables that some options name: those that are held out, or all where none are.

    Args:
        options (`BenchmarkOptions`): Scenes and questions.
        tables (`SceneTableCache`): Keeps the scenes.

    Returns:
        `tuple[Dataset, Dataset]`: Scenes and questions.

    Raises:
        ValueError: The scenes come without questions, or an option is wrong.
    """
    everything, held_out = tables.load(options.scene_source())
    scenes, questions = everything if held_out is None else held_out
    if questions is None:
        raise SpatialDataError(
            f"dataset={options.dataset!r}, dataset_path={options.dataset_path!r} has no questions: give "
            "question_file, or a dataset with a questions table."
        )
    return scenes, questions


def questions_of_scenes(
    options: BenchmarkOptions, tables: SceneTableCache, reference_of: Callable[[dict[str, Any]], Any]
) -> SceneQuestions:
    """The questions of `scenes_and_questions`, grouped by scene.

    Args:
        options (`BenchmarkOptions`): Scenes, frames of each, and questions per pass.
        tables (`SceneTableCache`): Keeps the scenes.
        reference_of (`Callable[[dict], Any]`): See `SceneQuestions`.

    Returns:
        `SceneQuestions`

    Raises:
        ValueError: The scenes come without questions, or an option is wrong.
    """
    return SceneQuestions(
        *scenes_and_questions(options, tables),
        reference_of=reference_of,
        **sampling_of(options),
    )


def sampling_of(options: BenchmarkOptions) -> dict[str, Any]:
    """How scenes are read and questions grouped: the keywords of `SceneQuestions` that options decide alone.

    Args:
        options (`BenchmarkOptions`): Frames of a scene, questions per pass, and from where on depth is no measurement.

    Returns:
        `dict[str, Any]`: `num_frames`, `questions_per_group` and `max_depth_metres`.
    """
    return {
        "num_frames": options.num_frames,
        "questions_per_group": options.questions_per_pass,
        "max_depth_metres": options.depth_range[1],
    }


def scenes_in_words(options: BenchmarkOptions) -> dict[str, str]:
    """`dataset` and `dataset_name` of a protocol: the scenes that options name, not their place on this machine."""
    named = named_dataset({"dataset": options.dataset, "dataset_path": options.dataset_path})
    return {
        "dataset": named["name"] if named["on_hub"] else named["kind"],
        "dataset_name": options.dataset.replace("_", " ") + ("" if named["name"] is None else f": {named['name']}"),
    }


def split_in_words(options: BenchmarkOptions, of_papers: str) -> str:
    """`split` of a protocol.

    Args:
        options (`BenchmarkOptions`): Which scenes are scored.
        of_papers (`str`): The split that papers report.

    Returns:
        `str`
    """
    held_out = bool(options.eval_scenes or options.eval_frame_fraction or options.eval_rooms)
    given = f"{options.dataset_split}, as given" if options.dataset == "hub" else "as given"
    left_out = (
        ", without questions whose scene or object is missing" if options.unusable_questions == "leave_out" else ""
    )
    return f"{'the held-out scenes' if held_out else given}{left_out}; papers report {of_papers}"
