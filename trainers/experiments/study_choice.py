"""The option whose value an ablation chooses before it compares: on validation rooms, with a seed of their own."""

import tempfile
from pathlib import Path
from typing import Any

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.experiments.study_plan import StudyPlan
from igep.trainers.experiments.study_runs import make_run, prepare
from igep.trainers.experiments.study_work import Work, figure_of


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
            missing = [f"{value}" for value, figure in zip(tune.values, reached, strict=True) if figure is None]
            raise ValueError(
                f"{tune.option} is not chosen yet: {len(missing)} of its runs are not finished "
                f"({', '.join(missing)}). Give the command without --table."
            )
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
