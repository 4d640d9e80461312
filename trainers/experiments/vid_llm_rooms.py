"""Can one small model reconstruct and answer? Vid-LLM's stages on synthetic rooms, beside IGEP and plain fine-tuning.

    igep vid-llm-rooms --output outputs/vid_llm_rooms   # the tables and the picture of docs/vid_llm.md

A tiny Vid-LLM is made of the embedded base (its tower, its language model, its projector) and new parts, distilled and
then trained jointly by `accelerate launch`; beside it the base itself is fine-tuned, plainly and with IGEP, on the
same rooms in the same order for the steps of the second stage. Saved models then answer and reconstruct rooms that
nobody has seen, from RGB.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import distill, joint, sft
from igep.trainers.cards.given_options import read_recipe
from igep.trainers.cards.markdown import markdown_table
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.evaluation.benchmarks.rooms import held_out_rooms
from igep.trainers.experiments.handed_flags import check_flags
from igep.trainers.experiments.quickstart import METHODS
from igep.trainers.experiments.room_picture import draw_room
from igep.trainers.experiments.room_reconstruction import (
    as_rows,
    prior_figures,
    reconstruction_figures,
    training_rooms,
)
from igep.trainers.experiments.side_by_side import side_by_side, start, wait
from igep.trainers.experiments.tiny_vid_llm import vid_llm_base
from igep.trainers.loop.complete_checkpoint import whole_checkpoint
from igep.trainers.package_files import LAUNCH_PLANS, PACKAGE, RECIPES


DISTILL, JOINT, QUICKSTART = (
    RECIPES / name for name in ("vid_llm_distill_rooms.yaml", "vid_llm_joint_rooms.yaml", "quickstart.yaml")
)
LAUNCH = ("-m", "accelerate.commands.launch", "--config_file", str(LAUNCH_PLANS / "cpu.yaml"))
EQUAL = (
    *("num_rooms", "max_steps", "per_device_train_batch_size", "learning_rate", "warmup_steps"),
    *("lr_scheduler_type", "lr_scheduler_kwargs"),
)
PLAIN = METHODS["cross_entropy"]
# Those of the studies of the losses, not what the quickstart has since: the table of docs/vid_llm.md was printed so.
IGEP = ("--geometry_weight", "0.3", "--cross_view_weight", "0.05", "--global_weight", "0.2")
QUESTIONS = {"plain fine-tuning": "plain", "IGEP": "igep", "Vid-LLM": "vid_llm"}


def launched(script: str, recipe: Path, output: Path, *options: str) -> list[str]:
    """A training command for `accelerate launch`, which goes on from the last whole checkpoint of an interrupted run.

    Args:
        script (`str`): Launcher.
        recipe (`Path`): Its recipe.
        output (`Path`): Folder of the model.
        *options (`str`): Flags.

    Returns:
        `list[str]`
    """
    resume = ("--resume_from_checkpoint", "true") if whole_checkpoint(output) else ()
    return [
        *LAUNCH,
        str(PACKAGE / "trainers" / script),
        "--config",
        str(recipe),
        "--output_dir",
        str(output),
        *options,
        *resume,
    ]


def scored(model: Path, output: Path, rooms: int) -> list[str]:
    """A command that asks a saved model about held-out rooms."""
    options = ["--output", str(output), "--restart", "--device", "cpu", "--held_out_rooms", str(rooms)]
    return ["trainers/score.py", "--benchmark", "rooms", "--model", str(model), *options]


def save_base(folder: Path, seed: int = 0, **fields) -> None:
    """Writes the tiny Vid-LLM before any training.

    Args:
        folder (`Path`): Where.
        seed (`int`, *optional*, defaults to `0`): Seed of what is new.
        **fields: Fields of `VidLLMConfig`.
    """
    model, processor = vid_llm_base(seed, **fields)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def load(folder: Path) -> tuple[VidLLMForConditionalGeneration, IGEPProcessor]:
    """A saved Vid-LLM in eval mode, and its processor."""
    return VidLLMForConditionalGeneration.from_pretrained(folder).eval(), IGEPProcessor.from_pretrained(folder)


def of_second_stage() -> list[str]:
    """Rooms, steps and schedule of the second stage, as flags for what is compared with it."""
    recipe = read_recipe(JOINT)
    values = {name: recipe[name] for name in EQUAL}
    return [
        word
        for name, value in values.items()
        for word in (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    ]


def compare(output: Path, rooms: int, seed: int, overrides: Sequence[str]) -> dict:
    """Trains and scores all methods.

    Args:
        output (`Path`): Folder for models, scores, the tables and the picture.
        rooms (`int`): Held-out rooms to score on.
        seed (`int`): Seed of every run.
        overrides (`Sequence[str]`): Flags for all runs alike.

    Returns:
        `dict`: What `results.json` holds.
    """
    models = {name: output / name for name in ("base", "distilled", "vid_llm", "plain", "igep")}
    save_base(models["base"], seed)
    common = ("--seed", str(seed), *overrides)
    equal = (*of_second_stage(), *common)
    stages = (
        launched("distill.py", DISTILL, models["distilled"], "--model_name_or_path", str(models["base"]), *common),
        launched("joint.py", JOINT, models["vid_llm"], "--model_name_or_path", str(models["distilled"]), *common),
    )
    others = {
        output / "train_plain.log": launched("sft.py", QUICKSTART, models["plain"], *PLAIN, *equal),
        output / "train_igep.log": launched("sft.py", QUICKSTART, models["igep"], *IGEP, *equal),
    }
    with ThreadPoolExecutor(1) as beside:
        trained = beside.submit(in_turn, others)
        for command in stages:
            wait(start(command))
        trained.result()
    scores = {name: output / f"{name}_scores.json" for name in QUESTIONS.values()}
    commands = {name: scored(models[name], file, rooms) for name, file in scores.items()}
    side_by_side(commands["vid_llm"], commands["igep"], output / "score_igep.log")
    wait(start(commands["plain"]))
    runs = {name: read_training_run(models[name]) for name in models if name != "base"}
    unseen = held_out_rooms(rooms)
    model, processor = load(models["vid_llm"])
    draw_room(output / "room.png", model, processor, unseen[0])
    return {
        "seed": seed,
        **{name: {key: run[key] for key in ("steps", "samples_per_step")} for name, run in runs.items()},
        "reconstruction": {
            "Vid-LLM": reconstruction_figures(model, processor, unseen),
            "median depth and mean pose of training rooms": prior_figures(unseen, training_rooms()),
        },
        "questions": {title: question_figures(scores[name]) for title, name in QUESTIONS.items()},
    }


def in_turn(commands: Mapping[Path, list[str]]) -> None:
    """Runs commands one after the other, each with its output in the log that names it."""
    for log, command in commands.items():
        wait(start(command, log), log)


def question_figures(scores: Path) -> dict[str, float]:
    """Exact match by question type, and their mean, from a file of `score.py`."""
    figures = json.loads(scores.read_text())["benchmarks"]["rooms"]["figures"]
    return {name.removeprefix("exact match, "): figure["value"] for name, figure in figures.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="vid_llm_rooms.py",
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to every training run.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/vid_llm_rooms"), help="folder for everything written"
    )
    parser.add_argument("--held_out_rooms", type=int, default=256, help="rooms to score on")
    parser.add_argument("--seed", type=int, default=0, help="seed of every run")
    options, overrides = parser.parse_known_args(arguments)
    check_flags(overrides, (distill.parse, DISTILL), (joint.parse, JOINT), (sft.parse, QUICKSTART))
    output = options.output.resolve()
    begin = time.perf_counter()
    results = compare(output, options.held_out_rooms, options.seed, overrides)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    tables = "\n\n".join(
        markdown_table(rows)
        for rows in (as_rows(results["reconstruction"]), as_rows(results["questions"], "exact match"))
    )
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (output / "results.md").write_text(tables + "\n")
    print(f"\n{options.held_out_rooms} held-out rooms, RGB only, saved models\n")
    print(tables)
    print(f"\n{results['seconds']:.0f} s in all. In {options.output}: results.json, results.md, room.png")


if __name__ == "__main__":
    main()
