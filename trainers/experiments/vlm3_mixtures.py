"""How should datasets be mixed, and does a drawn arrow say better than text which pixel is meant? VLM3 at toy scale.

    igep vlm3-mixtures --output outputs/vlm3_mixtures     # the two tables of docs/vlm3.md

One model learns metric depth and correspondence together, from a quarter as many correspondence rows as depth rows,
under each weighting of a mixture. Beside them two models learn depth from one question per image: one reads the pixel
as text, the other sees DepthLM's red arrow in the image and a prompt without coordinates. All start from the tiny base
with VLM3's words and train for the same number of steps by the recipe `vlm3_rooms.yaml`; the questions are about rooms
nobody has seen. A seed draws the new words of the base, the order of the rooms and the questions. Interrupted, the
command goes on where it stopped: finished runs are not done again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken

from igep.trainers import sft
from igep.trainers.cards.made_base import write_made_by
from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.row_source import RowSource
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows, values_of
from igep.trainers.evaluation.benchmarks.vlm3_tasks import task_scores
from igep.trainers.experiments.arrow_questions import ARROW_QUESTION, PointedRows
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
from igep.trainers.experiments.tiny_vlm3 import STEPS, vlm3_base
from igep.trainers.experiments.train_and_ask import ask, train
from igep.trainers.package_files import RECIPES


RECIPE = RECIPES / "vlm3_rooms.yaml"
WEIGHTINGS = ("uniform", "size", "custom")
CUSTOM = {"depth": 1.0, "correspondence": 2.0}
CORRESPONDENCE_PERCENT = 25.0  # of the rows: with equal sets, by size would be uniform
POINTERS = ("text", "arrow")
ARMS = (*WEIGHTINGS, *POINTERS)
WEIGHTING_FIGURES = {
    "delta_1": ("depth", "delta_1"),
    "AbsRel": ("depth", "abs_rel"),
    f"mean error (of {STEPS})": ("correspondence", "end_point_error_mean"),
    "within 10 %": ("correspondence", "pck_10"),
    "unparsed, depth": ("depth", "unparsed"),
    "unparsed, correspondence": ("correspondence", "unparsed"),
}
POINTER_FIGURES = {"delta_1": "delta_1", "AbsRel": "abs_rel", "unparsed": "unparsed"}
HELD_OUT_SEED = 777_006


def rows_of(arm: str, options: RowOptions, seed: int) -> list[MixturePart]:
    """The parts that an arm trains on, or is asked about.

    Args:
        arm (`str`): One of `ARMS`.
        options (`RowOptions`): Rooms and questions.
        seed (`int`): Of the questions.

    Returns:
        `list[MixturePart]`: Depth and correspondence, or depth alone.
    """
    tables = SceneTableCache()

    def load(task: str) -> RowSource:
        chosen = RowOptions(**values_of(RowOptions, options) | {"task": task})
        return load_rows(chosen, (STEPS // 2, STEPS // 2), seed, tables)[0]

    if arm in POINTERS:
        return [MixturePart("depth", PointedRows(load("depth"), arrow=arm == "arrow"))]
    weights = CUSTOM if arm == "custom" else dict.fromkeys(CUSTOM)
    percents = {"depth": 100.0, "correspondence": CORRESPONDENCE_PERCENT}
    return [
        MixturePart(task, load(task), weight=weights[task], percent=percents[task])
        for task in ("depth", "correspondence")
    ]


def run_arm(arm: str, base: Path, output: Path, held_out_rooms: int, overrides: Sequence[str]) -> dict:
    """Trains one arm and scores it.

    Args:
        arm (`str`): One of `ARMS`.
        base (`Path`): Folder of the tiny base with the words of all prompts.
        output (`Path`): Folder for the model.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`Sequence[str]`): Flags of `sft.py` that change the recipe.

    Returns:
        `dict`: Scores per task; under `shares` the samples of each task.
    """
    arguments = ["--config", str(RECIPE), "--model_name_or_path", str(base), "--output_dir", str(output)]
    # One image and two cannot share a batch as videos.
    arguments += ["--frames_as", "images", *overrides]
    parsed = script_args, training_args, _ = sft.parse(arguments)
    rows = MixtureDataset(
        rows_of(arm, script_args, training_args.seed),
        weighting=arm if arm in WEIGHTINGS else "size",
        samples_per_step=training_args.samples_per_step,
        seed=training_args.seed,
    )
    model, processor = train(rows, parsed, output)
    held_out = RowOptions(
        **values_of(RowOptions, script_args) | {"num_rooms": held_out_rooms, "room_seed": HELD_OUT_SEED}
    )
    scores = {}
    for part in rows_of(arm, held_out, training_args.seed):
        progress = f"{arm}: {part.name}"
        turns = ask(model, processor, part.dataset, frames_as=training_args.frames_as, progress=progress)
        scores[part.name] = task_scores(part.name, turns, STEPS)
    return scores | {
        "shares": {part.name: share for part, share in zip(rows.parts, rows.shares.tolist(), strict=True)}
    }


def save_base(folder: Path, seed: int) -> None:
    """Writes the tiny base with the words of VLM3 and one for the arrow's prompt, as its other fixed parts have."""
    if (folder / "README.md").is_file():
        return
    model, processor = vlm3_base(seed=seed)
    processor.tokenizer.add_tokens([AddedToken(ARROW_QUESTION, lstrip=True, rstrip=True, normalized=False)])
    torch.manual_seed(seed)  # of the new row
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_made_by(folder, "igep vlm3-mixtures")


