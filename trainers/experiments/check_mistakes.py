"""Does `igep check` know a mistake when it sees one? Sixty deliberate ones on right scenes, and what it says of each.

    igep check-mistakes                          # on rendered rooms
    igep check-mistakes --scenes path/to/scenes  # on scenes of your own that are right

A mistake is *named* where the check gives its cause, *suspicious* where it says that something is wrong but not what,
*not testable* where it says that this scene cannot show mistakes of this kind, *missed* where it says none of these,
and *wrong cause* where it blames something else. Scenes as they are come first: anything but ok or not testable is a
false alarm.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from igep.trainers.cards.markdown import markdown_table
from igep.trainers.data.rooms.room_renderer import RoomSpec, render_rooms, sample_layout
from igep.trainers.data.scannet import load_scannet
from igep.trainers.experiments.deliberate_mistakes import DELIBERATE_MISTAKES, DeliberateMistake
from igep.trainers.experiments.spoiled_rows import decoded_row
from igep.trainers.scene_check.check_scenes import SceneReport, check_scene


ROOM_FRAMES, ROOM_PIXELS = 24, 160
ROOM_DEPTH_UNIT = 0.0002  # metres
FIRST_ROOM_SEED = 4  # of 0 to 3 some show too little motion for the colour camera's focal length
OUTCOMES = ("named", "suspicious", "not testable", "missed", "wrong cause")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment.

    Args:
        arguments (`Sequence[str]`, *optional*): The command line; that of the process unless given.

    Returns:
        `int`: 1 if an untouched scene raised an alarm or a cause was wrong, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="igep check-mistakes",
        description="Make sixty mistakes on right scenes, and print what `igep check` says of each.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--scenes", nargs="+", help="scene folders, or folders of them, that are right (default: rendered rooms)"
    )
    parser.add_argument("--rooms", type=int, default=1, help="rendered rooms, where no scenes are given (default: 1)")
    parser.add_argument(
        "--room_seed", type=int, default=FIRST_ROOM_SEED, help=f"seed of the first room (default: {FIRST_ROOM_SEED})"
    )
    parser.add_argument(
        "--metres_per_depth_unit",
        type=float,
        help="scale of the depth maps of --scenes (default: 0.001 for whole numbers, 1 for floating-point)",
    )
    parser.add_argument("--only", help="regular expression: the mistakes to make")
    options = parser.parse_args(arguments)
    rows = [walked_room(options.room_seed + room) for room in range(options.rooms)]
    if options.scenes:
        tables = [
            load_scannet(path, metres_per_depth_unit=options.metres_per_depth_unit)[0] for path in options.scenes
        ]
        rows = [row for table in tables for row in table.with_format("arrow")[:].to_pylist()]
    chosen = [
        mistake for mistake in DELIBERATE_MISTAKES if options.only is None or re.search(options.only, mistake.name)
    ]
    rows = [decoded_row(row) for row in rows]
    columns = [row["scene_id"] for row in rows]
    started = time.perf_counter()
    untouched = [check_scene(row) for row in rows]
    seconds = (time.perf_counter() - started) / len(rows)
    alarms = sum(report.verdict in ("wrong", "suspicious") for report in untouched)
    lines = [["untouched", *(report.verdict for report in untouched)]]
    for mistake in chosen:
        lines.append([mistake.name, *(outcome(mistake, row) for row in rows)])
    print(markdown_table([["mistake", *columns], *lines]))
    counts = [Counter(line[column] for line in lines[1:]) for column in range(1, len(columns) + 1)]
    print()
    print(markdown_table([["", *columns], *([name, *(str(count[name]) for count in counts)] for name in OUTCOMES)]))
    print(f"\nFalse alarms on untouched scenes: {alarms}. {seconds:.1f} s for a scene.")
    return int(alarms > 0 or any(count["wrong cause"] for count in counts))


def walked_room(seed: int, num_frames: int = ROOM_FRAMES, image_size: int = ROOM_PIXELS) -> dict[str, Any]:
    """A room that a camera walks through, with intrinsics of the depth camera as ScanNet's layout has them.

    Args:
        seed (`int`): The same seed gives the same room.
        num_frames (`int`, *optional*, defaults to `24`): Frames.
        image_size (`int`, *optional*, defaults to `160`): Width and height in pixels.

    Returns:
        `dict`: Row of `SCENE_FEATURES`, its images in memory.
    """
    spec = RoomSpec(num_frames=num_frames, image_size=image_size)
    generator = torch.Generator().manual_seed(seed)
    rendered = render_rooms(sample_layout(1, spec, generator), spec, generator)
    depth = (rendered.depth_metres[0].double().numpy() / ROOM_DEPTH_UNIT).round().astype(np.uint16)
    intrinsics = [rendered.layout.intrinsics[0].tolist()] * num_frames
    return {
        "scene_id": f"room_{seed}",
        "frame_ids": [f"{frame:05d}" for frame in range(num_frames)],
        "frames": [Image.fromarray(frame) for frame in rendered.frames[0].numpy()],
        "depth": [Image.fromarray(image) for image in depth],
        "metres_per_depth_unit": ROOM_DEPTH_UNIT,
        "depth_kind": "z",
        "intrinsics": intrinsics,
        "depth_intrinsics": intrinsics,
        "colour_from_depth": [],
        "world_from_camera": rendered.layout.world_from_camera[0].tolist(),
        "boxes": [],
    }


def outcome(mistake: DeliberateMistake, row: dict) -> str:
    """What the check makes of a mistake.

    Args:
        mistake (`DeliberateMistake`): The mistake.
        row (`dict`): A right row, its images decoded.

    Returns:
        `str`: One of `OUTCOMES`, or `-` where the mistake changes nothing in this scene.
    """
    spoiled = mistake.make(row)
    return "-" if spoiled is None else judged(mistake, check_scene(spoiled))


def judged(mistake: DeliberateMistake, report: SceneReport) -> str:
    """As `outcome`, of a report.

    Args:
        mistake (`DeliberateMistake`): The mistake.
        report (`SceneReport`): What the check says.

    Returns:
        `str`: One of `OUTCOMES`.
    """
    if report.verdict in ("wrong", "suspicious"):
        causes = re.findall(r"(?:likely|either) .*?(?=; likely|; either|$)", report.reason) or [report.reason]
        if any(re.search(mistake.cause, cause) for cause in causes):
            return (
                "named"
                if all(re.search(f"{mistake.cause}|{mistake.also}", cause) for cause in causes)
                else "wrong cause"
            )
        return "wrong cause" if re.search("likely|either", report.reason) else "suspicious"
    return "not testable" if report.verdict == "not testable" and mistake.kind in report.not_testable else "missed"


if __name__ == "__main__":
    raise SystemExit(main())
