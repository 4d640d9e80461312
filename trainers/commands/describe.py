"""`igep describe`: what a 3D teacher says of some scenes' frames, written once for every training that reads it."""

import argparse
import sys
from collections.abc import Sequence


TRANSFORMS = ("resize", "centre_square")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `igep describe` command.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0; 130 if it was interrupted.

    Raises:
        ValueError: A bad option, a folder that holds descriptors of another teacher, or scenes that cannot be read.
        ModuleNotFoundError: The teacher's package is not installed.
        OSError: A file cannot be read or written.
    """
    options = _parser().parse_args(arguments)
    # Imported here: loading torch takes seconds, and `--help` needs none of it.
    from tqdm import tqdm

    from igep.trainers.commands.describe_frames import DescribePlan, describe_scenes
    from igep.trainers.data.load_scenes import SceneSource, load_scenes
    from igep.trainers.data.scenes.scene_frames import split_into_clips
    from igep.trainers.data.scenes.scene_table import SceneTable

    reading = {
        name: value
        for name, value in vars(options).items()
        if name in ("metres_per_depth_unit", "depth_kind", "frame_stride") and value is not None
    }
    if options.dataset == "hub" and reading:
        raise ValueError(
            f"--{next(iter(reading))} is for --dataset scannet: tables of the Hub say themselves how they are read."
        )
    plan = DescribePlan(
        teacher=options.teacher,
        name=options.teacher_name_or_path,
        layer=options.teacher_layer,
        frame_size=options.teacher_frame_size,
        frames_per_pass=options.frames_per_pass,
        clip_frames=options.clip_frames,
        transform=options.transform,
    )
    scenes, _ = load_scenes(SceneSource(dataset=options.dataset, dataset_path=options.dataset_path, **reading))
    if options.clip_frames is not None:
        scenes = split_into_clips(scenes, options.clip_frames)
    table = SceneTable(scenes)
    described = found = 0
    try:
        with tqdm(total=len(table), desc="describing", unit="scene") as bar:
            for frames, was_there in describe_scenes(table, plan, options.output, options.device):
                described += frames
                found += was_there
                bar.update(1)
    except KeyboardInterrupt:
        print(
            "igep describe: interrupted. The same command goes on after the scenes that are written.", file=sys.stderr
        )
        return 130
    print(f"{len(table)} scenes, {described} frames described, {found} scenes were there already.")
    print(
        f"Train on them with teacher: precomputed, teacher_name_or_path: {options.output}, teacher_transform: "
        f"{options.transform}."
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="igep describe",
        description="Run a frozen 3D teacher on every frame of some scenes and write its descriptors, which training "
        "reads with `teacher: precomputed` and without the teacher's package. Goes on where it was interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--teacher",
        required=True,
        choices=("vggt", "vggt_patch_encoder", "depth_anything_3", "map_anything", "backbone"),
        help="who describes",
    )
    parser.add_argument("--teacher_name_or_path", help="Hub id or folder of its weights (default: the teacher's own)")
    parser.add_argument("--teacher_layer", type=int, help="which of its layers (default: its final output)")
    parser.add_argument(
        "--teacher_frame_size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="of the frames that it looks at"
    )
    parser.add_argument("--dataset", choices=("scannet", "hub"), default="scannet", help="format (default: scannet)")
    parser.add_argument("--dataset_path", required=True, help="scenes, as in the recipe that will train on them")
    parser.add_argument("--metres_per_depth_unit", type=float, help="scannet: as for training")
    parser.add_argument("--depth_kind", choices=("z", "euclidean"), help="scannet: as for training")
    parser.add_argument("--frame_stride", type=int, help="scannet: as for training")
    parser.add_argument("--clip_frames", type=int, help="as for training: each clip is described by itself")
    parser.add_argument(
        "--frames_per_pass",
        type=int,
        default=32,
        help="frames of a scene that a multi-view teacher sees together, spread over the scene (default: 32)",
    )
    parser.add_argument(
        "--transform",
        choices=TRANSFORMS,
        default="resize",
        help="what is done to frames first: whole frames are resized, or their centre square is cut out, as for a "
        "model with centre_crop (default: resize)",
    )
    parser.add_argument("--device", help="where the teacher runs (default: the accelerator, if there is one)")
    parser.add_argument("--output", required=True, help="folder of the descriptors")
    return parser
