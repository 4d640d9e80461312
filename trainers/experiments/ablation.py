"""Which pressure makes depth emerge? Trains the arms of a study with several seeds each and prints one table.

    igep ablation losses.yaml --output outputs/losses       # the same command goes on after an interruption
    igep ablation losses.yaml --output outputs/losses --table   # what is finished so far
    igep ablation pressure.yaml --output outputs/pressure --reuse outputs/losses   # takes the runs that both have

A study names arms (what each changes in a recipe), seeds and figures. Runs go two at a time, one core each; finished ones are
not done again. What a study chooses, it chooses on rooms of a seed of their own, before the comparison.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from igep.trainers.cards.made_base import made_by
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.experiments.demo_rooms import write_base
from igep.trainers.experiments.study_plan import Arm, StudyPlan, read_plan
from igep.trainers.experiments.study_reuse import reused_from, take_finished
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


@dataclass(frozen=True)
class Work:
    """Where a study lies and how it is done.

    Args:
        output (`Path`): Folder of the study.
        jobs (`int`): Runs at a time; 0 = none is done, what is finished is read.
        reuse (`Sequence[Path]`, *optional*, defaults to `()`): Folders of other studies whose finished runs are taken.
    """

    output: Path
    jobs: int
    reuse: Sequence[Path] = ()

    def do(self, runs: Sequence[Run], title: str) -> list[Run]:
        """Does what is not finished.

        Args:
            runs (`Sequence[Run]`): The runs.
            title (`str`): Of the progress bar.

        Returns:
            `list[Run]`: Those that failed.
        """
        if self.jobs == 0:
            for run in runs:
                run.check_folder()
            return []
        prepare(runs)
        take_finished(runs, self.reuse)
        return execute(runs, self.jobs, title)

    def base(self, plan: StudyPlan) -> Path | None:
        """The folder of the base that a plan makes, which is made if it is not there."""
        if plan.base is None:
            return None
        folder = self.output / plan.base
        if self.jobs and made_by(str(folder)) is None:  # which is written last
            write_base(folder)
        return folder


def choose(plan: StudyPlan, work: Work) -> tuple[dict[str, Any], str]:
    """Chooses the value of an option for each arm, on validation rooms.

    Args:
        plan (`StudyPlan`): A plan with `tune`.
        work (`Work`): Where, and how.

    Returns:
        `tuple[dict[str, Any], str]`: Value by name of the arm, and a table of what each value reached.

    Raises:
        ValueError: An arm has a bad value, or a run failed or is not done: nothing is chosen among fewer values.
    """
    tune = plan.tune
    if work.jobs:
        _look_at_arms(plan)
    arms = [arm for arm in plan.arms if arm.name in tune.arms]
    runs = {
        (arm.name, number): make_run(
            plan,
            arm,
            work.output / "validation" / arm.folder / f"{tune.option}_{value}",
            room_split="validation",
            base=work.base(plan),
            **{tune.option: value, "seed": tune.seed},
        )
        for arm in arms
        for number, value in enumerate(tune.values)
    }
    failed = work.do(list(runs.values()), f"choosing {tune.option}")
    if failed:
        raise ValueError(f"{len(failed)} runs failed, {tune.option} is not chosen among fewer: see {failed[0].log}.")
    rows, chosen = [["", *(f"{tune.option} {value}" for value in tune.values)]], {}
    for arm in arms:
        reached = [
            figure_of(runs[arm.name, number], tune.benchmark, tune.figure) for number in range(len(tune.values))
        ]
        if None in reached:
            raise ValueError(f"{tune.option} is not chosen yet: {reached.count(None)} of its runs are not finished.")
        chosen[arm.name] = tune.values[reached.index(max(reached))]
        rows.append([arm.name, *(f"{value:.3f}" for value in reached)])
    first = chosen[plan.arms[0].name]
    return {arm.name: chosen.get(arm.name, first) for arm in plan.arms}, markdown_table(rows)


def _look_at_arms(plan: StudyPlan) -> None:
    """Raises ValueError where an arm has a bad value, also one that does not choose, before hours of choosing."""
    options = {plan.tune.option: plan.tune.values[0], "seed": plan.seeds[0]}
    with tempfile.TemporaryDirectory() as folder:
        prepare(
            make_run(plan, arm, Path(folder) / arm.folder, room_split=plan.room_split, **options) for arm in plan.arms
        )


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
        draw_study(work.output / "results.png", cells, plan.title)
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
        "table": study_table(cells),
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
    for arm in plan.arms:
        if arm.pretrain is not None:
            recipe = runs[arm.name, plan.seeds[0]].pretrain
            steps = f"{recipe['max_steps']} steps" if "max_steps" in recipe else "a run"
            changed = ", ".join(f"{name} {value}" for name, value in arm.pretrain.items() if name != "max_steps")
            notes.append(
                f"{arm.name}: its heads were trained before, on top of the budget of the others: {steps} with {changed}."
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
        f"{results['title']}: {results['held_out_rooms']} {rooms} rooms, {seeds} seed{'s' if seeds > 1 else ''}; mean ± standard "
        "deviation over seeds, and the difference to the first arm, paired by seed, ± its standard error"
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
            f"\n{len(results['reused'])} of {len(results['scores'])} runs are those of other studies: see results.json."
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
