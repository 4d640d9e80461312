"""The arms of a toy-scale comparison with several seeds: every run in its own process, finished ones never again."""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from igep.trainers.experiments.side_by_side import start, wait


def shared_options(held_out_rooms: int, overrides: Sequence[str], **more: Any) -> dict[str, Any]:
    """What all runs of a comparison have in common, as their scores say it."""
    return {"held_out_rooms": held_out_rooms, "flags": list(overrides), **more}


def scores_path(output: Path, arm: str, seed: int) -> Path:
    """Where a run's scores lie once it is finished."""
    return output / f"{arm}_seed{seed}_scores.json"


def write_scores(output: Path, arm: str, seed: int, options: dict[str, Any], scores: dict[str, Any]) -> None:
    """Says that a run is finished.

    Args:
        output (`Path`): Folder of the comparison.
        arm (`str`): Which arm ran.
        seed (`int`): Its seed.
        options (`dict`): What all runs of the comparison share.
        scores (`dict`): What the run reached.
    """
    path = scores_path(output, arm, seed)
    unfinished = path.with_suffix(".writing")
    unfinished.write_text(json.dumps({"options": options, "scores": scores}, indent=2) + "\n")
    unfinished.replace(path)


def read_scores(output: Path, arm: str, seed: int, options: dict[str, Any]) -> dict[str, Any] | None:
    """What a run reached.

    Args:
        output (`Path`): Folder of the comparison.
        arm (`str`): Which arm.
        seed (`int`): Which seed.
        options (`dict`): What all runs of the comparison share.

    Returns:
        `dict`, or `None` where the run is not finished.

    Raises:
        ValueError: It ran with other options.
    """
    path = scores_path(output, arm, seed)
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    if found["options"] != json.loads(json.dumps(options)):
        raise ValueError(
            f"{path} is of a run with other options ({found['options']} instead of {options}): delete it, or give "
            "another --output."
        )
    return found["scores"]


def run_missing(
    command: Callable[[str, int], list[str]],
    output: Path,
    arms: Sequence[str],
    seeds: Sequence[int],
    options: dict[str, Any],
    jobs: int = 2,
) -> dict[str, dict[int, dict[str, Any]]]:
    """Does the runs that are not finished, all arms of a seed before those of the next.

    Args:
        command (`Callable`): Takes an arm and a seed, returns the command that runs them and ends with `write_scores`.
        output (`Path`): Folder of the comparison. A run's output goes to `<arm>_seed<seed>.log` there.
        arms (`Sequence[str]`): All arms.
        seeds (`Sequence[int]`): All seeds.
        options (`dict`): What all runs share.
        jobs (`int`, *optional*, defaults to `2`): Runs at a time, each on one core.

    Returns:
        `dict`: Arm to seed to scores.

    Raises:
        ValueError: A finished run had other options.
        SystemExit: A run failed; the others that were under way are ended.
    """
    runs = [(arm, seed) for seed in seeds for arm in arms]
    left = [run for run in runs if read_scores(output, *run, options) is None]
    for first in range(0, len(left), jobs):
        logs = {run: output / f"{run[0]}_seed{run[1]}.log" for run in left[first : first + jobs]}
        started = {run: start(command(*run), log) for run, log in logs.items()}
        try:
            for run, process in started.items():
                wait(process, logs[run])
        finally:
            for process in started.values():
                process.kill()
    return {arm: {seed: read_scores(output, arm, seed, options) for seed in seeds} for arm in arms}


def figure_by_seed(scores: dict[int, dict[str, Any]], part: str, figure: str) -> dict[int, float | None]:
    """One figure of an arm, as `study_cells` takes it.

    Args:
        scores (`dict`): Seed to scores of the arm.
        part (`str`): Key of a part of the scores.
        figure (`str`): Key of a figure in that part.

    Returns:
        `dict[int, float | None]`: Seed to value; `None` where there is none, such as an error of answers none of which
        can be read.
    """
    values = {seed: found[part][figure] for seed, found in scores.items()}
    return {seed: None if math.isnan(value) else value for seed, value in values.items()}


def add_seed_flags(parser: argparse.ArgumentParser, default: Sequence[int]) -> None:
    """Adds `--seeds` and `--jobs` to the parser of a comparison."""
    parser.add_argument("--seeds", type=int, nargs="+", default=list(default), help="runs of each arm, one per seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each (default: 2)")


def check_seeds(parser: argparse.ArgumentParser, options: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Ends the command where seeds are given twice, or `--seed` beside them, or no job may run."""
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: give 1 or more")
    if len(set(options.seeds)) < len(options.seeds) or min(options.seeds) < 0:
        parser.error(f"--seeds {' '.join(map(str, options.seeds))}: give different whole numbers from 0 on")
    if any(flag.split("=")[0] == "--seed" for flag in overrides):
        parser.error("--seed: give --seeds, one run of each arm per seed")


def in_words(seeds: Sequence[int]) -> str:
    """What the figures of the tables are."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return (
        f"{len(seeds)} seeds: mean ± standard deviation, "
        "and the difference to the first arm paired by seed ± its standard error"
    )
