"""Options of any launcher from a recipe and flags: flags win, and nothing of one command line reaches the next."""

from dataclasses import dataclass, field

import pytest

from igep.trainers.loop.recipe_options import RecipeOptions, one_line


@dataclass
class Colours:
    colour: str = field(default="red", metadata={"help": "A colour."})
    shades: int = field(default=1, metadata={"help": "How many."})


@dataclass
class Sizes:
    size: float = field(default=2.0, metadata={"help": "A size."})


OPTIONS = RecipeOptions((Colours, Sizes), "paint", "Paints.")


def test_flags_win_over_the_recipe_and_the_next_command_starts_anew(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("shades: 3\nsize: 5.0\n")
    arguments = ["--config", str(recipe), "--size", "7"]
    parsed = OPTIONS.parse(arguments)
    assert parsed == (Colours("red", 3), Sizes(7.0))
    assert OPTIONS.given_options(arguments, parsed) == {"shades": 3, "size": 7.0}
    assert OPTIONS.parse([]) == (Colours(), Sizes())


def test_what_is_wrong_ends_in_one_line(tmp_path):
    message = r"paint: error: in all: unknown flag: 'siez'. Did you mean 'size'"
    with pytest.raises(SystemExit, match=message), one_line("paint", what="in all: "):
        OPTIONS.parse(["--siez", "3"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("tint: 3\n")
    with pytest.raises(ValueError, match="unknown key in .*'tint'"):
        OPTIONS.parse([f"--config={recipe}"])
    with pytest.raises(SystemExit, match="paint: error: of two lines"), one_line("paint", KeyError):
        raise ValueError("of\ntwo lines")
