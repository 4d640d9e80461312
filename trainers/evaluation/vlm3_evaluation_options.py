"""Options of `vlm3_evaluation.py`: flags, then a recipe, then what the model says of itself, then the defaults."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from igep.trainers.cards.given_options import given_flags, read_recipe
from igep.trainers.cards.usage import read_usage, task_options
from igep.trainers.data.training_rows import RowOptions
from igep.trainers.data.vlm3.vlm3_options import TASK_STEPS, VLM3_TASKS
from igep.trainers.package_files import find_recipe


DESCRIPTION = "Scores a saved model on VLM3's tasks: questions written from posed RGB-D scenes, answered from RGB."
EXCLUSIVE = {
    "canvas_size",
    "max_image_pixels",
}  # of which the model's own would stand in the way of the one that is given


@dataclass
class EvaluationOptions(RowOptions):
    """What to evaluate, and where the scores go. Scenes and questions as in training, see `RowOptions`.

    On a command line, `frames_as` and how images and text pixels are written are the model's own unless given.

    Args:
        model (`str`): Folder or Hub id of a saved model.
        output (`str`): JSON file for the scores; predictions go beside it.
        tasks (`list[str]`, *optional*, defaults to `["depth"]`): Among `depth`, `correspondence`, `pose` and `objects`.
        max_rows (`int`, *optional*): Image sets per task, spread evenly over all; all unless given.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer.
        frames_as (`str`, *optional*, defaults to `"images"`): Show the frames as `"images"` or as one `"video"`, as in training.
        question_seed (`int`, *optional*, defaults to `0`): Seed of the questions that are written.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Raises:
        ValueError: A value out of range; the message names it.
    """

    model: str = field(default="", metadata={"help": "Folder or Hub id of a saved model."})
    output: str = field(default="", metadata={"help": "JSON file for the scores; predictions go beside it."})
    tasks: list[str] = field(
        default_factory=lambda: ["depth"], metadata={"help": f"Tasks to score: {', '.join(VLM3_TASKS)}."}
    )
    max_rows: int | None = field(
        default=None, metadata={"help": "Image sets per task, spread evenly over all (default: all)."}
    )
    max_new_tokens: int = field(default=64, metadata={"help": "Longest answer in tokens."})
    frames_as: str = field(
        default="images", metadata={"help": "How the model sees the frames.", "choices": ["images", "video"]}
    )
    question_seed: int = field(default=0, metadata={"help": "Seed of the questions that are written."})
    device: str | None = field(default=None, metadata={"help": "Torch device (default: cuda where there is one)."})

    def __post_init__(self):
        super().__post_init__()
        for name in ("model", "output"):
            if not vars(self)[name]:
                raise ValueError(f"{name} is not set: give --{name}.")
        if self.task != "questions":
            raise ValueError(f"task={self.task!r}: an evaluation takes --tasks, one or several.")
        unknown = [task for task in self.tasks if task not in VLM3_TASKS]
        if unknown or not self.tasks:
            raise ValueError(f"tasks={self.tasks}: choose among {', '.join(VLM3_TASKS)}.")
        for name in ("max_rows", "max_new_tokens"):
            if vars(self)[name] is not None and vars(self)[name] < 1:
                raise ValueError(f"{name}={vars(self)[name]} must be at least 1.")

    def rows_of(self, task: str) -> RowOptions:
        """The options of the rows of one task, checked."""
        values = {option.name: vars(self)[option.name] for option in dataclasses.fields(RowOptions)}
        return RowOptions(**(values | {"task": task}))


def parse(arguments: Sequence[str] | None = None) -> EvaluationOptions:
    """Reads flags, a recipe for what they leave out, and the model's own `training_run.json` for what both leave out.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `EvaluationOptions`

    Raises:
        ValueError: A bad value, a recipe that holds no options, or a model that was taught the tasks in different ways.
        OSError: No such recipe.
    """
    parser = HfArgumentParser(EvaluationOptions, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--config", help="recipe of sft.py: scenes, questions and frames_as are taken from it")
    config = parser.parse_known_args(arguments)[0].config
    recipe = {} if config is None else recipe_options(find_recipe(config))
    parser.set_defaults(**recipe)
    found = parser.parse_known_args(arguments)[0]
    given = {*recipe, *given_flags(parser, (EvaluationOptions,), arguments)}
    given |= EXCLUSIVE if given & EXCLUSIVE else set()
    own = model_options(read_usage(found.model), found.tasks) if found.model else {}
    parser.set_defaults(**_agreed({name: values for name, values in own.items() if name not in given}))
    return parser.parse_args_into_dataclasses(arguments, look_for_args_file=False)[0]


def recipe_options(file: Path) -> dict[str, Any]:
    """What an evaluation takes from a recipe of `sft.py`.

    Args:
        file (`Path`): YAML.

    Returns:
        `dict[str, Any]`: Scenes, questions, `frames_as` and `tasks`.

    Raises:
        ValueError: It holds no options.
        OSError: There is no such file.
    """
    recipe = read_recipe(file)
    shared = {option.name for option in dataclasses.fields(RowOptions)} | {"frames_as"}
    found = {name: value for name, value in recipe.items() if name in shared}
    task = found.pop("task", "questions")
    return found | ({"tasks": [task]} if task in VLM3_TASKS else {})


def model_options(usage: dict[str, Any], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a model says about how it was taught some tasks.

    Args:
        usage (`dict`): What `read_usage` returned.
        tasks (`Sequence[str]`): The tasks.

    Returns:
        `dict`: Option to its value for each of the tasks that the model learned.

    Raises:
        ValueError: The model says what cannot be.
    """
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        for name, value in task_options(usage, task).items():
            is_default = name == "text_pixel_steps" and value == TASK_STEPS[task]  # which differ between tasks
            found.setdefault(name, {})[task] = None if is_default else value
    return found | ({"frames_as": dict.fromkeys(tasks, usage["frames_as"])} if "frames_as" in usage else {})


def _agreed(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One value for all tasks of each option."""
    for name, values in options.items():
        (first, value), *others = values.items()
        for task, other in others:
            if other != value:
                raise ValueError(
                    f"The model was trained with {name}={value} for {first} and {name}={other} for {task}: score each task alone, "
                    f"or give --{name}."
                )
    return {name: next(iter(values.values())) for name, values in options.items()}
