"""Which options a command line and a recipe give, as against defaults: what a run needs to be repeated."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


NOT_GIVEN = object()


def read_recipe(file: Path) -> dict[str, Any]:
    """Reads a recipe.

    Args:
        file (`Path`): YAML.

    Returns:
        `dict[str, Any]`: Option to value, in the order of the file.

    Raises:
        ValueError: It is not YAML, or holds no options.
        OSError: There is no such file.
    """
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not YAML, {error}: correct that line.") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"{file} holds no options: a recipe is a YAML mapping of option to value.")  # noqa: TRY004
    return recipe


def given_flags(
    parser: argparse.ArgumentParser, options: Sequence[type], arguments: Sequence[str] | None
) -> list[str]:
    """The options that a command line names.

    Args:
        parser (`argparse.ArgumentParser`): Knows the flags.
        options (`Sequence[type]`): Dataclasses whose fields are the options.
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `list[str]`: Names of fields, in their order.
    """
    names = [option.name for part in options for option in dataclasses.fields(part)]
    unset = argparse.Namespace(**dict.fromkeys(names, NOT_GIVEN))  # argparse puts no default over what is there
    found = vars(parser.parse_known_args(arguments, unset)[0])
    return [name for name in names if found[name] is not NOT_GIVEN]
