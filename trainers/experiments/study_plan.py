"""What an ablation compares: arms, seeds and evaluation, read from a YAML file and checked before anything runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from igep.trainers import sft
from igep.trainers.cards.given_options import read_recipe
from igep.trainers.evaluation.benchmarks.benchmark_options import ROOM_SPLITS
from igep.trainers.evaluation.benchmarks.room_depth_probe import FIGURES as PROBE_FIGURES
from igep.trainers.evaluation.benchmarks.rooms import FIGURES as ROOM_FIGURES
from igep.trainers.package_files import find_recipe, find_study


FIGURES = {"rooms": ROOM_FIGURES, "depth_probe": PROBE_FIGURES}
BENCHMARKS = tuple(FIGURES)
BASES = ("tiny_vlm3",)  # that a study makes itself
MERGE = "tag:yaml.org,2002:merge"
RESERVED = ("seed", "output_dir", "resume_from_checkpoint", "allow_changed_resume", "config")


@dataclass(frozen=True)
class Arm:
    """One of the methods that are compared.

    Args:
        name (`str`): What the table calls it.
        recipe (`Path`): Recipe of `sft.py` that it changes.
        options (`dict`): What it changes, the options of all arms among them.
        pretrain (`dict`, *optional*): What a run changes further that comes before its own and trains its heads; of
            that run nothing but the heads is kept. `None` = its heads begin at random.
    """

    name: str
    recipe: Path
    options: dict[str, Any]
    pretrain: dict[str, Any] | None = None

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return re.sub(r"\W+", "_", self.name).strip("_").lower()

    def run_recipe(self, **more: Any) -> dict[str, Any]:
        """The whole recipe of a run: the arm's, and what the run sets."""
        return {**read_recipe(self.recipe), **self.options, **more}


@dataclass(frozen=True)
class Tuning:
    """An option whose value is chosen before the comparison, on validation rooms.

    Args:
        option (`str`): Option of `sft.py`.
        values (`list`): What is tried.
        benchmark (`str`): Benchmark of the figure that decides.
        figure (`str`): That figure; the highest wins, the earlier value where two are equal.
        seed (`int`, *optional*, defaults to `1000`): Seed of the runs that choose: none of the comparison's.
        arms (`list[str]`, *optional*): Arms that choose for themselves. The others take what the first arm chose,
            which is the only one to choose unless given.
    """

    option: str
    values: list
    benchmark: str
    figure: str
    seed: int = 1000
    arms: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StudyPlan:
    """A comparison.

    Args:
        title (`str`): What the table is of.
        arms (`list[Arm]`): The first is what the others are compared with.
        seeds (`list[int]`): Every arm is trained once per seed.
        figures (`list[tuple[str, str]]`): Benchmark and figure of each column.
        benchmarks (`list[str]`): What is scored.
        held_out_rooms (`int`): Rooms that are scored on.
        room_split (`str`, *optional*, defaults to `"held_out"`): Those that are reported, or `"validation"`: those on
            which settings are chosen.
        base (`str`, *optional*): A base that is made before the first run, in place of the recipe's:
            `"tiny_vlm3"` = the tiny base with the words of VLM3.
        tune (`Tuning`, *optional*): What is chosen first.
    """

    title: str
    arms: list[Arm]
    seeds: list[int]
    figures: list[tuple[str, str]]
    benchmarks: list[str]
    held_out_rooms: int
    room_split: str = "held_out"
    base: str | None = None
    tune: Tuning | None = None


