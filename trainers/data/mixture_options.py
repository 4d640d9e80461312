"""The `mixture` of a recipe: entries that are read like command lines, and the datasets they name."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, NoReturn, get_args, get_type_hints

import torch
import yaml
from transformers import HfArgumentParser

from igep.trainers.data.mixture import WEIGHTINGS, MixtureDataset, MixturePart
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows, values_of


@dataclass
class MixtureOptions:
    """How several datasets become one.

    Args:
        mixture (`list[str]`, *optional*): One entry per dataset, a YAML mapping of the options in `MixtureEntry`. What
            an entry leaves out has the recipe's own value. `None` trains on the one dataset that the recipe names.
        mixture_weights (`str`, *optional*, defaults to `"size"`): `uniform`, `size`, `temperature` or `custom`; see
            `mixture_shares`.
        mixture_temperature (`float`, *optional*, defaults to `2.0`): `temperature`: 1 is `size`, larger is more
            uniform.
        mixture_samples_per_epoch (`int`, *optional*): Samples of an epoch, rounded up to whole steps; all rows in use
            unless given. Epochs of the mixture's parts do not depend on it.
        mixture_one_part_per_batch (`bool`, *optional*, defaults to `False`): Every batch of a process is drawn from
            one part. LLaVA-OneVision's processor cannot stack videos of several lengths, such as clips and single
            frames. A step has rows of several parts through `gradient_accumulation_steps` and several processes.
    """

    mixture: list[str] | None = field(
        default=None,
        metadata={"help": "Datasets to train on: one YAML mapping each, with a name and any option of the data."},
    )
    mixture_weights: str = field(
        default="size", metadata={"help": "Shares of the datasets.", "choices": list(WEIGHTINGS)}
    )
    mixture_temperature: float = field(
        default=2.0, metadata={"help": "mixture_weights temperature: 1 is by size, larger is more uniform."}
    )
    mixture_samples_per_epoch: int | None = field(
        default=None, metadata={"help": "Samples of an epoch of a mixture (default: all rows in use)."}
    )
    mixture_one_part_per_batch: bool = field(
        default=False, metadata={"help": "Draw every batch of a process from one dataset of the mixture."}
    )


@dataclass
class MixtureEntry(RowOptions):
    """One dataset of a mixture: scenes, task and rows (see `RowOptions`), and its part in the mixture.

    Args:
        name (`str`): Name, unique in the mixture. Samples and realised counts bear it.
        weight (`float`, *optional*): `mixture_weights: custom`: share relative to the others.
        max_samples (`int`, *optional*): Use at most so many rows.
        percent (`float`, *optional*, defaults to `100.0`): Use so many of a hundred rows.
    """

    name: str = field(default="", metadata={"help": "Name, unique in the mixture."})
    weight: float | None = field(default=None, metadata={"help": "Custom weights: share relative to the others."})
    max_samples: int | None = field(default=None, metadata={"help": "Use at most so many rows."})
    percent: float = field(default=100.0, metadata={"help": "Use so many of a hundred rows."})


class _EntryParser(HfArgumentParser):
    """Turns the values of an entry into those of a dataclass as on a command line, and raises instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse_mixture(entries: Sequence[str | dict[str, Any]], recipe: RowOptions) -> list[MixtureEntry]:
    """Reads the entries of a mixture.

    Args:
        entries (`Sequence`): Mappings of option to value, or YAML that holds one.
        recipe (`RowOptions`): Values of the options that an entry leaves out.

    Returns:
        `list[MixtureEntry]`

    Raises:
        ValueError: An entry is no mapping, has no name, an unknown key, or a bad value.
    """
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"mixture={entries!r} must be a list of entries, one mapping for each dataset.")  # noqa: TRY004
    return [_parse_entry(number, entry, recipe) for number, entry in enumerate(entries)]


def _parse_entry(number: int, entry: str | dict[str, Any], recipe: RowOptions) -> MixtureEntry:
    where = f"mixture entry {number}"
    if isinstance(entry, str):
        try:
            entry = yaml.safe_load(entry)
        except yaml.YAMLError as error:
            raise ValueError(f"{where} is not YAML, {error}: write it as {{name: ..., dataset: ...}}.") from error
    if not isinstance(entry, dict):
        raise ValueError(  # noqa: TRY004
            f"{where} is {entry!r}, not a mapping of option to value: write {{name: ..., dataset: ...}}."
        )
    types = get_type_hints(MixtureEntry)  # transformers' parser rewrites those of the fields
    for key in entry:
        if key not in types:
            nearest = difflib.get_close_matches(str(key), sorted(types), n=1, cutoff=0.0)[0]
            raise ValueError(f"{where} has an unknown key {key!r}. Did you mean {nearest!r}?")
    if not entry.get("name"):
        raise ValueError(f"{where} has no name: give it one, such as {entry.get('task', recipe.task)}_1.")
    where = f"{where} ({entry['name']})"
    words = []
    for key, value in entry.items():
        if value is None:
            if NoneType not in get_args(types[key]):
                raise ValueError(f"{where}: {key} is empty. Give a value, or remove the key.")
            continue
        words += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    inherited = values_of(RowOptions, recipe) | {key: None for key, value in entry.items() if value is None}
    parser = _EntryParser(MixtureEntry, add_help=False, allow_abbrev=False)
    parser.set_defaults(**inherited)
    try:
        (parsed,) = parser.parse_args_into_dataclasses(words, look_for_args_file=False)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return parsed


def load_mixture(
    entries: Sequence[MixtureEntry],
    options: MixtureOptions,
    *,
    geometry_size: tuple[int, int],
    samples_per_step: int,
    batch_size: int = 1,
    seed: int,
) -> tuple[MixtureDataset, torch.utils.data.Dataset | None]:
    """Reads the datasets of a mixture. Scenes that several entries name alike are read once.

    Args:
        entries (`Sequence[MixtureEntry]`): The datasets.
        options (`MixtureOptions`): How they are mixed.
        geometry_size (`tuple[int, int]`): (H, W) of depth and intrinsics.
        samples_per_step (`int`): Global batch size; epochs are whole steps.
        batch_size (`int`, *optional*, defaults to `1`): That of a process, for `mixture_one_part_per_batch`.
        seed (`int`): Seed of the order and of the questions that are written.

    Returns:
        `tuple`: The mixture, and the held-out rows of all entries, one after the other, if any are held out.

    Raises:
        ValueError: An option of an entry or of the mixture is out of range.
        SpatialDataError: Files or tables break their format.
    """
    tables = SceneTableCache()
    parts, held_out = [], []
    for entry in entries:
        try:
            rows, held_out_rows = load_rows(entry, geometry_size, seed, tables)
        except ValueError as error:
            raise type(error)(f"mixture entry {entry.name!r}: {error}") from error
        parts.append(MixturePart(entry.name, rows, entry.weight, entry.max_samples, entry.percent))
        if held_out_rows is not None:
            held_out.append(held_out_rows)
    mixture = MixtureDataset(
        parts,
        weighting=options.mixture_weights,
        temperature=options.mixture_temperature,
        samples_per_epoch=options.mixture_samples_per_epoch,
        samples_per_step=samples_per_step,
        group_size=batch_size if options.mixture_one_part_per_batch else 1,
        seed=seed,
    )
    return mixture, torch.utils.data.ConcatDataset(held_out) if held_out else None
