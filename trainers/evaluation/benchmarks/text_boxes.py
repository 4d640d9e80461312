"""Objects that are grounded by 3D boxes as text, from RGB alone: ScanRefer and Multi3DRefer without proposals.

The model writes boxes in the camera of a frame (`text_boxes`). They are carried into the world with the true pose of
that frame, for the metric alone: neither poses nor depth nor intrinsics go to the model.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from igep.text_boxes import NO_BOX, box_answer, box_question, parse_boxes
from igep.trainers.data.box_visibility import PosedCameras
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.text_box_dataset import TEXT_BOXES, check_referred_boxes, text_boxes_of, world_box
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import Question, QuestionBenchmark, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scene_questions import (
    SceneQuestions,
    sampling_of,
    scenes_and_questions,
    scenes_in_words,
    split_in_words,
)
from igep.trainers.evaluation.benchmarks.text_benchmark import PER_CENT
from igep.trainers.geometry.box_axes import axis_aligned_hull
from igep.trainers.geometry.oriented_boxes import transform_box
from igep.trainers.metrics.figure import SHARE_OF_FAILURES, Figure
from igep.trainers.metrics.grounding_accuracy import grounding_scores
from igep.trainers.metrics.multi_grounding_f1 import multi_grounding_scores


PROTOCOLS = ("peer", "standard")
SEVERAL = "several boxes for one object, of which the last counts"


@dataclass(frozen=True)
class BoxQuestionGroup(QuestionGroup):
    """Questions whose answers are boxes in cameras.

    Args:
        world_from_camera (`np.ndarray`): (F, 4, 4) true poses of the frames, for the metric.
    """

    world_from_camera: np.ndarray = field(kw_only=True)

    def row(self, question: Question, prediction: str | None) -> dict[str, Any]:
        """As `QuestionGroup.row`, with the prediction's boxes in the world and the problems of those that are none."""
        row = super().row(question, prediction)
        if prediction is None:
            return row
        found = parse_boxes(prediction, len(self.world_from_camera))
        boxes = [transform_box(each.box, self.world_from_camera[each.frame]).tolist() for each in found.boxes]
        return row | {"world_boxes": boxes, "problems": list(found.problems)}


class BoxQuestions(SceneQuestions):
    """Questions about scenes, whose `referred_boxes` are the truth.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`.
        any_number (`bool`): Whether questions may mean none, one or several objects.
        **sampling: `num_frames`, `questions_per_group` and `max_depth_metres` of `SceneQuestions`.

    Raises:
        SpatialDataError: As `SceneQuestions`; a question that does not mean one object where `any_number` is not set.
            Reading a group raises it for a scene without poses or intrinsics, and for a box that is not there.
    """

    def __init__(self, scenes: Dataset, questions: Dataset, *, any_number: bool, **sampling: Any):
        super().__init__(scenes, questions, reference_of=lambda row: None, **sampling)
        check_referred_boxes(questions, any_number)
        self._any_number = any_number

    def group(self, scene: int, rows: Sequence[dict[str, Any]]) -> BoxQuestionGroup:
        found, cameras = self.posed_scene(scene)
        words = super().group(scene, rows)
        questions = tuple(
            self._box_question(asked, row, found.boxes, cameras)
            for asked, row in zip(words.questions, rows, strict=True)
        )
        return BoxQuestionGroup(**(vars(words) | {"questions": questions}), world_from_camera=found.world_from_camera)

    def _box_question(
        self, asked: Question, row: dict[str, Any], boxes: Sequence[dict], cameras: PosedCameras
    ) -> Question:
        """A question with its true answer, in the frame that has most of the object in its image, hidden or not."""
        numbers = row["referred_boxes"] or ()
        unknown = [number for number in numbers if not 0 <= number < len(boxes)]
        if unknown:
            raise SpatialDataError(
                f"Question {row['question_id']!r} about scene {row['scene_id']!r}: `referred_boxes` names box "
                f"{unknown[0]}, the scene has {len(boxes)}: use indices from 0."
            )
        true = [world_box(boxes[number]) for number in numbers]
        written, _ = text_boxes_of(true, cameras)
        return dataclasses.replace(
            asked,
            question=box_question(asked.question, self._any_number),
            answer=box_answer(written, self._any_number),
            reference={"boxes": true},
        )


@dataclass(frozen=True)
class BoxScores:
    """A metric of boxes and what it is fed.

    Args:
        any_number (`bool`): Whether questions may mean none, one or several objects.
        metric (`Callable`): Takes predictions, references and a protocol, see `igep/trainers/metrics`.
        metric_file (`str`): Its file.
        score (`str`): What the names of its scores end with before the threshold.
        predicted (`Callable`): The fields of a prediction from its boxes in the world and the problems of others.
        true (`Callable`): The fields of a reference from its boxes.
    """

    any_number: bool
    metric: Callable[[Sequence[Mapping], Sequence[Mapping], str], dict[str, float]]
    metric_file: str
    score: str
    predicted: Callable[[list[list[float]], list[str]], dict[str, Any]]
    true: Callable[[list[list[float]]], dict[str, Any]]


