"""VLM3's four tasks as benchmarks: questions written from posed RGB-D scenes, answered from RGB."""

from collections.abc import Sequence
from typing import Any

from igep.spatial_prompts import DEPTH_QUESTION, correspondence_question, longest_answer
from igep.trainers.data.row_source import RowSource
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.training_rows import SceneTableCache, load_rows
from igep.trainers.evaluation.benchmarks.benchmark import Question, QuestionBenchmark, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scene_questions import scenes_in_words
from igep.trainers.evaluation.benchmarks.vlm3_figures import task_figures
from igep.trainers.metrics.camera_pose import CameraPose
from igep.trainers.metrics.figure import Figure
from igep.trainers.metrics.metric_depth import MetricDepth
from igep.trainers.metrics.object_relations import ObjectRelations
from igep.trainers.metrics.pixel_correspondence import PixelCorrespondence


GEOMETRY_SIZE = (32, 32)  # of the depth maps that rows carry for the losses; nothing here reads them


class ExampleGroups(Sequence[QuestionGroup]):
    """The questions of written examples, a group for each.

    Args:
        rows (`RowSource` or `Sequence[SpatialExample]`): Examples with references; read one by one.
    """

    def __init__(self, rows: RowSource | Sequence[SpatialExample]):
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> QuestionGroup:
        example = self._rows[number]
        turns = zip(example.question_types, example.conversation, example.references, strict=True)
        questions = tuple(
            Question(f"{example.sample_id}/{place}", question, answer, kind, reference)
            for place, (kind, (question, answer), reference) in enumerate(turns)
        )
        return QuestionGroup(example.sample_id, questions, lambda: example.frames)


class VLM3Task(QuestionBenchmark):
    """A task of VLM3.

    Args:
        name (`str`): `depth`, `correspondence`, `pose` or `objects`.
    """

    frames_as = "images"

    def __init__(self, name: str):
        self.name = self.task = name

    def longest_answer(self, think: bool) -> int:
        asked = {"depth": DEPTH_QUESTION, "correspondence": correspondence_question((0, 0), think)}
        return longest_answer(asked.get(self.name, ""))

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> ExampleGroups:
        rows, held_out = load_rows(options, GEOMETRY_SIZE, options.question_seed, tables)
        return ExampleGroups(rows if held_out is None else held_out)

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        missing = sum(row["prediction"] is None for row in rows)
        answered = [row | {"prediction": row["prediction"] or ""} for row in rows]
        return task_figures(self.name, task_scores(self.name, answered, options.steps), answered), {"missing": missing}

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        unified = (
            "as they are" if options.focal_pixels is None else f"at a focal length of {options.focal_pixels:g} pixels"
        )
        return {
            **scenes_in_words(options),
            "split": f"rooms of seed {options.room_seed}" if options.dataset == "synthetic_rooms" else "as given",
            "inputs": f"RGB images {unified}",
            "questions": f"of VLM3's tasks; greedy decoding, at most {options.max_new_tokens} tokens",
            "metrics": "as defined in igep's trainers/metrics; an answer that cannot be read is wrong, and counted as "
            "unparsed",
            "geometry_inputs": "none",
        }


def task_scores(task: str, answered: Sequence[dict[str, Any]], steps: int = 1000) -> dict[str, float]:
    """The scores of one task's answers, as its metric defines them.

    Args:
        task (`str`): `depth`, `correspondence`, `pose` or `objects`.
        answered (`Sequence[dict]`): Rows of `QuestionGroup.row`, all with a prediction.
        steps (`int`, *optional*, defaults to `1000`): `correspondence`: N of the text pixels.

    Returns:
        `dict[str, float]`
    """
    predictions = [row["prediction"] for row in answered]
    references = [row["reference"] for row in answered]
    if task == "depth":
        return MetricDepth().compute(predictions=predictions, references=references)
    if task == "correspondence":
        return PixelCorrespondence().compute(predictions=predictions, references=references, steps=steps)
    if task == "pose":
        references = [
            {
                "pair": row["group_id"],
                "kind": row["question_type"],
                "value": row["reference"] if isinstance(row["reference"], list) else [row["reference"]],
            }
            for row in answered
        ]
        return CameraPose().compute(predictions=predictions, references=references)
    references = [{"family": row["question_type"], **row["reference"]} for row in answered]
    return ObjectRelations().compute(predictions=predictions, references=references)
