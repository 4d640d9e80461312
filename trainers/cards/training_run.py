"""`training_run.json`: what a saved model was trained on and how it wants to be asked, written beside its weights.

The model card is made from this file alone, and the Space reads its `usage`, so whoever publishes a folder later says
the same as the trainer. It holds no path of this machine and no token.
"""

import dataclasses
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.utils import logging

from igep.trainers.cards.licences import licence_of
from igep.trainers.cards.made_base import made_by
from igep.trainers.cards.run_data import data_of, hub_datasets
from igep.trainers.cards.saved_weights import parameters_on_disk
from igep.trainers.cards.shared_recipe import is_hub_id, shared_path, shared_recipe
from igep.trainers.cards.usage import RUN_FILE, run_file, usage_of


logger = logging.get_logger(__name__)

PACKAGES = ("igep", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub", "safetensors")
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


def training_run(
    args: TrainingArguments,
    recipe: dict[str, Any],
    train_dataset: torch.utils.data.Dataset,
    *,
    samples_per_step: int,
    losses: dict[str, float],
    frames_as: str,
    pack_questions: bool = False,
    teacher: dict[str, str | None] | None = None,
    base_model: str,
    steps: int,
    tags: Sequence[str],
    datasets: Sequence[str] = (),
    adapter_only: bool = False,
    architecture: str | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Describes a run.

    Args:
        args (`transformers.TrainingArguments`): Its options: processes, precision and device are read from them.
        recipe (`dict`): The options that were given, in a recipe or as flags; see `shared_recipe`.
        train_dataset (`torch.utils.data.Dataset`): What was trained on.
        samples_per_step (`int`): Samples of an optimiser step over all processes.
        losses (`dict[str, float]`): Weight of each loss by its name in words; those of weight 0 are left out.
        frames_as (`str`): `"video"` or `"images"`: how the model saw the frames.
        pack_questions (`bool`, *optional*, defaults to `False`): The questions of a row were independent of each
            other.
        teacher (`dict`, *optional*): `kind` of the teacher that was aligned with, and its `name`: id, folder or
            `None`.
        base_model (`str`): Id or folder of the model that training began with.
        steps (`int`): Optimiser steps so far.
        tags (`Sequence[str]`): Tags on the Hub.
        datasets (`Sequence[str]`, *optional*): Ids of the training data on the Hub.
        adapter_only (`bool`, *optional*, defaults to `False`): The folder holds an adapter and no whole model.
        architecture (`str`, *optional*): `model_type` of the base VLM.
        folder (`Path`, *optional*): Where the model was saved; its parameters are counted there.

    Returns:
        `dict`: What `training_run.json` holds.
    """
    if teacher is not None:
        name = teacher["name"]
        teacher = {"kind": teacher["kind"], "name": name and shared_path(name), "licence": name and licence_of(name)}
    on_hub = is_hub_id(base_model)
    return {
        "base_model": {
            "name": base_model if on_hub else Path(base_model).name,
            "on_hub": on_hub,
            "licence": licence_of(base_model),
        },
        "model": {
            "architecture": architecture,
            "parameters": None if folder is None else parameters_on_disk(folder) or None,
        },
        "base_made_by": made_by(base_model),
        "earlier": _earlier(base_model, recipe.get("model_revision")),
        "steps": steps,
        "samples_per_step": samples_per_step,
        "recipe": shared_recipe(recipe),
        "losses": [{"name": name, "weight": weight} for name, weight in losses.items() if weight],
        "teacher": teacher,
        "data": data_of(train_dataset, recipe, steps * samples_per_step),
        "usage": usage_of(train_dataset, frames_as=frames_as, pack_questions=pack_questions),
        "tags": sorted(tags),
        "datasets": sorted({*datasets, *hub_datasets(recipe)}),
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
            f"{folder} has no {RUN_FILE}, which `igep sft` writes beside the model it saves: train with this version, "
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


def changed_options(args: TrainingArguments) -> dict[str, Any]:
    """The options of a run that differ from their defaults.

    Args:
        args (`transformers.TrainingArguments`): Its options.

    Returns:
        `dict`: Option to value.
    """
    plain = type(args)(output_dir=args.output_dir, use_cpu=args.use_cpu)
    return {
        option.name: vars(args)[option.name]
        for option in dataclasses.fields(args)
        if option.init and vars(args)[option.name] != vars(plain)[option.name]
    }


def package_versions() -> dict[str, str]:
    """Versions of igep and of what it is built on, as far as they are installed."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return packages


def environment(args: TrainingArguments) -> dict[str, Any]:
    """Versions and hardware of this process.

    Args:
        args (`transformers.TrainingArguments`): Options of the run.

    Returns:
        `dict`: `packages`, `python`, `device` and `processes`.
    """
    on_gpu = args.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "packages": package_versions(),
        "device": torch.cuda.get_device_name(args.device) if on_gpu else f"CPU ({platform.machine()})",
        "processes": args.world_size,
        "precision": "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
    }


def _earlier(base_model: str, revision: str | None) -> list[dict[str, Any]]:
    """What was trained before, where the base is a model that igep saved itself."""
    file = run_file(base_model, revision)
    if file is None:
        return []
    try:
        before = read_training_run(file.parent)
    except ValueError as error:  # the model that was trained is worth more than the history of its base
        logger.warning("What the base was trained on is not known: %s", error)
        return []
    kept = ("base_model", "steps", "samples_per_step", "losses", "teacher", "data", "datasets", "recipe")
    return [*before["earlier"], {name: before.get(name) for name in kept}]
