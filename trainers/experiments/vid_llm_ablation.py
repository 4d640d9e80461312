"""What do Vid-LLM's parts add? The paper's table at toy scale: base, +adapter, +metric depth, +two-stage distillation.

    igep vid-llm-ablation --output outputs/vid_llm_ablation   # four configurations, three seeds each

Every run trains the same tiny model on the same synthetic rooms for the same steps of the second stage (recipe
`vid_llm_joint_rooms.yaml`, with half of its rooms and steps) and is scored on rooms that nobody has seen. Interrupted,
the command goes on where it stopped: finished runs are kept, and a started one resumes from its last checkpoint.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igep.trainers import distill, joint
from igep.trainers.cards.given_options import read_recipe
from igep.trainers.evaluation.benchmarks.rooms import held_out_rooms
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.room_reconstruction import (
    FIGURES,
    prior_figures,
    reconstruction_figures,
    training_rooms,
)
from igep.trainers.experiments.seeded_runs import (
    add_seed_flags,
    check_seeds,
    figure_by_seed,
    in_words,
    run_missing,
    shared_options,
    write_scores,
)
from igep.trainers.experiments.side_by_side import start, wait
from igep.trainers.experiments.study_table import study_cells, study_table
from igep.trainers.experiments.vid_llm_rooms import (
    DISTILL,
    JOINT,
    launched,
    load,
    question_figures,
    save_base,
    scored,
)


ANSWERS = "exact match of answers"
FOUND = "figures"  # key of a run's figures in its scores


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Args:
        title (`str`): Its name there.
        fields (`dict`): Fields of the model's configuration.
        joint (`tuple[str, ...]`): Flags of the second stage.
        distils (`bool`): Whether the first stage comes before it.
    """

    title: str
    fields: dict[str, Any] = field(default_factory=dict)
    joint: tuple[str, ...] = ()
    distils: bool = False


RELATIVE = ("--metric_depth_weight", "0")
VARIANTS = {
    "base": Variant("base", {"bridge_tokens": 0, "metric_depth": False}, RELATIVE),
    "adapter": Variant("+ adapter", {"metric_depth": False}, RELATIVE),
    "metric_depth": Variant("+ metric depth"),
    "two_stages": Variant("+ two-stage distillation", distils=True),
}


def half_of_second_stage() -> list[str]:
    """Half of the recipe's rooms, steps and decay, as flags."""
    recipe = read_recipe(JOINT)
    decay = recipe["lr_scheduler_kwargs"]
    decay |= {"num_decay_steps": decay["num_decay_steps"] // 2}
    halves = {name: str(recipe[name] // 2) for name in ("num_rooms", "max_steps")}
    return [word for name, value in halves.items() for word in (f"--{name}", value)] + [
        *("--lr_scheduler_kwargs", json.dumps(decay))
    ]


def run(output: Path, variant: str, seed: int, rooms: int, overrides: Sequence[str]) -> dict[str, float]:
    """Trains and scores one configuration.

    Args:
        output (`Path`): Folder of the ablation.
        variant (`str`): Key of `VARIANTS`.
        seed (`int`): Seed of the model and of the order of the rooms.
        rooms (`int`): Held-out rooms to score on.
        overrides (`Sequence[str]`): Flags of both stages.

    Returns:
        `dict[str, float]`: `ANSWERS` and `FIGURES`.
    """
    chosen, folder = VARIANTS[variant], output / f"{variant}_seed{seed}"
    begun = folder / "base"
    save_base(begun, seed, **chosen.fields)
    common = ("--seed", str(seed), *overrides)
    if chosen.distils:
        distilled = folder / "distilled"
        wait(start(launched("distill.py", DISTILL, distilled, "--model_name_or_path", str(begun), *common)))
        begun = distilled
    trained = folder / "model"
    options = (*chosen.joint, *half_of_second_stage(), *common)
    wait(start(launched("joint.py", JOINT, trained, "--model_name_or_path", str(begun), *options)))
    scores = folder / "scores.json"
    wait(start(scored(trained, scores, rooms)))
    figures = {ANSWERS: question_figures(scores)["mean"]}
    return figures | reconstruction_figures(*load(trained), held_out_rooms(rooms))


def run_all(output: Path, seeds: Sequence[int], rooms: int, overrides: Sequence[str], jobs: int = 2) -> dict:
    """Does the runs that are not finished yet.

    Args:
        output (`Path`): Folder of the ablation.
        seeds (`Sequence[int]`): Seeds of each configuration.
        rooms (`int`): Held-out rooms to score on.
        overrides (`Sequence[str]`): Flags of both stages.
        jobs (`int`, *optional*, defaults to `2`): Runs at a time, each on one core.

    Returns:
        `dict`: Variant to seed to scores.

    Raises:
        ValueError: A finished run had other options.
        SystemExit: A run failed.
    """

    def command(variant: str, seed: int) -> list[str]:
        script = ["trainers/experiments/vid_llm_ablation.py", "--output", str(output), "--only", variant]
        return [*script, "--seeds", str(seed), "--held_out_rooms", str(rooms), *overrides]

    return run_missing(command, output, list(VARIANTS), seeds, shared_options(rooms, overrides), jobs)


def as_tables(scores: Mapping[str, Mapping[int, Mapping]], priors: Mapping[str, float]) -> str:
    """The ablation as Markdown: answers, and the reconstruction beside what can be said without looking.

    Args:
        scores (`Mapping`): Variant to seed to scores, of all runs.
        priors (`Mapping[str, float]`): `FIGURES` of the median depth and the mean pose of training rooms.

    Returns:
        `str`: Two tables, and a line under the second.
    """
    tables = [
        study_table(
            {
                title: study_cells(
                    {VARIANTS[name].title: figure_by_seed(by_seed, FOUND, title) for name, by_seed in scores.items()}
                )
                for title in titles
            }
        )
        for titles in ((ANSWERS,), FIGURES)
    ]
    without_looking = ", ".join(f"{title} {priors[title]:.3f}" for title in FIGURES)
    return "\n\n".join([*tables, f"Median depth and mean pose of training rooms: {without_looking}."])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="vid_llm_ablation.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to distill.py and joint.py, for all runs alike.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/vid_llm_ablation"), help="folder for everything written"
    )
    add_seed_flags(parser, default=[0, 1, 2])
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    parser.add_argument("--only", choices=list(VARIANTS), help="run one configuration, and print no table")
    options, overrides = parser.parse_known_args(arguments)
    check_seeds(parser, options, overrides)
    output, rooms = options.output.resolve(), options.held_out_rooms
    if options.only:
        for seed in options.seeds:
            figures = run(output, options.only, seed, rooms, overrides)
            write_scores(output, options.only, seed, shared_options(rooms, overrides), {FOUND: figures})
        return
    check_flags(overrides, (distill.parse, DISTILL), (joint.parse, JOINT))
    try:
        scores = run_all(output, options.seeds, rooms, overrides, options.jobs)
    except ValueError as error:
        sys.exit(f"vid_llm_ablation.py: error: {error}")
    tables = as_tables(scores, prior_figures(held_out_rooms(rooms), training_rooms()))
    (output / "results.md").write_text(tables + "\n")
    print(f"\n{rooms} held-out rooms, RGB only; {in_words(options.seeds)}\n")
    print(tables)


if __name__ == "__main__":
    main()
