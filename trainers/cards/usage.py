"""How a saved model wants to be asked: the `usage` of the `training_run.json` beside its weights."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from igep.trainers.data.vlm3.vlm3_options import VLM3Options


RUN_FILE = "training_run.json"
TASK_OPTIONS = (
    *("focal_pixels", "focal_mode", "max_image_pixels", "canvas_size", "text_pixel_steps", "distance_kind", "think"),
)


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
    """The options with which a model was taught a task of VLM3.

    Args:
        usage (`dict`): What `read_usage` returned.
        task (`str`): `depth`, `correspondence`, `pose` or `objects`.

    Returns:
        `dict[str, Any]`: Those of `TASK_OPTIONS` that the model names; empty if it did not learn the task, or is older than
            these notes.

    Raises:
        ValueError: They are no options of the task.
    """
    try:
        older = usage if task == "depth" and task in usage.get("tasks", ()) else {}
        stated = usage.get("task_options", {}).get(task, older)
        found = {name: value for name, value in stated.items() if name in TASK_OPTIONS}
        if found:
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


def _wrong_part(usage: Any) -> str | None:
    """What cannot be in the parts that every task shares."""
    if not isinstance(usage, dict):
        return f"usage={usage!r}, which is no mapping"
    frames, frames_as, tasks = usage.get("num_frames", 1), usage.get("frames_as", "video"), usage.get("tasks", [])
    if type(frames) is not int or frames < 1:
        return f"num_frames={frames!r}, which is no number of frames"
    if frames_as not in ("video", "images"):
        return f"frames_as={frames_as!r}, which is neither video nor images"
    return None if isinstance(tasks, list) else f"tasks={tasks!r}, which is no list"