def compare(output: Path, seeds: Sequence[int], held_out_rooms: int, overrides: Sequence[str], jobs: int = 2) -> dict:
    """Runs all arms with every seed, those of a seed from the same base.

    Args:
        output (`Path`): Folder for models and scores.
        seeds (`Sequence[int]`): One run of each arm per seed.
        held_out_rooms (`int`): Rooms to score on.
        overrides (`Sequence[str]`): Flags of `sft.py` for all arms alike.
        jobs (`int`, *optional*, defaults to `2`): Runs at a time.

    Returns:
        `dict`: Arm to seed to scores.
    """
    for seed in seeds:
        save_base(output / f"base_seed{seed}", seed)
    flags = ["--held_out_rooms", str(held_out_rooms), *overrides]

    def command(arm: str, seed: int) -> list[str]:
        script = ["trainers/experiments/vlm3_mixtures.py", "--output", str(output)]
        return [*script, "--arm", arm, "--seeds", str(seed), *flags]

    return run_missing(command, output, ARMS, seeds, shared_options(held_out_rooms, overrides), jobs)


def as_tables(scores: dict) -> str:
    """Weightings and pointers as Markdown tables, one row each; differences are to the first row, paired by seed."""
    weightings = {}
    for title, (task, key) in WEIGHTING_FIGURES.items():
        weightings[title] = study_cells(
            {_with_share(arm, scores[arm]): figure_by_seed(scores[arm], task, key) for arm in WEIGHTINGS}
        )
    pointers = {
        title: study_cells({f"by {arm}": figure_by_seed(scores[arm], "depth", key) for arm in POINTERS})
        for title, key in POINTER_FIGURES.items()
    }
    return study_table(weightings) + "\n\n" + study_table(pointers)


def _with_share(arm: str, by_seed: dict) -> str:
    share = next(iter(by_seed.values()))["shares"]["depth"]
    return f"{arm} ({100 * share:.0f} % depth)"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="vlm3_mixtures.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to sft.py, for all arms alike.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/vlm3_mixtures"), help="folder for everything")
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    add_seed_flags(parser, default=[0])
    parser.add_argument("--arm", choices=ARMS, help="run this arm alone, on the bases that lie in the folder")
    options, overrides = parser.parse_known_args(arguments)
    check_seeds(parser, options, overrides)
    output = options.output.resolve()
    if options.arm is not None:
        shared = shared_options(options.held_out_rooms, overrides)
        for seed in options.seeds:
            folders = output / f"base_seed{seed}", output / f"{options.arm}_seed{seed}"
            scores = run_arm(options.arm, *folders, options.held_out_rooms, [*overrides, "--seed", str(seed)])
            write_scores(output, options.arm, seed, shared, scores)
        return
    check_flags(overrides, (sft.parse, RECIPE))
    begin = time.perf_counter()
    try:
        scores = compare(output, options.seeds, options.held_out_rooms, overrides, options.jobs)
    except ValueError as error:
        sys.exit(f"vlm3_mixtures.py: error: {error}")
    seconds = round(time.perf_counter() - begin, 1)
    (output / "results.json").write_text(json.dumps({"scores": scores, "seconds": seconds}, indent=2) + "\n")
    (output / "results.md").write_text(as_tables(scores) + "\n")
    print(
        f"\n{options.held_out_rooms} held-out rooms, saved models, RGB only, {in_words(options.seeds)}, "
        f"{seconds:.0f} s\n"
    )
    print(as_tables(scores))


if __name__ == "__main__":
    main()
