"""`igep prepare`: a download of scans becomes tables that training and scoring read."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from igep.trainers.data.prepared_scenes import SceneReport


SHOWN_NOTES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `igep prepare`.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 0; 130 if it was interrupted.

    Raises:
        ValueError: A bad option, a folder that holds something else, or not one scene that can be read.
        OSError: A file cannot be read or written.
    """
    options = _parser().parse_args(arguments)
    # Imported here: loading datasets takes seconds, and `--help` needs none of it.
    from datasets import disable_progress_bars
    from tqdm import tqdm

    from igep.trainers.data.prepared_scenes import PreparePlan, prepare_scannet
    from igep.trainers.data.scannet_tree import ScanNetTree

    disable_progress_bars()  # a bar for each file, across the one of the scenes
    scene_ids = _scene_ids(options) or ScanNetTree(options.root).scene_ids()
    plan = PreparePlan(
        root=str(Path(options.root).absolute()),
        scene_ids=scene_ids,
        object_box_file=options.object_box_file,
        proposal_box_file=options.proposal_box_file,
        num_frames=options.num_frames,
        frame_sampling=options.frame_sampling,
        scenes_per_shard=options.scenes_per_shard,
    )
    reports: list[SceneReport] = []
    try:
        with tqdm(total=len(plan.scene_ids), desc="preparing", unit="scene") as bar:
            for shard in prepare_scannet(plan, options.out, retry_left_out=options.retry_left_out):
                reports += shard
                bar.update(len(shard))
    except KeyboardInterrupt:
        print(f"igep prepare: interrupted. The same command goes on after {len(reports)} scenes.", file=sys.stderr)
        return 130
    print(format_prepared(reports))
    print(f"Written to {options.out}: train on it with dataset_path: {options.out}; report.json has all of the above.")
    return 0


def format_prepared(reports: Sequence["SceneReport"]) -> str:
    """What was written and what was left out, as a table.

    Args:
        reports (`Sequence[SceneReport]`): Of every scene.

    Returns:
        `str`: Lines of text.
    """
    written = [scene for scene in reports if not scene.left_out_because]
    left_out = [scene for scene in reports if scene.left_out_because]
    totals = {
        "scenes": len(written),
        "frames": sum(scene.frames for scene in written),
        "objects": sum(scene.objects for scene in written),
        "proposals": sum(scene.proposals for scene in written),
        "left out": len(left_out),
    }
    without_pose = sum(scene.frames_without_pose for scene in written)
    lines = [" ".join(f"{name:>10}" for name in totals), " ".join(f"{count:>10}" for count in totals.values())]
    if without_pose:
        lines.append(f"Frames left out, for they have no valid pose (tracking failed): {without_pose}")
    if left_out:
        width = max(len(scene.scene_id) for scene in left_out)
        lines += ["", "Left out:"]
        lines += [f"  {scene.scene_id:<{width}}  {' '.join(scene.left_out_because.split())}" for scene in left_out]
    notes = Counter(note for scene in written for note in scene.notes)
    if notes:
        lines += ["", "Of those written:"]
        lines += [f"  {count:>5} x {note}" for note, count in notes.most_common(SHOWN_NOTES)]
        if len(notes) > SHOWN_NOTES:
            lines.append(f"  and {len(notes) - SHOWN_NOTES} other notes")
    return "\n".join(lines)


def _scene_ids(options: argparse.Namespace) -> list[str]:
    if options.scene_list is None:
        return options.scenes or []
    listed = Path(options.scene_list).read_text(encoding="utf-8").split()
    if not listed:
        raise ValueError(f"{options.scene_list}: no scene in it. Write one name a line.")
    return listed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="igep prepare",
        description="Write scans as Parquet shards with frames, depth, poses, boxes and proposals in them. "
        "Interrupted, it goes on where it stopped. Scenes that cannot be read are left out and reported.",
    )
    parser.add_argument("format", choices=("scannet",), help="layout of the download")
    parser.add_argument("--root", required=True, help="folder that holds posed_images/, scans/, mask/")
    parser.add_argument("--out", required=True, help="folder to write to: new, empty, or that of an interrupted run")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--scenes", nargs="+", metavar="SCAN", help="scans to write (default: all that have frames)")
    which.add_argument("--scene_list", "--scene-list", help="text file of scans, such as ScanNet's scannetv2_val.txt")
    parser.add_argument("--num_frames", "--num-frames", type=int, help="frames to keep of each scan (default: all)")
    parser.add_argument(
        "--frame_sampling",
        "--frame-sampling",
        choices=("uniform", "coverage"),
        default="uniform",
        help="keep frames evenly by count, or those that together see most surfaces (default: uniform)",
    )
    parser.add_argument(
        "--object_box_file",
        "--object-box-file",
        help="boxes of objects, such as scannet_train_gt_box.json (default: of meshes)",
    )
    parser.add_argument(
        "--proposal_box_file",
        "--proposal-box-file",
        help="boxes of proposals, such as scannet_val_pred_box.json (default: of mask/)",
    )
    parser.add_argument(
        "--scenes_per_shard", "--scenes-per-shard", type=int, default=4, help="scans of a file (default: 4)"
    )
    parser.add_argument(
        "--retry_left_out",
        "--retry-left-out",
        action="store_true",
        help="write again the files from which a scan was left out",
    )
    return parser
