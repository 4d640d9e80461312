"""From options to scores: answers what has not been answered, on one process or many, and scores what has.

Process r of n answers groups r, r + n, ... of each benchmark and appends its answers to a file of its own. When all
are done, process 0 reads the files of all, which must lie in one file system, and scores every question of the
benchmark in its order, so that the figures do not depend on the number of processes. True answers come from the data,
never from a file of predictions.
"""

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from igep.ground_head import GEOMETRY_OF
from igep.processing_igep import IGEPProcessor
from igep.trainers.cards.results_file import BenchmarkResults, ModelResults, write_results
from igep.trainers.cards.saved_weights import parameters_on_disk, weights_sha256
from igep.trainers.cards.training_run import package_versions
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS
from igep.trainers.evaluation.answering import AnsweringOptions
from igep.trainers.evaluation.benchmarks.all_benchmarks import BENCHMARKS
from igep.trainers.evaluation.benchmarks.benchmark import (
    AnsweringBenchmark,
    ModelMeasurement,
    QuestionBenchmark,
    QuestionGroup,
)
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.grounding_benchmark import GroundingBenchmark
from igep.trainers.evaluation.benchmarks.paper_figures import NOT_STATED
from igep.trainers.evaluation.load_vlm import load_for_answers, reads_positions
from igep.trainers.scoring.answer_groups import SpreadGroups, answer_groups, check_knows_positions, unified_groups
from igep.trainers.scoring.output_file import check_output_file, says_answers_are_kept
from igep.trainers.scoring.prediction_files import PredictionFiles, Predictions, append_lines, read_predictions
from igep.trainers.scoring.score_options import ScoreOptions


FROM_LEAST_GEOMETRY = ("none", "predicted", "pose", "depth+pose")
SLOWEST_PROCESS = timedelta(days=7)  # the others wait for it


def score(options: ScoreOptions, benchmarks: dict[str, BenchmarkOptions]) -> ModelResults | None:
    """Scores a model, or a file of predictions, and writes the results.

    Args:
        options (`ScoreOptions`): What to score, and where the scores go.
        benchmarks (`dict[str, BenchmarkOptions]`): Options of each benchmark, see `options_of_benchmarks`.

    Returns:
        `ModelResults`: What was written; `None` on all processes but the first.

    Raises:
        ValueError: An option is out of range, the data breaks its format, the processor would resize unified images,
            or there are predictions of something else.
        OSError: No model or file there, or the scores cannot be written.
    """
    check_output_file(Path(options.output), "output")
    return _Scoring(options, benchmarks).run()


