"""Options of `score.py`: flags, then a recipe, then what the model says of itself, then the defaults."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from igep.trainers.cards.given_options import given_flags, read_recipe
from igep.trainers.cards.usage import read_usage, task_options
from igep.trainers.data.row_source import FARTHEST_DEPTH
from igep.trainers.data.training_rows import RowOptions, values_of
from igep.trainers.data.vlm3.vlm3_options import TASK_STEPS, VLM3_TASKS
from igep.trainers.evaluation.benchmarks.all_benchmarks import BENCHMARKS
from igep.trainers.evaluation.benchmarks.benchmark import QuestionBenchmark
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.grounding_benchmark import GroundingBenchmark
from igep.trainers.package_files import find_recipe


DESCRIPTION = "Scores a saved model on benchmarks: answers from RGB, figures by each metric's protocols."
# Of these the model's own would stand in the way of the one that is given.
EXCLUSIVE = {"canvas_size", "max_image_pixels"}


@dataclass
class ScoreOptions(BenchmarkOptions):
    """What to score on what, and where scores go. Scenes and questions of all benchmarks: see `BenchmarkOptions`.

    On a command line, how frames, images and text pixels are shown is the model's own unless given.

    Args:
        benchmark (`list[str]`): Names of benchmarks.
        output (`str`): JSON file for the scores; predictions go beside it.
        model (`str`, *optional*): Folder or Hub id of a saved model.
        predictions (`str`, *optional*): JSON lines to score in place of a model: `benchmark`, `sample_id`,
            `prediction`.
        data (`list[str]`, *optional*): Options of one benchmark alone, each as `BENCHMARK.OPTION=VALUE`.
        restart (`bool`, *optional*, defaults to `False`): Throw away predictions that lie beside `output`. Otherwise
            those of the same run are kept, and what is left is answered.
        batch_size (`int`, *optional*, defaults to `8`): Most questions about different frames that are generated
            together.
        share_prefix (`bool`, *optional*, defaults to `True`): Answer the questions about the same frames from one
            encoding of them; the answers are the same either way.
        device (`str`, *optional*): Torch device; by default that of the process.

    Raises:
        ValueError: A value out of range, missing, or unknown; the message names it.
    """

    benchmark: list[str] = field(
        default_factory=list, metadata={"help": f"What to score: one or several of {', '.join(BENCHMARKS)}."}
    )
    output: str = field(default="", metadata={"help": "JSON file for the scores; predictions go beside it."})
    model: str = field(default="", metadata={"help": "Folder or Hub id of a saved model."})
    predictions: str | None = field(
        default=None, metadata={"help": "JSON lines with predictions to score in place of a model."}
    )
    data: list[str] = field(
        default_factory=list,
        metadata={"help": "Options of one benchmark: scanqa.question_file=FILE sqa3d.dataset_path=FOLDER ..."},
    )
    restart: bool = field(default=False, metadata={"help": "Throw away the predictions beside --output."})
    batch_size: int = field(
        default=8, metadata={"help": "Most questions about different frames that are generated together."}
    )
    share_prefix: bool = field(
        default=True, metadata={"help": "Answer questions about the same frames from one encoding of them."}
    )
    device: str | None = field(default=None, metadata={"help": "Torch device (default: that of the process)."})

    def __post_init__(self):
        super().__post_init__()
        if not self.output:
            raise ValueError("output is not set: give --output.")
        if not self.model and self.predictions is None:
            raise ValueError("model is not set: give --model, or --predictions to score a file.")
        if self.model and self.predictions is not None:
            raise ValueError(f"model={self.model!r} and predictions={self.predictions!r}: give one of them.")
        if self.task != "questions":
            name = self.task if self.task in VLM3_TASKS else "with a name that ends with _boxes"
            raise ValueError(f"task={self.task!r}: the scorer takes no task, give --benchmark {name}.")
        unknown = [name for name in self.benchmark if name not in BENCHMARKS]
        if unknown or not self.benchmark:
            raise ValueError(
                f"benchmark={self.benchmark}: give --benchmark with one or several of {', '.join(BENCHMARKS)}."
            )
        if len(set(self.benchmark)) < len(self.benchmark):
            raise ValueError(f"benchmark={self.benchmark} names one twice.")
        if self.predictions is not None:
            measured = [name for name in self.benchmark if not isinstance(BENCHMARKS[name], QuestionBenchmark)]
            if measured:
                raise ValueError(
                    f"benchmark={measured[0]!r} measures a model and scores no predictions: give --model."
                )
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1.")
        if self.checkpoint is not None and self.picture is None and "reconstruction" not in self.benchmark:
            raise ValueError(
                "checkpoint is for the picture of depth_probe, and for the depth of reconstruction: add one of them, "
                "or leave it out."
            )
        if self.picture is not None and "depth_probe" not in self.benchmark:
            raise ValueError("picture is drawn by the depth probe: add depth_probe to --benchmark.")


def parse(arguments: Sequence[str] | None = None) -> tuple[ScoreOptions, dict[str, BenchmarkOptions]]:
    """Reads flags, a recipe for what they leave out, and the model's own `training_run.json` for what both leave out.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `tuple[ScoreOptions, dict[str, BenchmarkOptions]]`: The options, and those of each benchmark.

    Raises:
        ValueError: A bad value, a recipe that holds no options, or a model that says what cannot be of itself.
        OSError: No such recipe.
    """
    parser = HfArgumentParser(ScoreOptions, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--config", help="recipe of sft.py: scenes, questions and frames_as are taken from it")
    config = parser.parse_known_args(arguments)[0].config
    recipe = {} if config is None else recipe_options(find_recipe(config))
    parser.set_defaults(**recipe)
    given = {*recipe, *given_flags(parser, (ScoreOptions,), arguments)}
    options = parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)[0]
    return options, options_of_benchmarks(options, given)


def options_of_benchmarks(options: ScoreOptions, given: set[str]) -> dict[str, BenchmarkOptions]:
    """Each benchmark's options: its own of `data`, then those that are given, then the model's, then the benchmark's.

    A benchmark that has files of its own reads them, with the loader of its name, unless a dataset is given.

    Args:
        options (`ScoreOptions`): For all of them.
        given (`set[str]`): Names of those that flags or a recipe set.

    Returns:
        `dict[str, BenchmarkOptions]`: In the order of `options.benchmark`.

    Raises:
        ValueError: An entry of `data` that names no benchmark or option, or a value that cannot be.
    """
    own = {name: {} for name in options.benchmark}
    for entry in options.data:
        place, is_set, value = entry.partition("=")
        name, has_option, option = place.partition(".")
        if not (is_set and has_option):
            raise ValueError(f"data={entry!r}: write BENCHMARK.OPTION=VALUE, as in scanqa.question_file=scanqa.jsonl.")
        if name not in own:
            raise ValueError(f"data={entry!r}: {name!r} is not among --benchmark {' '.join(own)}.")
        known = [each.name for each in dataclasses.fields(BenchmarkOptions)]
        if option not in known:
            near = get_close_matches(option, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"data={entry!r}: {option!r} is no option of a benchmark.{meant} There are {', '.join(known)}."
            )
        own[name][option] = yaml.safe_load(value)
    usage = read_usage(options.model) if options.model else {}
    found = {}
    for name, stated in own.items():
        benchmark = BENCHMARKS[name]
        values = values_of(BenchmarkOptions, options) | stated
        set_by_user = given | set(stated)
        set_by_user |= EXCLUSIVE if set_by_user & EXCLUSIVE else set()
        if isinstance(benchmark, QuestionBenchmark):
            if benchmark.dataset is not None:
                values["dataset"] = _dataset_of(benchmark, values["dataset"] if "dataset" in set_by_user else None)
            by_model = model_options(usage, benchmark.task)
            values |= {option: value for option, value in by_model.items() if option not in set_by_user}
            values |= {"task": benchmark.task}
            values["max_new_tokens"] = values["max_new_tokens"] or benchmark.longest_answer(values["think"])
            values["frames_as"] = values["frames_as"] or benchmark.frames_as
            if isinstance(benchmark, GroundingBenchmark):
                values |= benchmark.stated_options(values, options.model)
        found[name] = BenchmarkOptions(**values)
    return found


def _dataset_of(benchmark: QuestionBenchmark, given: str | None) -> str:
    """The loader of a benchmark's questions; `ValueError` where the given one reads those of another benchmark."""
    loaders = {each.dataset for each in BENCHMARKS.values() if isinstance(each, QuestionBenchmark)}
    if given in loaders - {None, benchmark.dataset}:
        raise ValueError(
            f"dataset={given!r} is not of {benchmark.name}: leave it out, or give --data "
            f"{benchmark.name}.dataset={benchmark.dataset}, or a dataset of your own questions (scannet, hub)."
        )
    return given or benchmark.dataset


