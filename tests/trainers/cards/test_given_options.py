"""What a command line and a recipe give is told from what they leave out, whatever the values are."""

from dataclasses import dataclass, field

import pytest
from transformers import HfArgumentParser

from igep.trainers.cards.given_options import given_flags, read_recipe


@dataclass
class Colours:
    wall: str = "white"
    floor: str | None = None
    shades: list[int] = field(default_factory=list)
    glossy: bool = True


def given(*arguments: str) -> list[str]:
    return given_flags(HfArgumentParser(Colours), (Colours,), arguments)


def test_a_flag_with_the_value_of_its_default_is_given():
    assert given() == []
    assert given("--wall", "white") == ["wall"]
    assert given("--no_glossy", "--shades", "1", "2", "--floor=oak") == ["floor", "shades", "glossy"]


def test_words_of_other_parsers_are_none_of_them():
    assert given("--wall", "red", "--roof", "tin") == ["wall"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("wall: [red", "(?s)recipe.yaml is not YAML.*correct that line"),
        ("- wall", "holds no options"),
        ("", "holds no"),
    ],
)
def test_broken_recipes_are_named(tmp_path, content, message):
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_recipe(tmp_path / "recipe.yaml")


def test_a_recipe_keeps_its_order(tmp_path):
    (tmp_path / "recipe.yaml").write_text("floor: null\nwall: red\n")
    assert list(read_recipe(tmp_path / "recipe.yaml").items()) == [("floor", None), ("wall", "red")]
