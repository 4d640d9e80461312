"""Flags that an experiment hands on to trainers, looked at before it makes a base, rooms or a first stage."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def check_flags(overrides: Sequence[str], *trainings: tuple[Callable[[Sequence[str]], Any], Path]) -> None:
    """Lets every trainer look at the flags that it will be given.

    Args:
        overrides (`Sequence[str]`): The flags.
        trainings (`tuple[Callable, Path]`): `parse` of each trainer, and the recipe that it will be given.

    Raises:
        SystemExit: A trainer does not take a flag, or a value is bad; the message says which.
    """
    for parse, recipe in trainings:
        parse(["--config", str(recipe), *overrides])
