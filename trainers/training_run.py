"""`training_run.json`: what a saved model was trained on and how it wants to be asked, written beside its weights.

The model card is made from this file alone, and the Space reads its `usage`, so whoever publishes a folder later says the
same as the trainer. It holds no path of this machine and no token.
"""

import dataclasses
import json
import platform
import re
from collections.abc import Sequence
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from igep.trainers.data.depthlm import DepthLMDataset
from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.room_questions import WHERE_QUESTIONS
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.vlm3_dataset import VLM3Dataset
from igep.trainers.licences import licence_of
from igep.trainers.sft_config import IGEPSFTConfig


RUN_FILE = "training_run.json"
PACKAGES = ("igep", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub", "safetensors")
NOT_OF_THE_METHOD = (
    *("output_dir", "hub_model_id", "push_to_hub", "hub_private_repo", "run_name", "logging_dir", "report_to"),
    *("resume_from_checkpoint", "config"),
)
SECRET_OPTION = re.compile(r"(^|_)(token|secret|password|passwd|credentials?|api_key|access_key)$", re.IGNORECASE)
PLACE_OPTION = re.compile(r"(_path|_file|_dir|_root|_folder)$")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
ROOT = Path(__file__).resolve().parent.parent
REQUIRED = {
    "base_model": dict,
    "steps": int,
    "samples_per_step": int,
    "recipe": dict,
    "losses": list,
    "data": list,
    "usage": dict,
    "tags": list,
    "datasets": list,
    "adapter_only": bool,
    "environment": dict,
    "earlier": list,
}
LOOKED_AT_ROWS = 24  # for example questions
NUM_EXAMPLES = 6


def training_run(
    args: IGEPSFTConfig,
    recipe: dict[str, Any],
    train_dataset: torch.utils.data.Dataset,
    *,
    base_model: str,
    steps: int,
    tags: Sequence[str],
    datasets: Sequence[str] = (),
    adapter_only: bool = False,
) -> dict[str, Any]:
    """Describes a run.

    Args:
        args (`IGEPSFTConfig`): Its options.
        recipe (`dict`): The options that were given, in a recipe or as flags; see `shared_recipe`.
        train_dataset (`torch.utils.data.Dataset`): What was trained on.
        base_model (`str`): Id or folder of the model that training began with.
        steps (`int`): Optimiser steps so far.
        tags (`Sequence[str]`): Tags on the Hub.
        datasets (`Sequence[str]`, *optional*): Ids of the training data on the Hub.
        adapter_only (`bool`, *optional*, defaults to `False`): The folder holds an adapter and no whole model.

    Returns:
        `dict`: What `training_run.json` holds.
    """
    teacher = None
    if args.global_weight:
        name = args.teacher_name_or_path
        teacher = {"kind": args.teacher, "name": name and shared_path(name), "licence": name and licence_of(name)}
    on_hub = HUB_ID.fullmatch(base_model) is not None and not Path(base_model).exists()
    return {
        "base_model": {
            "name": base_model if on_hub else Path(base_model).name,
            "on_hub": on_hub,
            "licence": licence_of(base_model),
        },
        "earlier": _earlier(base_model),
        "steps": steps,
        "samples_per_step": args.samples_per_step,
        "recipe": shared_recipe(recipe),
        "losses": _losses(args),
        "teacher": teacher,
        "data": _data(train_dataset, steps * args.samples_per_step),
        "usage": usage_of(train_dataset, args),
        "tags": sorted(tags),
        "datasets": sorted({*datasets, *_hub_datasets(recipe)}),
        "adapter_only": adapter_only,
        "environment": environment(args),
    }


def write_training_run(folder: Path, run: dict[str, Any]) -> None:
    """Writes `training_run.json` into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def read_training_run(folder: Path) -> dict[str, Any]:
    """Reads `training_run.json`.

    Args:
        folder (`Path`): Folder of a saved model.

    Returns:
        `dict`

    Raises:
        FileNotFoundError: The folder has none; the message says where it comes from.
        ValueError: The file is not what a trainer wrote.
    """
    file = folder / RUN_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} has no {RUN_FILE}, which `trainers/sft.py` writes beside the model it saves: train with this version, "
            "or call IGEPSFTTrainer.save_model."
        )
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON ({error}): save the model again.") from error
    fields = run if isinstance(run, dict) else {}
    wrong = [name for name, kind in REQUIRED.items() if type(fields.get(name)) is not kind]
    if wrong:
        raise ValueError(
            f"{file}: {wrong[0]!r} is missing or is no {REQUIRED[wrong[0]].__name__}: save the model again."
        )
    return run


def shared_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """The options of a recipe that others need: no tokens, no places on this machine, paths cut to their last name.

    Args:
        recipe (`dict`): Option to value.

    Returns:
        `dict`: With values that JSON and YAML can hold.
    """
    return {name: part for name, part in _plain("", recipe).items() if name not in NOT_OF_THE_METHOD}


def changed_options(args: IGEPSFTConfig) -> dict[str, Any]:
    """The options of a run that differ from their defaults.

    Args:
        args (`IGEPSFTConfig`): Its options.

    Returns:
        `dict`: Option to value.
    """
    plain = type(args)(output_dir=args.output_dir, use_cpu=args.use_cpu)
    return {
        option.name: vars(args)[option.name]
        for option in dataclasses.fields(args)
        if option.init and vars(args)[option.name] != vars(plain)[option.name]
    }


def environment(args: IGEPSFTConfig) -> dict[str, Any]:
    """Versions and hardware of this process.

    Args:
        args (`IGEPSFTConfig`): Options of the run.

    Returns:
        `dict`: `packages`, `python`, `device` and `processes`.
    """
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    on_gpu = args.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "packages": packages,
        "device": torch.cuda.get_device_name(args.device) if on_gpu else f"CPU ({platform.machine()})",
        "processes": args.world_size,
        "precision": "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
    }


def usage_of(dataset: torch.utils.data.Dataset, args: IGEPSFTConfig) -> dict[str, Any]:
    """How a model wants to be asked, from what it was trained on.

    Args:
        dataset (`torch.utils.data.Dataset`): What it was trained on.
        args (`IGEPSFTConfig`): Options of the run.

    Returns:
        `dict`: `tasks`, `num_frames`, `frames_as`, `multi_turn`, `examples`; where depth is among the tasks, how its images
        are unified; and `where_questions` if the data asks where things are.
    """
    parts = [part.dataset for part in dataset.parts] if isinstance(dataset, MixtureDataset) else [dataset]
    written = [part for part in parts if isinstance(part, (VLM3Dataset, DepthLMDataset))]
    asked = [part for part in parts if not isinstance(part, (VLM3Dataset, DepthLMDataset))]
    usage: dict[str, Any] = {
        "tasks": sorted({part.options.task for part in written} | ({"questions"} if asked else set())),
        "num_frames": 1,
        "frames_as": args.frames_as,
        "multi_turn": False,
        "examples": [],
    }
    for part in asked:
        rows = [part[row] for row in range(min(len(part), LOOKED_AT_ROWS))]
        usage["num_frames"] = max(usage["num_frames"], *(len(row.frames) for row in rows))
        usage["multi_turn"] |= not args.pack_questions and any(len(row.conversation) > 1 for row in rows)
        usage["examples"] += _examples(rows)
    for part in written:
        if part.options.task == "depth":
            usage |= {
                "focal_pixels": part.options.focal_pixels,
                "focal_mode": part.options.focal_mode,
                "canvas_size": None if part.options.canvas_size is None else list(part.options.canvas_size),
                "text_pixel_steps": part.options.steps,
            }
    start = WHERE_QUESTIONS[0].split("{object}")[0]
    if any(question.startswith(start) for question in usage["examples"]):
        usage["where_questions"] = list(WHERE_QUESTIONS)
    return usage


def _examples(rows: Sequence[Any]) -> list[str]:
    """One question of each type, in the order in which they come."""
    by_type: dict[str, str] = {}
    for row in rows:
        types = row.question_types or [question for question, _ in row.conversation]
        for (question, _), kind in zip(row.conversation, types, strict=True):
            by_type.setdefault(kind or question, question)
    return list(by_type.values())[:NUM_EXAMPLES]


def _losses(args: IGEPSFTConfig) -> list[dict[str, Any]]:
    verifier = f"by a verifier of {args.verifier_channels} channels on {args.verifier_taps} encoder layers"
    weights = {
        "cross-entropy of the answers": 1.0,
        f"depth, {verifier}": args.geometry_weight,
        "cross-view consistency of that depth": args.cross_view_weight,
        f"alignment of {args.supervise} tokens with a frozen 3D teacher ({args.teacher})": args.global_weight,
    }
    return [{"name": name, "weight": weight} for name, weight in weights.items() if weight]


def _data(dataset: torch.utils.data.Dataset, samples: int) -> list[dict[str, Any]]:
    if isinstance(dataset, MixtureDataset):
        drawn = dataset.counts(samples)
        return [
            {"name": part.name, "task": _task(part.dataset), "rows": part.num_rows, "samples": drawn[part.name]}
            for part in dataset.parts
        ]
    return [{"name": "training rows", "task": _task(dataset), "rows": len(dataset), "samples": samples}]


def _task(dataset: torch.utils.data.Dataset) -> str:
    if isinstance(dataset, (VLM3Dataset, DepthLMDataset)):
        return dataset.options.task
    return "questions" if isinstance(dataset, SpatialDataset) else "rows of a dataset class of the user's"


def _hub_datasets(recipe: dict[str, Any]) -> set[str]:
    """Ids of the Hub datasets that a recipe and the entries of its mixture name."""
    entries = [recipe, *({**recipe, **entry} for entry in recipe.get("mixture") or [] if isinstance(entry, dict))]
    paths = {str(entry.get("dataset_path")) for entry in entries if entry.get("dataset") == "hub"}
    return {path for path in paths if HUB_ID.fullmatch(path) and not Path(path).exists()}


def _earlier(base_model: str) -> list[dict[str, Any]]:
    """What was trained before, where the base is a folder that igep saved itself."""
    if not (Path(base_model) / RUN_FILE).is_file():
        return []
    before = read_training_run(Path(base_model))
    kept = ("base_model", "steps", "samples_per_step", "losses", "teacher", "data", "recipe")
    return [*before["earlier"], {name: before.get(name) for name in kept}]


def _plain(name: str, value: Any) -> Any:
    """A value as JSON and YAML hold it, without secrets and without places of this machine."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(str(key), part) for key, part in value.items() if not SECRET_OPTION.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_plain(name, part) for part in value]
    if isinstance(value, (str, Path)):
        return shared_path(str(value)) if PLACE_OPTION.search(name) or Path(value).is_absolute() else str(value)
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def shared_path(name: str) -> str:
    """A path of this machine as its last name; ids on the Hub and files of this repository stay whole.

    Args:
        name (`str`): A path or an id.

    Returns:
        `str`
    """
    path = Path(name).expanduser()
    in_repository = not path.is_absolute() and ".." not in path.parts and (ROOT / path).exists()
    if (in_repository and path.parts[0] != "outputs") or (HUB_ID.fullmatch(name) and not path.exists()):
        return name
    return path.name