class _StrictLoader(yaml.SafeLoader):
    """YAML in which no key stands twice: the first would be lost in silence. What `<<` brings may be written over."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value if key.tag != MERGE]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"line {node.start_mark.line + 1}: {', '.join(twice)} stands twice.")
        return super().construct_mapping(node, deep)


def read_plan(name: str | Path, overrides: dict[str, Any] | None = None) -> StudyPlan:
    """Reads a study.

    Args:
        name (`str` or `Path`): A YAML file, or the name of a study of this package.
        overrides (`dict`, *optional*): Options of `sft.py` that change all arms; none that an arm sets itself.

    Returns:
        `StudyPlan`

    Raises:
        FileNotFoundError: There is no such study or recipe.
        ValueError: A key or an option is unknown or missing, a value is bad, or two arms have one name.
    """
    path = find_study(name)
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    where = f"{path}: "
    _check_keys(where, given, required=("recipe", "seeds", "figures", "arms"), optional=(*_OF_PLAN,))
    common = {**_mapping(where, given, "options"), **(overrides or {})}
    arms = [_arm(where, entry, given["recipe"], common, overrides or {}) for entry in _sequence(where, given, "arms")]
    folders = [arm.folder for arm in arms]
    twice = [arm.name for arm in arms if folders.count(arm.folder) > 1]
    if twice:
        raise ValueError(
            f"{where}arms {' and '.join(map(repr, twice))} would share a folder: give every arm a name of its own."
        )
    seeds = _sequence(where, given, "seeds")
    if not all(isinstance(seed, int) and seed >= 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}seeds={seeds}: give different whole numbers from 0 on.")
    benchmarks = given.get("benchmarks", list(BENCHMARKS))
    if not isinstance(benchmarks, list) or not benchmarks or any(name not in BENCHMARKS for name in benchmarks):
        raise ValueError(f"{where}benchmarks={benchmarks}: choose among {', '.join(BENCHMARKS)}.")
    figures = [_figure(where, entry, benchmarks) for entry in _sequence(where, given, "figures")]
    rooms = given.get("held_out_rooms", 512)
    if not isinstance(rooms, int) or rooms < 1:
        raise ValueError(f"{where}held_out_rooms={rooms}: give a whole number from 1 on.")
    for key, default, choices in (("room_split", "held_out", ROOM_SPLITS), ("base", None, (None, *BASES))):
        if given.get(key, default) not in choices:
            known = ", ".join(choice for choice in choices if choice is not None)
            raise ValueError(f"{where}{key}={given[key]!r}: use one of {known}.")
    plan = StudyPlan(
        title=str(given.get("title", path.stem)),
        arms=arms,
        seeds=seeds,
        figures=figures,
        benchmarks=list(benchmarks),
        held_out_rooms=rooms,
        room_split=given.get("room_split", StudyPlan.room_split),
        base=given.get("base"),
        tune=_tuning(where, given["tune"], benchmarks, arms, seeds) if "tune" in given else None,
    )
    known = {option.name for options in sft.OPTIONS for option in fields(options)}
    for arm in arms:
        for option in [*arm.options, *(arm.pretrain or {}), *([] if plan.tune is None else [plan.tune.option])]:
            if option not in known:
                raise ValueError(f"{where}arm {arm.name!r}: sft.py has no option {option!r}.")
    return plan


_OF_PLAN = tuple({item.name for item in fields(StudyPlan)} | {"options", "recipe"})


def _check_keys(where: str, given: Any, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{where}expected keys with values, found {given!r}.")  # noqa: TRY004 - reported in one line
    unknown = sorted(set(given) - {*required, *optional})
    if unknown:
        raise ValueError(f"{where}unknown key {unknown[0]!r}: known are {', '.join(sorted({*required, *optional}))}.")
    missing = [key for key in required if key not in given]
    if missing:
        raise ValueError(f"{where}{missing[0]} is missing.")


def _mapping(where: str, given: dict, key: str) -> dict[str, Any]:
    value = given.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}{key}={value!r}: give options of sft.py with their values.")  # noqa: TRY004
    return value


def _sequence(where: str, given: dict, key: str) -> list:
    value = given[key]
    if not isinstance(value, list) or not value:
        raise ValueError(f"{where}{key}={value!r}: give a list with at least one entry.")
    return value


def _arm(where: str, entry: Any, recipe: Any, common: dict[str, Any], overrides: dict[str, Any]) -> Arm:
    named = f"arm {entry['name']!r}" if isinstance(entry, dict) and "name" in entry else "an arm"
    _check_keys(f"{where}{named}: ", entry, required=("name",), optional=("recipe", "options", "pretrain"))
    name = str(entry["name"])
    if not re.search(r"\w", name):
        raise ValueError(f"{where}an arm is called {name!r}: give it a name with letters or digits.")
    where = f"{where}{named}: "
    own, pretrain = (_mapping(where, entry, key) for key in ("options", "pretrain"))
    if "pretrain" in entry and not pretrain:
        raise ValueError(f"{where}pretrain is empty: say what that run changes, such as freeze, or leave it out.")
    taken = sorted({*own, *common, *pretrain} & {*RESERVED, *(["heads_from_folder"] if pretrain else [])})
    if taken:
        raise ValueError(f"{where}{taken[0]} is set by the study itself: leave it out.")
    twice = sorted(own.keys() & overrides.keys())
    if twice:
        raise ValueError(f"{where}sets {twice[0]} itself, a flag changes all arms alike: leave --{twice[0]} out.")
    recipe = entry.get("recipe", recipe)
    if not isinstance(recipe, str):
        raise ValueError(f"{where}recipe={recipe!r}: give the name of a recipe or its file.")  # noqa: TRY004
    return Arm(name, find_recipe(recipe), {**common, **own}, pretrain or None)


def _figure(where: str, entry: Any, benchmarks: Sequence[str]) -> tuple[str, str]:
    if not isinstance(entry, dict) or len(entry) != 1 or not set(entry) <= set(benchmarks):
        raise ValueError(
            f"{where}figures: {entry!r}: write `- rooms: exact match, mean`, a benchmark of {', '.join(benchmarks)} "
            "and its figure."
        )
    ((benchmark, figure),) = entry.items()
    if figure not in FIGURES[benchmark]:
        raise ValueError(f"{where}{benchmark} has no figure {figure!r}: it has {'; '.join(FIGURES[benchmark])}.")
    return benchmark, figure


def _tuning(where: str, entry: Any, benchmarks: Sequence[str], arms: Sequence[Arm], seeds: Sequence[int]) -> Tuning:
    where = f"{where}tune: "
    _check_keys(where, entry, required=("option", "values", "figure"), optional=("seed", "arms"))
    benchmark, figure = _figure(where, entry["figure"], benchmarks)
    seed, by = entry.get("seed", Tuning.seed), entry.get("arms") or [arms[0].name]
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"{where}seed={seed!r}: give a whole number from 0 on.")
    if not isinstance(by, list):
        raise ValueError(f"{where}arms={by!r}: give a list of names.")  # noqa: TRY004
    chosen = Tuning(
        option=str(entry["option"]),
        values=_sequence(where, entry, "values"),
        benchmark=benchmark,
        figure=figure,
        seed=seed,
        arms=by,
    )
    if chosen.option in RESERVED:
        raise ValueError(f"{where}option: {chosen.option} is set by the study itself, choose another one.")
    setting = [arm.name for arm in arms if chosen.option in arm.options]
    if setting:
        raise ValueError(
            f"{where}{chosen.option} is chosen, and arm {setting[0]!r} has a value of it already: leave it out of "
            "options and flags, or take tune out."
        )
    if chosen.seed in seeds:
        raise ValueError(f"{where}seed={chosen.seed} is one of the comparison's: choose with a seed of its own.")
    unknown = [name for name in chosen.arms if name not in [arm.name for arm in arms]]
    if unknown:
        raise ValueError(f"{where}there is no arm {unknown[0]!r}.")
    if arms[0].name not in chosen.arms:
        raise ValueError(f"{where}arms must hold the first one, {arms[0].name!r}: the others take what it chose.")
    return chosen
