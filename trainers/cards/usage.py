"""How a saved model wants to be asked: the `usage` of the `training_run.json` beside its weights, written and read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.mixture import drawn_rows
from igep.trainers.data.rooms.room_questions import WHERE_QUESTIONS
from igep.trainers.data.row_source import FARTHEST_DEPTH
from igep.trainers.data.scan2cap import BOX_PROMPTS
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.vlm3.vlm3_options import USAGE_FIELDS, VLM3Options


RUN_FILE = "training_run.json"
OF_DEPTH = (  # arguments of `depth_question_inputs`, which the Space and the card show
    *("focal_pixels", "focal_mode", "longest_side", "max_image_pixels", "canvas_size", "pixel_mapping"),
    "text_pixel_steps",
)
LOOKED_AT_ROWS = 24  # for example questions
NUM_EXAMPLES = 6


def usage_of(dataset: torch.utils.data.Dataset, *, frames_as: str, pack_questions: bool = False) -> dict[str, Any]:
    """How a model wants to be asked, from what it was trained on.

    Args:
        dataset (`torch.utils.data.Dataset`): What it was trained on.
        frames_as (`str`): `"video"` or `"images"`: how it saw the frames.
        pack_questions (`bool`, *optional*, defaults to `False`): The questions of a row were independent of each
            other.

    Returns:
        `dict`: `tasks`, `num_frames`, `frames_as`, `multi_turn`, `examples`; `task_options` of the tasks whose
        questions are written under options, and those of depth by themselves; `max_depth_metres` if farther depth was
        no measurement (of several the largest); and `where_questions` if the data asks where things are.
    """
    sources = [rows.source for rows in drawn_rows(dataset, 0)]
    options = [{name: value for name, value in source.usage.items() if name != FARTHEST_DEPTH} for source in sources]
    written: dict[str, dict[str, Any]] = {}
    for source, own in zip(sources, options, strict=True):
        if own:
            written.setdefault(source.task, {}).update(own)
    asked = [source for source, own in zip(sources, options, strict=True) if not own or source.task == "questions"]
    usage: dict[str, Any] = {
        "tasks": sorted({*written, *(("questions",) if asked else ())}),
        "num_frames": 1,
        "frames_as": frames_as,
        "multi_turn": False,
        "examples": [],
        "task_options": written,
    }
    for source in asked:
        rows = [source.example(row, 0) for row in range(min(len(source), LOOKED_AT_ROWS))]
        usage["num_frames"] = max(usage["num_frames"], *(len(row.frames) for row in rows))
        usage["multi_turn"] |= any(
            len(row.conversation) > 1 and (row.is_dialogue or not pack_questions) for row in rows
        )
        usage["examples"] += _examples(rows)
    farthest = [source.usage[FARTHEST_DEPTH] for source in sources if FARTHEST_DEPTH in source.usage]
    usage |= {FARTHEST_DEPTH: max(farthest)} if farthest else {}
    usage |= {name: value for name, value in written.get("depth", {}).items() if name in OF_DEPTH}
    start = WHERE_QUESTIONS[0].split("{object}")[0]
    if any(question.startswith(start) for question in usage["examples"]):
        usage["where_questions"] = list(WHERE_QUESTIONS)
    return usage


def read_usage(model: str | Path) -> dict[str, Any]:
    """Reads what a saved model says of itself.

    Args:
        model (`str` or `Path`): Folder or Hub id.

    Returns:
        `dict`: As `usage_of` wrote it at training; empty where the model has no `training_run.json`, as a plain VLM.

    Raises:
        ValueError: The file is not what a trainer wrote.
    """
    file = run_file(str(model))
    if file is None:
        return {}
    try:
        usage = json.loads(file.read_text(encoding="utf-8"))["usage"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{model}: {RUN_FILE} holds no usage ({error}): save the model again.") from error
    wrong = _wrong_part(usage)
    if wrong is not None:
        raise ValueError(f"{model}: {RUN_FILE} has {wrong}: save the model again.")
    return usage


def task_options(usage: dict[str, Any], task: str) -> dict[str, Any]:
    """The options with which a model was taught a task.

    Args:
        usage (`dict`): What `read_usage` returned.
        task (`str`): `depth`, `correspondence`, `pose` or `objects`; or `questions`.

    Returns:
        `dict[str, Any]`: Those of `USAGE_FIELDS`, with `questions` `box_prompt`, that the model names; empty if it did
            not learn the task, or is older than these notes.

    Raises:
        ValueError: They are no options of the task.
    """
    try:
        older = usage if task == "depth" and task in usage.get("tasks", ()) else {}
        stated = usage.get("task_options", {}).get(task, older)
        fields = ("box_prompt",) if task == "questions" else USAGE_FIELDS
        found = {name: value for name, value in stated.items() if name in fields}
        if task == "questions":
            _check_box_prompt(found)
        elif found:
            VLM3Options(task=task, **found)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{RUN_FILE} of the model: the usage of {task} is none ({error}): save it again.") from error
    return found


def run_file(model: str, revision: str | None = None) -> Path | None:
    """Finds the `training_run.json` of a model.

    Args:
        model (`str`): Folder or Hub id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Returns:
        `Path` or `None`: `None` where the model has none, or the Hub cannot be asked.
    """
    if Path(model).is_dir() or model.count("/") != 1:  # every model of igep on the Hub is user/name
        file = Path(model) / RUN_FILE
        return file if file.is_file() else None
    try:
        return Path(hf_hub_download(model, RUN_FILE, revision=revision))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HFValidationError):
        return None


def _check_box_prompt(stated: dict[str, Any]) -> None:
    if "box_prompt" in stated and stated["box_prompt"] not in BOX_PROMPTS:
        raise ValueError(f"box_prompt={stated['box_prompt']!r}")


def _wrong_part(usage: Any) -> str | None:
    """What cannot be in the parts that every task shares."""
    if not isinstance(usage, dict):
        return f"usage={usage!r}, which is no mapping"
    frames, frames_as, tasks = usage.get("num_frames", 1), usage.get("frames_as", "video"), usage.get("tasks", [])
    if type(frames) is not int or frames < 1:
        return f"num_frames={frames!r}, which is no number of frames"
    if frames_as not in ("video", "images"):
        return f"frames_as={frames_as!r}, which is neither video nor images"
    farthest = usage.get(FARTHEST_DEPTH, 1.0)
    if isinstance(farthest, bool) or not isinstance(farthest, (int, float)) or not farthest > 0:
        return f"{FARTHEST_DEPTH}={farthest!r}, which is no distance"
    return None if isinstance(tasks, list) else f"tasks={tasks!r}, which is no list"


def _examples(rows: Sequence[SpatialExample]) -> list[str]:
    """One question of each type, in the order in which they come."""
    by_type: dict[str, str] = {}
    for row in rows:
        types = row.question_types or [question for question, _ in row.conversation]
        for (question, answer), kind in zip(row.conversation, types, strict=True):
            if answer != GROUND_TOKEN:  # which the model does not answer in words
                by_type.setdefault(kind or question, question)
    return list(by_type.values())[:NUM_EXAMPLES]
