"""What is installed: the lock lies within the ranges, and all that states a range states the same one."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from igep.trainers.package_files import PACKAGE


PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = [
    Requirement(line)
    for line in (PACKAGE / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def stated(*extras: str) -> dict[str, Requirement]:
    """The ranges of pyproject.toml, by name."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


RANGES = stated("spaces", "serving", "test", "dev")
RANGES.pop("igep")


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_range_ends_at_both_sides(name):
    operators = {part.operator for part in RANGES[name].specifier}
    assert operators in ({">=", "<"}, {"=="}), f"{RANGES[name]} is no range"


@pytest.mark.parametrize("name", sorted(set(RANGES) - {"pre-commit"}))
def test_the_lock_lies_within_the_range(name):
    locked = [line for line in LOCK if canonicalize_name(line.name) == name]
    assert locked, f"{name} is not in requirements.lock: run `make lock`"
    for line in locked:
        (version,) = line.specifier
        assert version.operator == "=="
        assert RANGES[name].specifier.contains(version.version), f"{line} is not {RANGES[name]}: run `make lock`"


@pytest.mark.parametrize("file", ["spaces/scene_qa/requirements.txt", "hub_cards/model_card.md.jinja"])
def test_the_space_and_the_card_state_these_ranges(file):
    text = (PACKAGE / file).read_text(encoding="utf-8")
    found = re.findall(r"^([\w-]+[<>=].*)$" if file.endswith("txt") else r'"([\w-]+>=[^"]+)"', text, re.MULTILINE)
    assert found
    for line in found:
        requirement = Requirement(line)
        assert requirement.specifier == RANGES[canonicalize_name(requirement.name)].specifier