class TextBoxBenchmark(QuestionBenchmark):
    """Descriptions of objects, which are answered with boxes as text.

    Args:
        name (`str`): As on the command line: that of its loader, and `_boxes`.
        split (`str`): The split that papers report.
        scores (`BoxScores`): How boxes are scored.
        max_new_tokens (`int`): Longest answer.
    """

    task = TEXT_BOXES

    def __init__(self, name: str, split: str, scores: BoxScores, max_new_tokens: int):
        self.name, self.dataset = name, name.removesuffix("_boxes")
        self.max_new_tokens = max_new_tokens
        self._split = split
        self._scores = scores

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> BoxQuestions:
        return BoxQuestions(
            *scenes_and_questions(options, tables),
            any_number=self._scores.any_number,
            **sampling_of(options),
        )

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        answered = [row for row in rows if row["prediction"] is not None]
        figures = {}
        for protocol in PROTOCOLS:
            predictions = [
                {"sample_id": row["sample_id"]}
                | self._scores.predicted(_boxes_of(row["world_boxes"], protocol), row["problems"])
                for row in answered
            ]
            references = [
                {"sample_id": row["sample_id"], "question_type": row["question_type"]}
                | self._scores.true(_boxes_of(row["reference"]["boxes"], protocol))
                for row in rows
            ]
            scores = self._scores.metric(predictions, references, protocol)
            for name, value in scores.items():
                kind, is_score, _ = name.rpartition(f"{self._scores.score}_")
                if is_score:
                    n = scores.get(f"{kind}count", scores["count"])  # `<type>_count`, or that of all
                    figures[f"{name}, {protocol}"] = Figure(value, int(n), PER_CENT)
        unparsed, failures = _failures(answered, self._scores.any_number)
        if answered:
            figures["unparsed"] = Figure(unparsed / len(answered), len(answered), SHARE_OF_FAILURES)
        return figures, {"missing": len(rows) - len(answered), "unparsed": unparsed, "failures": dict(failures)}

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        return {
            **scenes_in_words(options),
            "split": split_in_words(options, self._split),
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, without proposals, and "
            "nothing else",
            "questions": f"{num_questions} descriptions, each asked alone, answered with 3D boxes as text; greedy "
            f"decoding, at most {options.max_new_tokens} tokens",
            "metrics": "boxes are carried from the camera of the frame that the answer names into the world with the "
            "true pose of that frame, for the metric alone; that of igep's "
            f"trainers/metrics/{self._scores.metric_file} under the protocols standard (turned boxes) and peer (the "
            "smallest box along the world's axes around each)",
            "geometry_inputs": "none",
        }


def _failures(answered: Sequence[dict[str, Any]], any_number: bool) -> tuple[int, Counter[str]]:
    """How many answers hold no box that can be read, and how often what went wrong."""
    failures = Counter(problem for row in answered for problem in row["problems"])
    unparsed = 0
    for row in answered:
        if not row["world_boxes"] and (row["problems"] or not any_number):
            unparsed += 1
            failures[NO_BOX] += not row["problems"]
        failures[SEVERAL] += len(row["world_boxes"]) > 1 and not any_number
    return unparsed, +failures


def _boxes_of(boxes: list[list[float]], protocol: str) -> list[list[float]]:
    return [axis_aligned_hull(box).tolist() for box in boxes] if protocol == "peer" else boxes


SCANREFER_BOXES = TextBoxBenchmark(
    "scanrefer_boxes",
    split="the validation split, 9508 descriptions",
    scores=BoxScores(
        any_number=False,
        metric=grounding_scores,
        metric_file="grounding_accuracy.py",
        score="accuracy",
        predicted=lambda boxes, problems: {"box": boxes[-1] if boxes else None},
        true=lambda boxes: {"box": boxes[0]},
    ),
    max_new_tokens=256,
)
MULTI3DREFER_BOXES = TextBoxBenchmark(
    "multi3drefer_boxes",
    split="the validation split, 11120 descriptions",
    scores=BoxScores(
        any_number=True,
        metric=multi_grounding_scores,
        metric_file="multi_grounding_f1.py",
        score="f1",
        # What was meant as a box and is none is a false positive; an answer that holds nothing else is none.
        predicted=lambda boxes, problems: {
            "boxes": None if problems and not boxes else [*boxes, *([] for _ in problems)]
        },
        true=lambda boxes: {"boxes": boxes},
    ),
    max_new_tokens=1024,
)
