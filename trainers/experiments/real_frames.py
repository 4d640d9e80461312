"""Does geometry help on photographs? Trains a small base of published models on a real walk, with and without it.

    igep real-frames --scenes scans/office scans/kitchen scans/shelf   # trained on the first; called again it goes on

Blocks of the walk are held out, with frames that nobody sees on either side, other blocks for every seed; the other
scenes are tested on alone. Questions come from depth and pose alone: which of two marked points is closer, and how far
one is. Both arms see the same clips of two neighbouring frames in the same order; only the loss weights differ.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from igep.trainers.cards.given_options import read_recipe
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.experiments.marked_points import write_tables
from igep.trainers.experiments.real_frames_table import draw, lines_of, table
from igep.trainers.experiments.small_base import assemble_base
from igep.trainers.experiments.study_plan import Arm
from igep.trainers.experiments.study_runs import Run, execute, prepare
from igep.trainers.experiments.walk_blocks import WalkBlocks, neighbours, split_walk
from igep.trainers.experiments.walk_frames import WalkFrames
from igep.trainers.package_files import find_recipe


ARMS = {
    "cross-entropy": {"geometry_weight": 0, "cross_view_weight": 0, "global_weight": 0, "teacher": "none"},
    "igep": {},
}
BASE_FIELDS = ("vision", "language", "frame_pixels", "vision_layers", "language_layers")
PROJECTOR_FRAMES = 16  # of the walk, by which the projector's scale is set
PATCH_PIXELS = 14  # of DINOv2


@dataclass(frozen=True)
class WalkRun(Run):
    """One training on a walk. `score` are flags of `real_frames_scores`."""

    @property
    def score_command(self) -> list[str]:
        output = ["--model", str(self.folder / "model"), "--output", str(self.folder / "scores.json")]
        return ["trainers/experiments/real_frames_scores.py", *output, *self.score]

    def scores(self) -> dict[str, Any] | None:
        path = self.folder / "scores.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def blocks_of(options: argparse.Namespace, seed: int) -> WalkBlocks:
    """How a seed cuts the walk: each holds out what follows the blocks of the one before.

    Args:
        options (`argparse.Namespace`): Of the command.
        seed (`int`): The seed.

    Returns:
        `WalkBlocks`
    """
    blocks = WalkBlocks(
        train_frames=options.train_frames,
        held_out_frames=options.held_out_frames,
        margin_frames=options.margin_frames,
    )
    cycle = blocks.train_frames + blocks.held_out_frames
    return replace(blocks, first_frame=seed * blocks.held_out_frames % cycle)


def make_inputs(walk: WalkFrames, folder: Path, options: argparse.Namespace, seed: int) -> dict[str, int]:
    """Writes what both arms of a seed start from, unless it is there: `folder/base` and `folder/tables`.

    Args:
        walk (`WalkFrames`): What is trained on.
        folder (`Path`): Of the seed.
        options (`argparse.Namespace`): Of the command.
        seed (`int`): Draws projector, marks and questions, and chooses the blocks.

    Returns:
        `dict[str, int]`: Frames, clips and questions that are trained on, and markings that found no room.

    Raises:
        ValueError: The folder was written with other options, or the base cannot be assembled from the models.
        SpatialDataError: The walk is too short, or no frame has room for the marks.
    """
    blocks = blocks_of(options, seed)
    train, _ = split_walk(len(walk), blocks, walk.name)
    stated = {name: vars(options)[name] for name in (*BASE_FIELDS, "draws", "questions_per_kind")}
    stated |= {"walk": str(Path(options.scenes[0]).resolve()), **asdict(blocks)}
    written = folder / "inputs.json"
    if written.is_file():
        made = json.loads(written.read_text(encoding="utf-8"))
        if made["options"] != stated:
            raise ValueError(f"{folder} was made with other options: delete it, or give another --output.")
        return made["counts"]
    frames = walk.example(train[:: max(1, len(train) // PROJECTOR_FRAMES)]).frames
    model, processor = assemble_base(
        options.vision,
        options.language,
        frames,
        frame_pixels=options.frame_pixels,
        vision_layers=options.vision_layers,
        language_layers=options.language_layers,
        seed=seed,
    )
    model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    clips, empty = walk.marked_clips(neighbours(train), options.draws, options.questions_per_kind, seed)
    if not clips:
        raise SpatialDataError(f"Scene {walk.name!r}: no frame has room for the marks. Give another scene.")
    write_tables(folder / "tables", clips)
    counts = {
        "frames": len(train),
        "clips": len(clips),
        "questions": sum(len(clip.questions) for clip in clips),
        "markings_without_questions": empty,
    }
    written.write_text(json.dumps({"options": stated, "counts": counts}, indent=2) + "\n", encoding="utf-8")
    return counts


def make_runs(output: Path, options: argparse.Namespace, seed: int) -> dict[str, WalkRun]:
    """Both runs of a seed.

    Args:
        output (`Path`): Folder of the comparison.
        options (`argparse.Namespace`): Of the command.
        seed (`int`): The seed.

    Returns:
        `dict[str, WalkRun]`: By arm.
    """
    folder = output / f"seed_{seed}"
    recipe = find_recipe(options.recipe)
    base, tables = str(folder / "base"), str(folder / "tables")
    side = options.frame_pixels // PATCH_PIXELS
    fields = {
        "model_name_or_path": base,
        "dataset_path": tables,
        "geometry_size": [options.frame_pixels // 2] * 2,
        "oracle_grid": side,
        "questions_per_row": 2 * options.questions_per_kind,
        "seed": seed,
    }
    score = ["--base", base, "--tables", tables, "--scenes", *(str(Path(name).resolve()) for name in options.scenes)]
    score += ["--blocks", json.dumps(asdict(blocks_of(options, seed))), "--test_draws", str(options.test_draws)]
    arms = [Arm(name, recipe, weights) for name, weights in ARMS.items()]
    return {arm.name: WalkRun(arm, folder / arm.folder, arm.run_recipe(**fields), score) for arm in arms}


def compare(output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Does the runs that are not done, and sums all up.

    Args:
        output (`Path`): Folder for everything.
        options (`argparse.Namespace`): Of the command.

    Returns:
        `dict`: What `results.json` holds. Where a run failed there is no table: `failed` names its log.

    Raises:
        ValueError: A value is bad, or a folder holds another run.
        OSError: A model is nowhere.
    """
    begin = time.perf_counter()
    recipe = read_recipe(find_recipe(options.recipe))
    walks = [WalkFrames(folder, options.frame_pixels) for folder in options.scenes]
    names = [walk.name for walk in walks]
    if len(set(names)) < len(names):
        raise ValueError(f"scenes={names}: two bear one name. Name each once.")
    counts = {seed: make_inputs(walks[0], output / f"seed_{seed}", options, seed) for seed in options.seeds}
    runs = {seed: make_runs(output, options, seed) for seed in options.seeds}
    flat = [run for of_seed in runs.values() for run in of_seed.values()]
    prepare(flat)
    failed = execute(flat, options.jobs, "runs")
    results = {
        "options": {name: value for name, value in vars(options).items() if name != "output"},
        "recipe": recipe,
        "trained_on": counts,
        "failed": {f"{run.arm.name}, {run.folder.parent.name}": str(run.log) for run in failed},
        "seconds": round(time.perf_counter() - begin, 1),
    }
    if failed:
        return results
    scores = {arm: {seed: runs[seed][arm].scores() for seed in options.seeds} for arm in ARMS}
    lines = lines_of(scores)
    draw(output / "results.png", lines, f"{names[0]}, {len(options.seeds)} seeds")
    return results | {"lines": [asdict(line) for line in lines], "table": table(lines)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="real_frames.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--scenes", nargs="+", required=True, help="folder of the walk, and of the scenes to test on")
    parser.add_argument("--vision", default="facebook/dinov2-small", help="DINOv2 encoder: Hub id or folder")
    parser.add_argument(
        "--language", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="language model: Hub id or folder"
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/real_frames"), help="folder for everything")
    parser.add_argument(
        "--recipe", default="real_frames.yaml", help="how it trains: a recipe of igep sft, file or name"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="one pair of runs per seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each")
    for name, value, meaning in (
        ("frame_pixels", 112, "side of the frames; a multiple of 14"),
        ("vision_layers", 9, "encoder layers to keep"),
        ("language_layers", 4, "layers of the language model to keep"),
        ("train_frames", 40, "frames between two held-out blocks"),
        ("held_out_frames", 20, "frames of a held-out block"),
        ("margin_frames", 5, "frames dropped on either side of it"),
        ("draws", 16, "markings of each pair of frames that is trained on"),
        ("test_draws", 3, "markings of each pair of frames that is tested on"),
        ("questions_per_kind", 4, "questions of each kind for one marking, at most"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{meaning} (default: {value})")
    options = parser.parse_args(arguments)
    for name in ("jobs", "draws", "test_draws", "questions_per_kind"):
        if vars(options)[name] < 1:
            parser.error(f"--{name} {vars(options)[name]}: give 1 or more")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        parser.error(f"--seeds {options.seeds}: give each once, 0 or more")
    options.output = options.output.resolve()
    try:
        results = compare(options.output, options)
    except (ValueError, OSError) as error:
        sys.exit(f"real_frames.py: error: {error}")
    except KeyboardInterrupt:
        print("real_frames.py: interrupted. The same command goes on where it stopped.", file=sys.stderr)
        sys.exit(130)
    (options.output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if results["failed"]:
        sys.exit("\n".join(f"no table without {name}: see {log}" for name, log in results["failed"].items()))
    (options.output / "results.md").write_text(results["table"] + "\n", encoding="utf-8")
    print(
        f"\n{len(options.seeds)} seeds, RGB only; in brackets 95 % intervals of a bootstrap over the blocks, "
        "differences paired\n"
    )
    print(results["table"])
    print(f"\n{results['seconds']:.0f} s in this call. In {options.output}: results.json, results.md, results.png")


if __name__ == "__main__":
    main()
