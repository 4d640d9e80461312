"""Can Vid-LLM reconstruct a real scene? Trains on blocks of a posed RGB-D scene; compares there and on held-out ones.

    igep vid-llm-scene --scene path/to/scene --output outputs/vid_llm_scene   # the table of docs/vid_llm.md

The recipe is `vid_llm_joint_scene.yaml`: the second stage of Vid-LLM on clips of neighbouring frames, geometry alone.
It trains the tiny Vid-LLM of the embedded base unless flags of `igep joint` name another model.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.load_scenes import load_scenes
from igep.trainers.experiments.clips_in_memory import ClipsInMemory
from igep.trainers.experiments.room_reconstruction import as_rows
from igep.trainers.experiments.scene_clips import clips_in, cut_clips, only_scene
from igep.trainers.experiments.scene_picture import draw_scene, shown
from igep.trainers.experiments.scene_reconstruction import clip_figures, prior_of, reconstruct_clips
from igep.trainers.experiments.tiny_vid_llm import vid_llm_base
from igep.trainers.experiments.walk_blocks import split_blocks
from igep.trainers.joint import PARSER, parse
from igep.trainers.joint_config import JointConfig
from igep.trainers.joint_trainer import JointTrainer
from igep.trainers.load_vid_llm import load_vid_llm
from igep.trainers.loop.complete_checkpoint import whole_checkpoint
from igep.trainers.loop.recipe_options import one_line
from igep.trainers.package_files import RECIPES
from igep.trainers.publishing.train_and_save import train_and_save
from igep.trainers.vid_llm_config import VidLLMScriptArguments


PROGRAM = "igep vid-llm-scene"
RECIPE = RECIPES / "vid_llm_joint_scene.yaml"
PARTS = TRAINED, HELD_OUT = "trained", "held out"
UNUSED = {"task": "questions", "mixture": None, "clip_frames": None, "eval_rooms": 0, "eval_scenes": None}
UNUSED |= {"eval_frame_fraction": None}  # options of `igep joint` that cut or ask what this command cuts itself


@dataclass(frozen=True)
class SceneClips:
    """A scene cut into clips.

    Args:
        num_frames (`int`): Frames of the scene, those that are in no clip included.
        trained (`datasets.Dataset`): Clips to train on, a table with `SCENE_FEATURES`.
        compared (`dict[str, HeldOutFrames]`): Rows of those and of the held-out ones in the order of time, by part.
        clips_of_blocks (`list[int]`): Number of clips of every trained block.
        row_options (`dict`): How a clip becomes a row: arguments of `HeldOutFrames` and `SpatialDataset`.
    """

    num_frames: int
    trained: Dataset
    compared: dict[str, HeldOutFrames]
    clips_of_blocks: list[int]
    row_options: dict[str, Any]

    @property
    def frames_of_parts(self) -> dict[str, int]:
        """Number of frames of each part."""
        tables = {name: rows.scene_table for name, rows in self.compared.items()}
        return {
            name: len({frame for number in range(len(table)) for frame in table.frame_ids(number)})
            for name, table in tables.items()
        }


def load_clips(
    script_args: VidLLMScriptArguments, training_args: JointConfig, split: dict[str, int | float]
) -> SceneClips:
    """Reads the scene, and cuts it into clips.

    Args:
        script_args (`VidLLMScriptArguments`): Where the scene lies, and the frames of a clip.
        training_args (`JointConfig`): Size of depth.
        split (`dict`): Options of `split_blocks`.

    Returns:
        `SceneClips`

    Raises:
        ValueError: An option would change nothing, or the scene is too short for the split.
        SpatialDataError: It is no posed RGB-D scene, or more than one.
    """
    for name, unset in UNUSED.items():
        if vars(script_args)[name] != unset:
            raise ValueError(
                f"{name}={vars(script_args)[name]}: this command cuts the scene itself. Leave the option out."
            )
    frames = script_args.num_frames
    if frames < 2:
        raise ValueError(f"num_frames={frames}: a camera is found beside another, so a clip has 2 frames or more.")
    table = only_scene(load_scenes(script_args)[0])
    num_frames = len(table.usable_frames(0))
    parts = split_blocks(num_frames, clip_frames=frames, **split)
    rows = {
        "num_frames": frames,
        "geometry_size": (training_args.geometry_size[0], training_args.geometry_size[1]),
        "max_depth_metres": script_args.depth_range[1],
    }
    clips = {name: cut_clips(table, blocks, frames) for name, blocks in zip(PARTS, parts, strict=True)}
    return SceneClips(
        num_frames=num_frames,
        trained=clips[TRAINED],
        compared={name: HeldOutFrames(each, **rows) for name, each in clips.items()},
        clips_of_blocks=[clips_in(block, frames) for block in parts[0]],
        row_options=rows,
    )


def with_model(arguments: list[str], output: Path, seed: int) -> list[str]:
    """Writes the tiny Vid-LLM into the output folder, unless the flags name another model.

    Args:
        arguments (`list[str]`): Flags of `igep joint`.
        output (`Path`): The output folder.
        seed (`int`): Seed of what is new in the tiny model.

    Returns:
        `list[str]`: The flags with a model among them.
    """
    script_args, _, model_args = parse(arguments)
    if model_args.model_name_or_path is not None or script_args.vision_name_or_path is not None:
        return arguments
    base = output / "base"
    model, processor = vid_llm_base(seed)
    model.save_pretrained(base)
    processor.save_pretrained(base)
    return [*arguments, "--model_name_or_path", str(base)]


def compare(scene: str, output: Path, seed: int, split: dict[str, int | float], overrides: Sequence[str]) -> dict:
    """Trains on a scene, and compares.

    Args:
        scene (`str`): Folder of the scene.
        output (`Path`): Folder for the model and the picture.
        seed (`int`): Seed of the run.
        split (`dict`): Options of `split_blocks`.
        overrides (`Sequence[str]`): Flags of `igep joint`.

    Returns:
        `dict`: What `results.json` holds.

    Raises:
        SystemExit: Something is wrong with the scene or the options; the message is one line.
    """
    folder = output / "model"
    own = ["--config", str(RECIPE), "--dataset_path", scene, "--output_dir", str(folder), "--seed", str(seed)]
    resume = ["--resume_from_checkpoint", "true"] if whole_checkpoint(folder) else []
    with one_line(PROGRAM):
        arguments = [*own, *overrides, *resume]
        clips = load_clips(*parse(arguments)[:2], split)
        arguments = with_model(arguments, output, seed)
        parsed = script_args, training_args, model_args = parse(arguments)
        model, processor = load_vid_llm(script_args, model_args, training_args.seed)
        size = processor.video_processor.size
        frame_size = (size["height"], size["width"]) if "height" in size else None
        trainer = JointTrainer(
            model,
            training_args,
            ClipsInMemory(clips.trained, frame_size, seed=training_args.seed, **clips.row_options),
            processor,
            eval_dataset=clips.compared[HELD_OUT],
            recipe=PARSER.given_options(arguments, parsed),
            data_options=vars(script_args) | vars(model_args) | split,
        )
    train_and_save(trainer, PROGRAM)
    model, rows = trainer.unwrapped_model.cpu().eval(), clips.compared
    found = {name: reconstruct_clips(model, processor, rows[name], f"{name} frames") for name in PARTS}
    figures = {}
    for name, part in found.items():
        figures[f"{name}: Vid-LLM"] = clip_figures(part)
        figures[f"{name}: median depth, mean pose"] = clip_figures(prior_of(part, found[TRAINED]))
    frames = {name: [rows[name][number].frames[0] for number in shown(len(rows[name]))] for name in PARTS}
    draw_scene(output / "scene.png", found, frames, clips.clips_of_blocks)
    counts = clips.frames_of_parts
    return {
        "scene": rows[TRAINED].scene_table.scene_ids[0].split("@")[0],
        "seed": seed,
        **split,
        "frames_of_a_clip": script_args.num_frames,
        "trained_clips": len(rows[TRAINED]),
        "held_out_clips": len(rows[HELD_OUT]),
        "trained_frames": counts[TRAINED],
        "held_out_frames": counts[HELD_OUT],
        "left_out_frames": clips.num_frames - sum(counts.values()),
        "steps": trainer.state.global_step,
        "samples_per_step": training_args.samples_per_step,
        "figures": figures,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__.split("\n")[0],
        epilog="Any other flag goes to `igep joint`: --max_steps, --num_frames (of a clip), --vision_name_or_path, "
        "...",
        allow_abbrev=False,
    )
    parser.add_argument("--scene", required=True, help="folder of one posed RGB-D scene, as `igep check` reads them")
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/vid_llm_scene"), help="folder for everything written"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the run")
    parser.add_argument("--held_out_blocks", type=int, default=2, help="blocks of time that are held out")
    parser.add_argument("--held_out_fraction", type=float, default=0.2, help="share of the frames that they hold")
    parser.add_argument("--dropped_frames", type=int, default=2, help="frames left out beside a held-out block")
    options, overrides = parser.parse_known_args(arguments)
    split = {name: vars(options)[name] for name in ("held_out_blocks", "held_out_fraction", "dropped_frames")}
    begin = time.perf_counter()
    output = options.output.resolve()
    results = compare(options.scene, output, options.seed, split, overrides)
    results["seconds"] = round(time.perf_counter() - begin, 1)
    table = markdown_table(as_rows(results["figures"]))
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (output / "results.md").write_text(table + "\n")
    counted = {name: results[f"{name}_frames"] for name in ("trained", "held_out", "left_out")}
    print(
        f"\n{results['scene']}: {counted['trained']} frames trained on, {counted['held_out']} held out, "
        f"{counted['left_out']} between them or in no clip of {results['frames_of_a_clip']}; RGB "
        f"only\n\n{table}\n\n{results['seconds']:.0f} s in all. In {options.output}: results.json, results.md, "
        "scene.png"
    )


if __name__ == "__main__":
    main()
