"""Does focal unification help? The tiny base learns metric depth from many focal lengths, with and without it.

    igep focal-ablation --output outputs/focal_ablation     # as `igep vlm3-rooms --ablation focal` runs it

Both arms train on the same rooms in the same order for the same number of steps, and are asked about the same points.
The plain arm sees each 128 px image shrunk to the encoder's 64 px. The unified arm sees it at one focal length, in the
middle of the training cameras', on a canvas of 64 px: of a wide camera the centre in finer detail, of a narrow one the
whole within a black border. Questions are about points that both arms see, at pixels that the plain arm's coordinates
name exactly.

A seed draws the new words of the base, the order of the rooms and the points. Interrupted, the command goes on where
it stopped: finished runs are not done again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from igep.trainers import sft
from igep.trainers.cards.made_base import write_made_by
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.evaluation.benchmarks.vlm3_tasks import task_scores
from igep.trainers.experiments.focal_rooms import TRAINED_FOCAL, UNIFIED_FOCAL, FocalRooms, rooms
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.seeded_runs import (
    add_seed_flags,
    check_seeds,
    figure_by_seed,
    in_words,
    run_missing,
    shared_options,
    write_scores,
)
from igep.trainers.experiments.study_table import study_cells, study_table
from igep.trainers.experiments.tiny_vlm3 import vlm3_base
from igep.trainers.experiments.train_and_ask import ask, train
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "vlm3_rooms.yaml"
ARMS = ("plain", "unified")
TEST_FOCAL = {"as trained": TRAINED_FOCAL, "wider, unseen": (0.4, 0.6), "narrower, unseen": (1.2, 1.6)}
FIGURES = {"delta_1": "delta_1", "AbsRel": "abs_rel", "unparsed": "unparsed"}
TEST_SEEDS = dict(zip(TEST_FOCAL, (777_003, 777_004, 777_005), strict=True))


def run_arm(
    arm: str, base: Path, output: Path, held_out_rooms: int, unified_focal: float, overrides: Sequence[str]
) -> dict:
    """Trains one arm and scores it on all ranges of focal lengths.

    Args:
        arm (`str`): `plain` or `unified`.
        base (`Path`): Folder of the tiny base with the words of VLM3, as `save_base` wrote it.
        output (`Path`): Folder for the model.
        held_out_rooms (`int`): Rooms per range.
        unified_focal (`float`): Focal length of the unified arm over the width of the encoder's image.
        overrides (`Sequence[str]`): Flags of `sft.py` that change the recipe.

    Returns:
        `dict`: Scores per range.
    """
    arguments = ["--config", str(RECIPE), "--model_name_or_path", str(base), "--output_dir", str(output), *overrides]
    parsed = script_args, training_args, _ = sft.parse(arguments)
    options = {
        "unify": arm == "unified",
        "unified_focal": unified_focal,
        "questions_per_image": script_args.questions_per_image,
    }
    trained = FocalRooms(
        rooms(script_args.num_rooms, script_args.room_seed, TRAINED_FOCAL), seed=training_args.seed, **options
    )
    rows = MixtureDataset(
        [MixturePart("rooms", trained)], samples_per_step=training_args.samples_per_step, seed=training_args.seed
    )
    model, processor = train(rows, parsed, output)
    scores = {}
    for name, focal_range in TEST_FOCAL.items():
        held_out = FocalRooms(rooms(held_out_rooms, TEST_SEEDS[name], focal_range), **options)
        turns = ask(model, processor, held_out, frames_as=training_args.frames_as, progress=name)
        scores[name] = task_scores("depth", turns)
    return scores


def compare(
    output: Path,
    seeds: Sequence[int],
    held_out_rooms: int,
    unified_focal: float,
    overrides: Sequence[str],
    jobs: int = 2,
) -> dict:
    """Runs both arms with every seed, each pair from the same base.

    Args:
        output (`Path`): Folder for models and scores.
        seeds (`Sequence[int]`): One pair of runs per seed.
        held_out_rooms (`int`): Rooms per range of focal lengths.
        unified_focal (`float`): Focal length of the unified arm over the width of the encoder's image.
        overrides (`Sequence[str]`): Flags of `sft.py` for both arms alike.
        jobs (`int`, *optional*, defaults to `2`): Runs at a time.

    Returns:
        `dict`: Arm to seed to scores per range.
    """
    for seed in seeds:
        save_base(output / f"base_seed{seed}", seed)
    options = shared_options(held_out_rooms, overrides, unified_focal=unified_focal)
    flags = ["--held_out_rooms", str(held_out_rooms), "--unified_focal", str(unified_focal), *overrides]

    def command(arm: str, seed: int) -> list[str]:
        script = ["trainers/experiments/focal_ablation.py", "--output", str(output)]
        return [*script, "--arm", arm, "--seeds", str(seed), *flags]

    return run_missing(command, output, ARMS, seeds, options, jobs)


def save_base(folder: Path, seed: int) -> None:
    """Writes the tiny base with the words of VLM3, unless it is there."""
    if (folder / "README.md").is_file():
        return
    model, processor = vlm3_base(seed=seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_made_by(folder, "igep focal-ablation")


def as_tables(scores: dict) -> str:
    """Both arms as Markdown tables, one per figure: mean and spread over seeds, and the difference paired by seed."""
    tables = []
    for title, key in FIGURES.items():
        cells = {
            f"{title}, {low:g} to {high:g} ({name})": study_cells(
                {arm: figure_by_seed(by_seed, name, key) for arm, by_seed in scores.items()}
            )
            for name, (low, high) in TEST_FOCAL.items()
        }
        tables.append(study_table(cells))
    return "\n\n".join(tables)


def report(
    output: Path,
    seeds: Sequence[int],
    held_out_rooms: int,
    overrides: Sequence[str],
    unified_focal: float = UNIFIED_FOCAL,
    jobs: int = 2,
) -> None:
    """Runs the comparison, writes `results.json` and `results.md`, and prints the tables.

    Args:
        output (`Path`): Folder for everything written.
        seeds (`Sequence[int]`): One pair of runs per seed.
        held_out_rooms (`int`): Rooms per range of focal lengths.
        overrides (`Sequence[str]`): Flags of `sft.py` for both arms alike.
        unified_focal (`float`, *optional*, defaults to `0.9`): Focal length of the unified arm over the image width.
        jobs (`int`, *optional*, defaults to `2`): Runs at a time, each on one core.
    """
    begin = time.perf_counter()
    scores = compare(output, seeds, held_out_rooms, unified_focal, overrides, jobs)
    results = {"scores": scores, "seconds": round(time.perf_counter() - begin, 1)}
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (output / "results.md").write_text(as_tables(scores) + "\n")
    print(
        f"\nMetric depth on {held_out_rooms} held-out rooms per range of focal length over width, {in_words(seeds)}, "
        f"{results['seconds']:.0f} s in all\n"
    )
    print(as_tables(scores))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="focal_ablation.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for both arms alike.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/focal_ablation"), help="folder for everything")
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms per range of focal lengths")
    parser.add_argument(
        "--unified_focal",
        type=float,
        default=UNIFIED_FOCAL,
        help="focal length of the unified arm over the image width",
    )
    add_seed_flags(parser, default=[0])
    parser.add_argument("--arm", choices=ARMS, help="run this arm alone, on the bases that lie in the folder")
    options, overrides = parser.parse_known_args(arguments)
    check_seeds(parser, options, overrides)
    output = options.output.resolve()
    if options.arm is None:
        check_flags(overrides, (sft.parse, RECIPE))
        try:
            report(output, options.seeds, options.held_out_rooms, overrides, options.unified_focal, options.jobs)
        except ValueError as error:
            sys.exit(f"focal_ablation.py: error: {error}")
        return
    shared = shared_options(options.held_out_rooms, overrides, unified_focal=options.unified_focal)
    for seed in options.seeds:
        folders = output / f"base_seed{seed}", output / f"{options.arm}_seed{seed}"
        flags = [*overrides, "--seed", str(seed)]
        scores = run_arm(options.arm, *folders, options.held_out_rooms, options.unified_focal, flags)
        write_scores(output, options.arm, seed, shared, scores)


if __name__ == "__main__":
    main()
