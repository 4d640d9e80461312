"""Which pressure makes depth emerge? Trains the arms of a study with several seeds each and prints one table.

    igep ablation losses.yaml --output outputs/losses       # the same command goes on after an interruption
    igep ablation losses.yaml --output outputs/losses --table   # what is finished so far
    igep ablation pressure.yaml --output outputs/pressure --learning_rate 7.5e-4 --reuse outputs/losses   # takes what
                                                                        # both have, at the rate that losses chose

A study names arms (what each changes in a recipe), seeds and figures. Runs go two at a time, one core each; finished
ones are not done again. What a study chooses, it chooses on rooms of a seed of their own, before the comparison.
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

from igep.trainers.experiments.study_choice import choose
from igep.trainers.experiments.study_plan import Arm, StudyPlan, read_plan
from igep.trainers.experiments.study_reuse import reused_from
from igep.trainers.experiments.study_runs import Run, make_run
from igep.trainers.experiments.study_table import draw_study, study_cells, study_tables
from igep.trainers.experiments.study_work import Work, figure_of
from igep.trainers.metrics.figure import WITHOUT_LOOKING


def compare(plan: StudyPlan, work: Work) -> dict[str, Any]:
    """Does the runs of a plan and sums them up.

    Args:
        plan (`StudyPlan`): The plan.
        work (`Work`): Where, and how.

    Returns:
        `dict`: What `results.json` holds, `table`, `failed` and `reused` among it.

    Raises:
        ValueError: A value is bad, a folder holds another run, or nothing could be chosen.
    """
    begin = time.perf_counter()
    chosen, choosing = choose(plan, work) if plan.tune is not None else ({}, "")
    runs = {(arm.name, seed): _run_of(plan, arm, seed, work, chosen) for arm in plan.arms for seed in plan.seeds}
    failed = work.do(list(runs.values()), "runs")
    cells = {
        f"{benchmark}: {figure}": study_cells(
            {
                arm.name: {seed: figure_of(runs[arm.name, seed], benchmark, figure) for seed in plan.seeds}
                for arm in plan.arms
            }
        )
        for benchmark, figure in plan.figures
    }
    if work.jobs:
        rooms = "" if plan.room_split == "held_out" else f", {plan.room_split} rooms"
        draw_study(work.output / "results.png", cells, f"{plan.title}{rooms}")
    return {
        "title": plan.title,
        "seeds": plan.seeds,
        "held_out_rooms": plan.held_out_rooms,
        "room_split": plan.room_split,
        "base": plan.base,
        "arms": {
            arm.name: {"recipe": arm.recipe.name, "options": arm.options, "pretrain": arm.pretrain}
            for arm in plan.arms
        },
        "chosen": {plan.tune.option: chosen} if plan.tune is not None else {},
        "choosing": choosing,
        "cells": {name: {arm: asdict(cell) for arm, cell in by_arm.items()} for name, by_arm in cells.items()},
        "scores": {f"{arm}, seed {seed}": run.scores() for (arm, seed), run in runs.items()},
        "failed": {f"{run.arm.name}, {run.folder.name}": str(run.log) for run in failed},
        "reused": {
            f"{arm}, seed {seed}": source
            for (arm, seed), run in runs.items()
            if (source := reused_from(run.folder)) is not None
        },
        "table": study_tables(cells),
        "notes": _notes(plan, runs),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _run_of(plan: StudyPlan, arm: Arm, seed: int, work: Work, chosen: dict[str, Any]) -> Run:
    options = {"seed": seed} | ({plan.tune.option: chosen[arm.name]} if plan.tune is not None else {})
    folder = work.output / "runs" / arm.folder / f"seed_{seed}"
    return make_run(plan, arm, folder, room_split=plan.room_split, base=work.base(plan), **options)


def _notes(plan: StudyPlan, runs: dict[tuple[str, int], Run]) -> list[str]:
    """What a reader of the table must know besides."""
    notes = []
    if plan.room_split == "validation":
        notes.append("These are the rooms on which settings are chosen: no figure here is one to report.")
    blind = {}  # runs of an older igep do not say it
    for scores in filter(None, (run.scores() for run in runs.values())):
        for benchmark, scored in scores.items():
            blind[benchmark] = blind.get(benchmark) or scored["facts"].get(WITHOUT_LOOKING, {})
    known = [
        f"{benchmark}: {figure} {blind[benchmark][figure]:.3f}"
        for benchmark, figure in plan.figures
        if figure in blind.get(benchmark, {})
    ]
    if known:
        notes.append(f"Without looking (the commonest answer, the place in the image): {'; '.join(known)}.")
    for arm in plan.arms:
        if arm.pretrain is not None:
            recipe = runs[arm.name, plan.seeds[0]].pretrain
            steps = f"{recipe['max_steps']} steps" if "max_steps" in recipe else "a run"
            changed = ", ".join(f"{name} {value}" for name, value in arm.pretrain.items() if name != "max_steps")
            notes.append(
                f"{arm.name}: its heads were trained before, on top of the budget of the others: {steps} with "
                f"{changed}."
            )
    return notes


def report(results: dict[str, Any]) -> str:
    """What `compare` found, in Markdown.

    Args:
        results (`dict`): What it returned.

    Returns:
        `str`
    """
    seeds = len(results["seeds"])
    rooms = "held-out" if results["room_split"] == "held_out" else "validation"
    head = (
        f"{results['title']}: {results['held_out_rooms']} {rooms} rooms, {seeds} seed{'s' if seeds > 1 else ''}; mean "
        "± standard deviation over seeds, and the difference to the first arm, paired by seed, ± its standard error"
    )
    notes = "\n".join(f"- {note}" for note in results["notes"])
    return "\n\n".join(part for part in (head, results["choosing"], results["table"], notes) if part)


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
    parser.add_argument(
        "--reuse",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="outputs of other studies: finished runs of the same recipe and scoring are taken from there",
    )
    parser.add_argument("--table", action="store_true", help="do nothing, print what is finished so far")
    options, flags = parser.parse_known_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: give 1 or more")
    if options.table and options.reuse:
        parser.error("--table takes no runs from other studies, it prints those in --output: leave out one of the two")
    output = (options.output or Path("outputs") / Path(options.study).stem).resolve()
    try:
        plan = read_plan(options.study, _overrides(flags))
        results = compare(plan, Work(output, 0 if options.table else options.jobs, options.reuse))
    except (ValueError, OSError) as error:
        sys.exit(f"ablation.py: error: {error}")
    except KeyboardInterrupt:
        print("ablation.py: interrupted. The same command goes on where it stopped.", file=sys.stderr)
        sys.exit(130)
    text = report(results)
    print(f"\n{text}")
    if options.table:
        return
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (output / "results.md").write_text(text + "\n", encoding="utf-8")
    if results["reused"]:
        print(
            f"\n{len(results['reused'])} of {len(results['scores'])} runs are those of other studies: see "
            "results.json."
        )
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
    """As a recipe has it; 2e-3, which YAML takes for text, is a number."""
    value = yaml.safe_load(word)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


if __name__ == "__main__":
    main()
