"""Which pressure makes depth emerge? Trains the arms of a study with several seeds each and prints one table.

    igep ablation losses.yaml --output outputs/losses       # the same command goes on after an interruption

A study names arms (what each changes in a recipe), seeds and figures. Runs go two at a time, one core each; finished ones are
not done again. What a study chooses, it chooses on rooms of a seed of their own, before the comparison.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.experiments.study_plan import Arm, StudyPlan, read_plan
from igep.trainers.experiments.study_runs import Run, execute, make_run, prepare
from igep.trainers.experiments.study_table import draw_study, study_cells, study_table


def figure_of(run: Run, benchmark: str, figure: str) -> float | None:
    """A figure that a run reached.

    Args:
        run (`Run`): The run.
        benchmark (`str`): Its benchmark.
        figure (`str`): Its name.

    Returns:
        `float` or `None`: `None` where the run is not finished.

    Raises:
        ValueError: The benchmark has no such figure.
    """
    scores = run.scores()
    if scores is None:
        return None
    figures = scores[benchmark]["figures"]
    if figure not in figures:
        raise ValueError(f"{benchmark} has no figure {figure!r}: it has {', '.join(figures)}.")
    return figures[figure]["value"]


def choose(plan: StudyPlan, output: Path, jobs: int) -> tuple[dict[str, Any], str]:
    """Chooses the value of an option for each arm, on validation rooms.

    Args:
        plan (`StudyPlan`): A plan with `tune`.
        output (`Path`): Folder of the study.
        jobs (`int`): Runs at a time.

    Returns:
        `tuple[dict[str, Any], str]`: Value by name of the arm, and a table of what each value reached.

    Raises:
        ValueError: A run failed: nothing is chosen among fewer values.
    """
    tune = plan.tune
    arms = [arm for arm in plan.arms if arm.name in tune.arms]
    runs = {
        (arm.name, number): make_run(
            plan,
            arm,
            output / "validation" / arm.folder / f"{tune.option}_{value}",
            validation=True,
            **{tune.option: value, "seed": tune.seed},
        )
        for arm in arms
        for number, value in enumerate(tune.values)
    }
    prepare(runs.values())
    failed = execute(list(runs.values()), jobs, f"choosing {tune.option}")
    if failed:
        raise ValueError(f"{len(failed)} runs failed, {tune.option} is not chosen among fewer: see {failed[0].log}.")
    rows, chosen = [["", *(f"{tune.option} {value}" for value in tune.values)]], {}
    for arm in arms:
        reached = [
            figure_of(runs[arm.name, number], tune.benchmark, tune.figure) for number in range(len(tune.values))
        ]
        chosen[arm.name] = tune.values[reached.index(max(reached))]
        rows.append([arm.name, *(f"{value:.3f}" for value in reached)])
    first = chosen[plan.arms[0].name]
    return {arm.name: chosen.get(arm.name, first) for arm in plan.arms}, markdown_table(rows)


def compare(plan: StudyPlan, output: Path, jobs: int) -> dict[str, Any]:
    """Does the runs of a plan and sums them up.

    Args:
        plan (`StudyPlan`): The plan.
        output (`Path`): Folder of the study.
        jobs (`int`): Runs at a time.

    Returns:
        `dict`: What `results.json` holds, `table` and `failed` among it.

    Raises:
        ValueError: A value is bad, a folder holds another run, or nothing could be chosen.
    """
    begin = time.perf_counter()
    chosen, choosing = choose(plan, output, jobs) if plan.tune is not None else ({}, "")
    runs = {(arm.name, seed): _run_of(plan, arm, seed, output, chosen) for arm in plan.arms for seed in plan.seeds}
    prepare(runs.values())
    failed = execute(list(runs.values()), jobs, "runs")
    cells = {
        f"{benchmark}: {figure}": study_cells(
            {
                arm.name: {seed: figure_of(runs[arm.name, seed], benchmark, figure) for seed in plan.seeds}
                for arm in plan.arms
            }
        )
        for benchmark, figure in plan.figures
    }
    draw_study(output / "results.png", cells, plan.title)
    return {
        "title": plan.title,
        "seeds": plan.seeds,
        "held_out_rooms": plan.held_out_rooms,
        "arms": {arm.name: {"recipe": arm.recipe.name, "options": arm.options} for arm in plan.arms},
        "chosen": {plan.tune.option: chosen} if plan.tune is not None else {},
        "choosing": choosing,
        "cells": {name: {arm: asdict(cell) for arm, cell in by_arm.items()} for name, by_arm in cells.items()},
        "scores": {f"{arm}, seed {seed}": run.scores() for (arm, seed), run in runs.items()},
        "failed": {f"{run.arm.name}, {run.folder.name}": str(run.log) for run in failed},
        "table": study_table(cells),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _run_of(plan: StudyPlan, arm: Arm, seed: int, output: Path, chosen: dict[str, Any]) -> Run:
    options = {"seed": seed} | ({plan.tune.option: chosen[arm.name]} if plan.tune is not None else {})
    return make_run(plan, arm, output / "runs" / arm.folder / f"seed_{seed}", validation=False, **options)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="ablation.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for all arms alike.",
        allow_abbrev=False,
    )
    parser.add_argument("study", help="YAML file, or the name of one that comes with igep")
    parser.add_argument("--output", type=Path, help="folder for everything (default: outputs/<name of the study>)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each (default: 2)")
    options, flags = parser.parse_known_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: give 1 or more")
    output = (options.output or Path("outputs") / Path(options.study).stem).resolve()
    try:
        results = compare(read_plan(options.study, _overrides(flags)), output, options.jobs)
    except (ValueError, OSError) as error:
        sys.exit(f"ablation.py: error: {error}")
    except KeyboardInterrupt:
        print("ablation.py: interrupted. The same command goes on where it stopped.", file=sys.stderr)
        sys.exit(130)
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (output / "results.md").write_text(results["table"] + "\n", encoding="utf-8")
    seeds = len(results["seeds"])
    print(
        f"\n{results['title']}: {results['held_out_rooms']} held-out rooms, {seeds} seeds; mean ± standard deviation over"
    )
    print("seeds, and the difference to the first arm, paired by seed, ± its standard error\n")
    if results["choosing"]:
        print(results["choosing"] + "\n")
    print(results["table"])
    print(f"\n{results['seconds']:.0f} s in this call. In {output}: results.json, results.md, results.png, runs/")
    if results["failed"]:
        sys.exit("\n".join(f"missing: {name}, see {log}" for name, log in results["failed"].items()))


def _overrides(flags: Sequence[str]) -> dict[str, Any]:
    """Flags for all arms: `--max_steps 20` is the option max_steps with the value 20."""
    overrides: dict[str, Any] = {}
    for word in flags:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            overrides[name] = [value] if equals else []
        elif not overrides:
            raise ValueError(f"{word!r} is no flag: write --option value.")
        else:
            overrides[next(reversed(overrides))].append(word)
    return {
        name: True if not words else _value(words[0]) if len(words) == 1 else [_value(word) for word in words]
        for name, words in overrides.items()
    }


def _value(word: str) -> Any:
    return yaml.safe_load(word)


if __name__ == "__main__":
    main()