def recipe_options(file: Path) -> dict[str, Any]:
    """What scoring takes from a recipe of `sft.py`.

    Args:
        file (`Path`): YAML.

    Returns:
        `dict[str, Any]`: Scenes, questions, `frames_as`, and as `benchmark` the task of VLM3.

    Raises:
        ValueError: It holds no options.
        OSError: There is no such file.
    """
    recipe = read_recipe(file)
    shared = {option.name for option in dataclasses.fields(RowOptions)} | {"frames_as"}
    found = {name: value for name, value in recipe.items() if name in shared}
    task = found.pop("task", "questions")
    return found | ({"benchmark": [task]} if task in VLM3_TASKS else {})


def model_options(usage: dict[str, Any], task: str) -> dict[str, Any]:
    """What a model says about how it was taught a task.

    Args:
        usage (`dict`): What `read_usage` returned.
        task (`str`): `questions`, `text_boxes`, or a task of VLM3.

    Returns:
        `dict[str, Any]`: `frames_as`; with the first two also `num_frames`, `max_depth_metres` and how boxes are
        shown, with a task of VLM3 its options.

    Raises:
        ValueError: The model says what cannot be.
    """
    found = {"frames_as": usage["frames_as"]} if "frames_as" in usage else {}
    if task not in VLM3_TASKS:
        taught = "questions" in usage.get("tasks", ())
        found |= {"num_frames": usage["num_frames"]} if taught and "num_frames" in usage else {}
        found |= {FARTHEST_DEPTH: usage[FARTHEST_DEPTH]} if FARTHEST_DEPTH in usage else {}
        return found | task_options(usage, "questions")
    stated = task_options(usage, task)
    if stated.get("text_pixel_steps") == TASK_STEPS[task]:
        stated["text_pixel_steps"] = None  # the default of the task
    return found | stated
