"""What does each part of Vid-LLM add? The paper's table at toy scale: base, + adapter, + metric depth, + two-stage distillation.

    igep vid-llm-ablation --output outputs/vid_llm_ablation   # four configurations, three seeds each

Every run trains the same tiny model on the same synthetic rooms for the same steps of the second stage (recipe
`vid_llm_joint_rooms.yaml`, with half of its rooms and steps) and is scored on rooms that nobody has seen. Interrupted, the
command goes on where it stopped: finished runs are kept, and a started one resumes from its last checkpoint.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igep.trainers.cards.given_options import read_recipe
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.evaluation.benchmarks.rooms import held_out_rooms
from igep.trainers.experiments.room_reconstruction import (
    FIGURES,
    prior_figures,
    reconstruction_figures,
    training_rooms,
)
from igep.trainers.experiments.side_by_side import side_by_side, start, wait
from igep.trainers.experiments.vid_llm_rooms import DISTILL, JOINT, launched, load, question_figures, save_base, scored


ANSWERS = "exact match of answers"


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


def figures_file(output: Path, variant: str, seed: int) -> Path:
    """Where the figures of a run are written, once it is finished."""
    return output / f"{variant}_seed{seed}" / "figures.json"


def run(output: Path, variant: str, seed: int, rooms: int, overrides: Sequence[str]) -> None:
    """Trains and scores one configuration.

    Args:
        output (`Path`): Folder of the ablation.
        variant (`str`): Key of `VARIANTS`.
        seed (`int`): Seed of the model and of the order of the rooms.
        rooms (`int`): Held-out rooms to score on.
        overrides (`Sequence[str]`): Flags of both stages.
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
    figures |= reconstruction_figures(*load(trained), held_out_rooms(rooms))
    figures_file(output, variant, seed).write_text(json.dumps(figures, indent=2) + "\n")


def run_all(output: Path, seeds: Sequence[int], rooms: int, overrides: Sequence[str]) -> None:
    """Runs what is not finished yet, two runs at once.

    Args:
        output (`Path`): Folder of the ablation.
        seeds (`Sequence[int]`): Seeds of each configuration.
        rooms (`int`): Held-out rooms to score on.
        overrides (`Sequence[str]`): Flags of both stages.
    """
    left = [(name, seed) for seed in seeds for name in VARIANTS if not figures_file(output, name, seed).exists()]
    commands = {
        (name, seed): [
            *("trainers/experiments/vid_llm_ablation.py", "--output", str(output), "--only", name),
            *("--seeds", str(seed), "--held_out_rooms", str(rooms), *overrides),
        ]
        for name, seed in left
    }
    for first in range(0, len(left) - 1, 2):
        shown, quiet = left[first], left[first + 1]
        side_by_side(commands[shown], commands[quiet], output / f"{quiet[0]}_seed{quiet[1]}.log")
    if len(left) % 2:
        wait(start(commands[left[-1]]))


def as_table(output: Path, seeds: Sequence[int], priors: Mapping[str, float]) -> str:
    """The ablation as a Markdown table: mean and standard deviation over seeds, and what can be said without looking.

    Args:
        output (`Path`): Folder of the ablation, all of whose runs are finished.
        seeds (`Sequence[int]`): Seeds.
        priors (`Mapping[str, float]`): `FIGURES` of the median depth and the mean pose of training rooms.

    Returns:
        `str`
    """
    titles = (ANSWERS, *FIGURES)
    rows = [["", *titles]]
    for name, variant in VARIANTS.items():
        figures = [json.loads(figures_file(output, name, seed).read_text()) for seed in seeds]
        columns = [[each[title] for each in figures] for title in titles]
        spreads = [statistics.stdev(values) if len(values) > 1 else None for values in columns]
        cells = [
            f"{statistics.fmean(values):.3f}" + ("" if spread is None else f" ± {spread:.3f}")
            for values, spread in zip(columns, spreads, strict=True)
        ]
        rows.append([variant.title, *cells])
    rows.append(["median depth and mean pose of training rooms", "", *(f"{priors[title]:.3f}" for title in FIGURES)])
    return markdown_table(rows)


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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="runs of each configuration")
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    parser.add_argument("--only", choices=list(VARIANTS), help="run one configuration, and print no table")
    options, overrides = parser.parse_known_args(arguments)
    output = options.output.resolve()
    if options.only:
        for seed in options.seeds:
            run(output, options.only, seed, options.held_out_rooms, overrides)
        return
    run_all(output, options.seeds, options.held_out_rooms, overrides)
    priors = prior_figures(held_out_rooms(options.held_out_rooms), training_rooms())
    table = as_table(output, options.seeds, priors)
    (output / "results.md").write_text(table + "\n")
    print(
        f"\n{options.held_out_rooms} held-out rooms, RGB only; mean ± standard deviation over {len(options.seeds)} seeds\n"
    )
    print(table)


if __name__ == "__main__":
    main()
