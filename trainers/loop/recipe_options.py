"""How all launchers read options: recipe and flags, checked against what there is; and what they say of wrong ones."""

import argparse
import dataclasses
import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trl import TrlParser

from igep.trainers.cards.given_options import given_flags, read_recipe
from igep.trainers.package_files import find_recipe


class RecipeOptions:
    """Reads a recipe and flags into dataclasses of options. Every option is a key of the recipe as well; flags win.

    Args:
        options (`Sequence[type]`): Dataclasses whose fields are the options.
        program (`str`): Name of the command, in messages.
        description (`str`): One line for `--help`.
    """

    def __init__(self, options: Sequence[type], program: str, description: str):
        self.options = tuple(options)
        self.program = program
        self.description = description

    def parse(self, arguments: Sequence[str] | None = None) -> tuple:
        """Reads a recipe and flags.

        Args:
            arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

        Returns:
            `tuple`: One object per dataclass.

        Raises:
            ValueError: An unknown key or flag, or a bad value; the message says which.
            OSError: There is no such recipe.
            SystemExit: A value that is none of its option's type, or `--help`.
        """
        arguments = split_config(sys.argv[1:] if arguments is None else arguments)
        self._check_keys(arguments)
        return self._parser().parse_args_and_config(arguments)

    def given_options(self, arguments: Sequence[str], parsed: Sequence[object]) -> dict[str, object]:
        """The options that a recipe or a flag sets, with the values they took: what a run needs to be repeated.

        Args:
            arguments (`Sequence[str]`): The command line.
            parsed (`Sequence`): What `parse` returned for it.

        Returns:
            `dict[str, object]`: Option to value, the recipe's first.
        """
        values = {name: value for options in parsed for name, value in vars(options).items()}
        words = split_config(arguments)
        recipe = recipe_file(words)
        names = [*({} if recipe is None else read_recipe(recipe)), *given_flags(self._parser(), self.options, words)]
        return {name: values[name] for name in names if name in values}

    def _parser(self) -> TrlParser:
        """A new parser: TRL's keeps what a recipe says as the defaults of the next."""
        parser = TrlParser(self.options, prog=self.program, description=self.description, allow_abbrev=False)
        # TRL reads the recipe itself; the flag stands here for `--help`.
        parser.add_argument(
            "--config", default=argparse.SUPPRESS, help="Recipe: a YAML file whose keys are these options."
        )
        return parser

    def _check_keys(self, arguments: Sequence[str]) -> None:
        """Raises on a flag or a recipe key that no option has, before any value is looked at."""
        known = {option.name for options in self.options for option in dataclasses.fields(options)}
        known |= {f"no_{name}" for name in known} | {"config", "env", "help"}
        recipe = recipe_file(arguments)
        keys = [] if recipe is None else [(str(key), f"key in {recipe}") for key in read_recipe(recipe)]
        for key, kind in [*keys, *((word, "flag") for word in arguments if word.startswith("--"))]:
            name = key.lstrip("-").split("=")[0].replace("-", "_")
            if name not in known:
                nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
                raise ValueError(f"unknown {kind}: {name!r}. Did you mean {nearest!r}? --help lists every option.")


def split_config(arguments: Sequence[str]) -> list[str]:
    """The words of a command line as TRL's parser takes them: a recipe as a word of its own, and where it lies.

    Args:
        arguments (`Sequence[str]`): The command line.

    Returns:
        `list[str]`

    Raises:
        FileNotFoundError: There is no such recipe.
    """
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    if "--config" in words[:-1]:
        place = words.index("--config") + 1
        words[place] = str(find_recipe(words[place]))
    return words


def recipe_file(arguments: Sequence[str]) -> Path | None:
    """The recipe that a command line names."""
    return Path(arguments[arguments.index("--config") + 1]) if "--config" in arguments[:-1] else None


@contextmanager
def one_line(program: str, *errors: type[Exception], what: str = "") -> Iterator[None]:
    """Ends the process with one line where the user can correct what is wrong.

    Args:
        program (`str`): Name of the command.
        *errors (`type[Exception]`): Further errors besides `ValueError`, `OSError` and `ImportError`.
        what (`str`, *optional*): What stands before the message.
    """
    try:
        yield
    except (ValueError, OSError, ImportError, *errors) as error:
        raise SystemExit(f"{program}: error: {what}{' '.join(str(error).split())}") from error