class _Scoring:
    """A run of `score`; what several steps need is made once."""

    def __init__(self, options: ScoreOptions, benchmarks: dict[str, BenchmarkOptions]):
        self.options = options
        self.output = Path(options.output)
        self.asked = {name: one for name, one in benchmarks.items() if isinstance(BENCHMARKS[name], QuestionBenchmark)}
        self.benchmarks = benchmarks
        self.state = PartialState(cpu=options.device == "cpu", timeout=SLOWEST_PROCESS)
        self.files = PredictionFiles(self.output)
        self.read_groups: dict[str, dict[int, QuestionGroup]] = {name: {} for name in self.asked}
        self.speed: dict[str, float] = {}

    def run(self) -> ModelResults | None:
        if self.options.predictions is not None:
            if not self.state.is_main_process:
                return None
            return self._results(read_predictions(Path(self.options.predictions), list(self.asked)), None)
        folder = Path(cached_file(self.options.model, "config.json")).parent  # of a Hub id, where it is cached
        self._check_measurements()
        weights = None
        if self.state.is_main_process:
            weights = weights_sha256(folder)  # now: the folder may be trained on while questions are answered
            with says_answers_are_kept(self.output):
                self.files.begin(self._run_in_words(weights), self.options.restart)
        self.state.wait_for_everyone()
        done = self.files.predictions()
        self.state.wait_for_everyone()  # none appends while another still reads
        to_answer = {name: left for name in self.asked if (left := self._pending(name, done)) is not None}
        for name, (first, _) in to_answer.items():
            self._check(name, first)
        for name, (first, left) in to_answer.items():
            self._answer(name, first, left)
        self.state.wait_for_everyone()
        if not self.state.is_main_process:
            return None
        return self._results(self.files.predictions(), folder, weights)

    def _run_in_words(self, weights: str | None) -> dict[str, Any]:
        """What predictions depend on."""
        return {
            "model": self.options.model if weights is None else None,
            "weights_sha256": weights,
            "benchmarks": {
                name: {
                    option: value
                    for option, value in dataclasses.asdict(asked).items()
                    if option not in BENCHMARKS[name].change_no_answer
                }
                for name, asked in self.asked.items()
            },
        }

    @cached_property
    def tables(self) -> SceneTableCache:
        return SceneTableCache()

    @cached_property
    def loaded(self) -> tuple[PreTrainedModel, IGEPProcessor]:
        """The model, which is loaded when something is left for it to do."""
        return load_for_answers(self.options.model, self.options.device or str(self.state.device))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration of the model that is scored; of a file of predictions nothing is known."""
        return PreTrainedConfig.get_config_dict(self.options.model)[0] if self.options.model else {}

    @cached_property
    def reads_positions(self) -> bool:
        """Whether the model that is scored needs depth and poses."""
        return reads_positions(self.settings)

    @cached_property
    def groups(self) -> dict[str, SpreadGroups]:
        """The questions of every benchmark; answering and scoring read them from the same files, once."""
        return {
            name: SpreadGroups(BENCHMARKS[name].groups(asked, self.tables), asked.max_rows)
            for name, asked in self.asked.items()
        }

    def _left(self, name: str, groups: SpreadGroups, done: Predictions) -> Iterator[QuestionGroup]:
        """This process's groups with the questions that nobody has answered."""
        for number in range(self.state.process_index, len(groups), self.state.num_processes):
            group = groups[number]
            left = tuple(each for each in group.questions if (name, each.sample_id) not in done)
            # Frames are read when they are asked for, so that a group that is kept is small.
            self.read_groups[name][number] = dataclasses.replace(group, read_frames=tuple)
            if left:
                yield dataclasses.replace(group, questions=left)

    def _pending(self, name: str, done: Predictions) -> tuple[QuestionGroup, Iterator[QuestionGroup]] | None:
        """The first of this process's groups of which something is left, and the others; `None` where nothing is."""
        left = self._left(name, self.groups[name], done)
        first = next(left, None)
        return None if first is None else (first, left)

    def _check_measurements(self) -> None:
        """Raises what measurements would raise when everything else is done."""
        for name, options in self.benchmarks.items():
            benchmark = BENCHMARKS[name]
            if isinstance(benchmark, ModelMeasurement):
                benchmark.check(self.settings, options)
                if options.picture is not None:
                    check_output_file(Path(options.picture), "picture")

    def _check(self, name: str, first: QuestionGroup) -> None:
        """Raises what the questions of a benchmark lack, before a frame of any benchmark goes to the model."""
        benchmark, asked = BENCHMARKS[name], self.asked[name]
        benchmark.check_model(self.settings, asked)
        needed: Sequence[str] = ()
        if isinstance(benchmark, GroundingBenchmark):
            needed = GEOMETRY_OF[asked.geometry_inputs]
        elif self.reads_positions:
            check_knows_positions(first)
            needed = GEOMETRY_OF["depth+pose"]
        rows = self.groups[name].check(needed)
        if rows:
            benchmark.check_references(rows, asked)
        if asked.task in VLM3_TASKS and asked.resizes:
            for frame in first.read_frames():
                self.loaded[1].check_unified_size((frame.height, frame.width))

    def _answer(self, name: str, first: QuestionGroup, left: Iterator[QuestionGroup]) -> None:
        asked = self.asked[name]
        groups = self.groups[name]
        model, processor = self.loaded
        decoding = AnsweringOptions(
            max_new_tokens=asked.max_new_tokens,
            batch_size=self.options.batch_size,
            questions_per_pass=asked.questions_per_pass,
            share_prefix=self.options.share_prefix,
        )
        begin, answered = time.perf_counter(), 0
        mine = len(range(self.state.process_index, len(groups), self.state.num_processes))
        part = self.files.part(self.state.process_index)
        title = f"answering {name}" if self.state.is_main_process else None
        bar = {"progress": title, "total": mine - (len(self.read_groups[name]) - 1)}
        benchmark, to_answer = BENCHMARKS[name], _chained(first, left)
        if asked.task in VLM3_TASKS and asked.resizes:
            to_answer = unified_groups(to_answer, processor)
        if isinstance(benchmark, AnsweringBenchmark):
            share_prefix = self.options.share_prefix
            stream = benchmark.answers(model, processor, to_answer, asked, share_prefix=share_prefix, **bar)
        else:
            stream = answer_groups(model, processor, to_answer, decoding, frames_as=asked.frames_as, **bar)
        for group, texts in stream:
            turns = zip(group.questions, texts, strict=True)
            with says_answers_are_kept(self.output):
                append_lines(part, ({"benchmark": name, **group.row(each, text)} for each, text in turns))
            answered += len(texts)
        self.speed[name] = float(f"{answered / (time.perf_counter() - begin):.3g}")

    def _results(self, predictions: Predictions, folder: Path | None, weights: str | None = None) -> ModelResults:
        results, lines = {}, []
        for name, asked in self.benchmarks.items():
            benchmark = BENCHMARKS[name]
            if isinstance(benchmark, ModelMeasurement):
                figures, facts = benchmark.measure(*self.loaded, asked)
                results[name] = BenchmarkResults(benchmark.protocol(asked), figures, facts)
            else:
                results[name], rows = self._score(name, predictions)
                lines += [{"benchmark": name, **row} for row in rows if row["prediction"] is not None]
        source = self.options.model or self.options.predictions
        model = source if folder is None or not Path(source).is_dir() else Path(source).resolve().name
        facts = {
            "seed": self.options.question_seed,
            "python": platform.python_version(),
            "packages": package_versions(),
            "processes": self.state.num_processes,
        }
        if folder is not None:
            on_gpu = self.state.device.type == "cuda" and self.options.device != "cpu"
            facts["device"] = torch.cuda.get_device_name() if on_gpu else f"CPU ({platform.machine()})"
            facts["parameters_on_disk"] = parameters_on_disk(folder)
        found = ModelResults(model, weights, results, facts)
        with says_answers_are_kept(self.output):
            write_results(self.output, found, lines)
            self.files.remove_parts()
        return found

    def _score(self, name: str, predictions: Predictions) -> tuple[BenchmarkResults, list[dict[str, Any]]]:
        benchmark, asked = BENCHMARKS[name], self.asked[name]
        groups = self.groups[name]
        read = self.read_groups[name]
        rows, digest = [], hashlib.sha256()
        for number in range(len(groups)):
            group = read[number] if number in read else groups[number]
            for question in group.questions:
                row = group.row(question, predictions.get((name, question.sample_id)))
                digest.update(json.dumps(group.row(question, None), sort_keys=True).encode())
                rows.append(row)
        unknown = {key for key in predictions if key[0] == name} - {(name, row["sample_id"]) for row in rows}
        if unknown:
            raise ValueError(
                f"there are predictions for {len(unknown)} samples that {name} does not have, such as "
                f"{min(unknown)[1]!r}: score the split that was predicted."
            )
        figures, counted = benchmark.figures(rows, asked)
        facts = {
            "image_sets": len(groups),
            "questions": len(rows),
            "answered": sum(row["prediction"] is not None for row in rows),
            "frames_as": asked.frames_as,
            "questions_sha256": digest.hexdigest(),
            **counted,
        }
        if groups.left_out is not None:
            facts["left_out"] = dataclasses.asdict(groups.left_out)
        if name in self.speed:
            facts["answers_per_second"] = self.speed[name]
        protocol = benchmark.protocol(asked, len(groups), len(rows))
        if groups.left_out is not None:
            protocol |= {"split": f"{protocol['split']}; {groups.left_out.count} of {groups.left_out.of} left out"}
        if len(groups) < groups.of:
            protocol |= {"split": f"{protocol['split']}; a part: {len(groups)} of {groups.of} sets of frames"}
        if self.options.predictions is not None:
            protocol |= _stated_inputs(protocol, asked.geometry_inputs)
        if self.reads_positions:
            protocol |= _with_positions(protocol)
        return BenchmarkResults(protocol, figures, facts), rows


def _with_positions(protocol: dict[str, str]) -> dict[str, str]:
    """What a protocol says of a model that reads 3D positions; a ground head may have had the same geometry before."""
    seen = protocol["inputs"].removesuffix(", and nothing else")
    if protocol["geometry_inputs"] == "depth+pose":
        given = "; from that geometry the model also computes"
    else:
        given = ", with their measured depth, intrinsics and poses, from which the model computes"
    return {"geometry_inputs": "depth+pose", "inputs": f"{seen}{given} the 3D positions of its visual tokens"}


def _stated_inputs(protocol: dict[str, str], given: str | None) -> dict[str, str]:
    """What a protocol says of predictions' geometry: what was given with them and no less than wrote the questions."""
    own = protocol["geometry_inputs"]
    stated = max(given or "none", own, key=FROM_LEAST_GEOMETRY.index)
    if given is None and stated == "none":
        stated = NOT_STATED
    if stated == own:
        return {}
    seen = protocol["inputs"].removesuffix(", and nothing else")
    return {"geometry_inputs": stated, "inputs": f"{seen}; geometry that the predictions were made with: {stated}"}


def _chained(first: QuestionGroup, others: Iterator[QuestionGroup]) -> Iterator[QuestionGroup]:
    yield first
    yield from others
