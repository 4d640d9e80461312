"""A benchmark whose questions come with the scenes and whose metric has several protocols, which are all reported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import QuestionBenchmark
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scene_questions import (
    SceneQuestions,
    questions_of_scenes,
    scenes_in_words,
    split_in_words,
)
from igep.trainers.metrics.figure import Figure, Scale
from igep.trainers.metrics.meteor import MeteorMissingError


PER_CENT = Scale("per cent", 0, 100, higher_is_better=True)
TIMES_100 = Scale("x 100", 0, 100, higher_is_better=True)
CIDER = Scale("CIDEr-D x 100", 0, 1000, higher_is_better=True)
CAPTION_SCALES = {
    "cider": CIDER,
    "rouge_l": TIMES_100,
    "meteor": TIMES_100,
    **{f"bleu_{length}": TIMES_100 for length in range(1, 5)},
}
FAILED = {"unparsed": "answer that cannot be read", "empty": "answer without a word"}  # of `COUNTS`
COUNTS = ("missing", "invalid", "empty", "duplicates", "unparsed", "tasks")  # of a metric, that are no scores


@dataclass(frozen=True)
class TextScores:
    """A metric of texts and what is reported of it.

    Args:
        metric (`Callable`): Takes predictions, references and a protocol, see `igep/trainers/metrics`; with
            `has_meteor` also `meteor`.
        protocols (`tuple[str, ...]`): Those that are reported: the published evaluator's first, the plain one last.
        reference_of (`Callable[[dict], dict]`): A reference of the metric, without its id, from a row of the questions
            table.
        group_of (`Callable[[str], str]`): The question type whose number of questions stands behind a figure; empty
            for all.
        has_meteor (`bool`, *optional*, defaults to `False`): Whether METEOR is one of its scores, where this machine
            has it.
    """

    metric: Callable[..., dict[str, float]]
    protocols: tuple[str, ...]
    reference_of: Callable[[dict[str, Any]], dict[str, Any]]
    group_of: Callable[[str], str] = lambda name: ""
    has_meteor: bool = False


class TextBenchmark(QuestionBenchmark):
    """Questions in words about scenes, from RGB alone: neither poses nor depth go to the model.

    Args:
        name (`str`): As on the command line, and that of its loader.
        split (`str`): The split that papers report.
        scores (`TextScores`): How answers are scored.
        max_new_tokens (`int`): Longest answer.
    """

    def __init__(self, name: str, split: str, scores: TextScores, max_new_tokens: int):
        self.name = self.dataset = name
        self.max_new_tokens = max_new_tokens
        self._split = split
        self._scores = scores

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> SceneQuestions:
        return questions_of_scenes(options, tables, self._scores.reference_of)

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        predictions = [
            {"sample_id": row["sample_id"], "answer": row["prediction"]}
            for row in rows
            if row["prediction"] is not None
        ]
        references = _references(rows)
        figures, facts, failures = {}, {}, {}
        for protocol in self._scores.protocols:
            scores, without_meteor = self._scored(predictions, references, protocol)
            if without_meteor is not None:
                facts["not_computed"] = {"METEOR": without_meteor}
            for name, value in scores.items():
                if name in COUNTS:
                    facts[f"{name}, {protocol}"] = value
                    if name in FAILED and value:
                        failures[f"{FAILED[name]} ({protocol})"] = int(value)
                elif not name.endswith("count"):
                    group = self._scores.group_of(name)
                    n = scores.get(f"{group}_count", scores["count"])
                    measured = name.removesuffix("_25").removesuffix("_50")  # whatever IoU it counts from
                    figures[f"{name}, {protocol}"] = Figure(value, int(n), CAPTION_SCALES.get(measured, PER_CENT))
        return figures, facts | {"failures": failures}

    def check_references(self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions) -> None:
        self._scores.metric([], _references(rows), self._scores.protocols[-1])  # without METEOR, which starts Java

    def _scored(
        self, predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str
    ) -> tuple[dict[str, float], str | None]:
        """The scores under a protocol, and why METEOR is not among them, if it should be."""
        if not self._scores.has_meteor:
            return self._scores.metric(predictions, references, protocol), None
        try:
            return self._scores.metric(predictions, references, protocol, meteor=True), None
        except MeteorMissingError as error:
            return self._scores.metric(predictions, references, protocol), str(error)

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        return {
            **scenes_in_words(options),
            "split": split_in_words(options, self._split),
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, and nothing else",
            "questions": f"{num_questions} questions of {self.name}, each asked alone; greedy decoding, at most "
            f"{options.max_new_tokens} tokens",
            "metrics": f"those of igep's trainers/metrics/{self.name}.py under the protocols "
            f"{', '.join(self._scores.protocols)}",
            "geometry_inputs": "none",
        }


def _references(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"sample_id": row["sample_id"], **row["reference"]} for row in rows]
