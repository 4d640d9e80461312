"""What a run was trained on, by name and number: the `data` and `datasets` of `training_run.json`."""

from pathlib import Path
from typing import Any

import torch

from igep.trainers.cards.shared_recipe import is_hub_id, mixture_entries
from igep.trainers.data.dataset_options import DatasetKind
from igep.trainers.data.mixture import drawn_rows


def data_of(dataset: torch.utils.data.Dataset, recipe: dict[str, Any], samples: int) -> list[dict[str, Any]]:
    """The parts of what was trained on.

    Args:
        dataset (`torch.utils.data.Dataset`): What was trained on.
        recipe (`dict`): The options of the run.
        samples (`int`): Samples drawn in all.

    Returns:
        `list[dict]`: `name`, `dataset` (see `named_dataset`), `task`, `rows` and `samples` of each.
    """
    entries = {entry.get("name"): entry for entry in mixture_entries(recipe)}
    return [
        {
            "name": rows.name,
            "dataset": named_dataset({**recipe, **entries.get(rows.name, {})}),
            "task": rows.source.task,
            "rows": rows.num_rows,
            "samples": rows.samples,
        }
        for rows in drawn_rows(dataset, samples)
    ]


def named_dataset(options: dict[str, Any]) -> dict[str, Any] | None:
    """The dataset that options name, without its place on this machine.

    Args:
        options (`dict`): Those of a recipe, or of an entry of its mixture over them.

    Returns:
        `dict` or `None`: `kind`, `name` (id on the Hub or last name of the folder or file) and `on_hub`; `None` where
            the rows were given in Python.
    """
    kind, path = options.get("dataset"), options.get("dataset_path")
    if kind is None and "model_name_or_path" not in options:  # which every recipe of sft.py has
        return None
    on_hub = kind == "hub" and path is not None and is_hub_id(str(path))
    name = path and (str(path) if on_hub else Path(path).absolute().name)
    return {"kind": kind or DatasetKind.dataset, "name": name, "on_hub": on_hub}


def hub_datasets(recipe: dict[str, Any]) -> set[str]:
    """Ids of the Hub datasets that a recipe and the entries of its mixture name.

    Args:
        recipe (`dict`): The options of the run.

    Returns:
        `set[str]`
    """
    named = [named_dataset({**recipe, **entry}) for entry in ({}, *mixture_entries(recipe))]
    return {dataset["name"] for dataset in named if dataset is not None and dataset["on_hub"]}
