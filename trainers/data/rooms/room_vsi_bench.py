"""Questions about the video of a room in the form of VSI-Bench: how many, how far, how large, and where."""

import random
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import av
import numpy as np

from igep.trainers.data.rooms.family_draws import draw_from_families
from igep.trainers.data.rooms.room_questions import PLURALS
from igep.trainers.data.rooms.room_relations import (
    MIN_GAP_METRES,
    MIN_TURN_DEGREES,
    bearing_degrees,
    closest_point_distance_metres,
    of_shape,
    side,
)
from igep.trainers.data.rooms.room_scans import RoomScan


DATASET = "rooms"  # in place of scannet, scannetpp and arkitscenes; the folder of the videos
BACK_DEGREES = 135.0  # from here on something is at one's back, as the benchmark has it
SIZE_STEP_CENTIMETRES = 10
FRAMES_PER_SECOND = 2
QUALITY = 12  # constant rate factor of H.264: hardly a loss at 64 pixels
Asked = tuple[str, str, list[str] | None, str]  # question type, question, choices, the true choice or number


def vsi_bench_entries(scan: RoomScan, first_id: int, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Lines of VSI-Bench's file about one room; of its eight tasks all but routes and the order of appearance.

    Args:
        scan (`RoomScan`): The room.
        first_id (`int`): Id of the first question; the others follow.
        count (`int`): At most so many.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list[dict]`
    """
    families = (_counting(scan), _distance(scan), _size(scan), _room_size(scan), _direction(scan), _closest(scan))
    drawn = draw_from_families(families, count, rng, lambda asked: f"{asked[0]} {asked[3]}")  # answers equally often
    entries = []
    for number, (question_type, question, choices, truth) in enumerate(drawn, first_id):
        options = None
        if choices is not None:
            shuffled = rng.sample(choices, len(choices))
            options = [f"{letter}. {choice}" for letter, choice in zip("ABCD", shuffled, strict=False)]
            truth = "ABCD"[shuffled.index(truth)]
        entries.append(
            {
                "id": number,
                "dataset": DATASET,
                "scene_name": scan.scene_id,
                "question_type": question_type,
                "question": question,
                "options": options,
                "ground_truth": truth,
            }
        )
    return entries


def write_room_video(path: str | Path, frames: np.ndarray) -> None:
    """Write the frames of a room as a video.

    Args:
        path (`str | Path`): File to write, `.mp4`.
        frames (`np.ndarray`): (F, H, W, 3) uint8 RGB.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": f"{QUALITY}"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _counting(scan: RoomScan) -> list[Asked]:
    counts = {plural: len(of_shape(scan.objects, shape)) for shape, plural in PLURALS.items()}
    return [
        ("object_counting", f"How many {plural} are in this room?", None, f"{count}")
        for plural, count in counts.items()
        if count
    ]


def _distance(scan: RoomScan) -> list[Asked]:
    start = "Measuring from the closest point of each object, what is the distance between"
    distances = {pair: closest_point_distance_metres(*pair) for pair in permutations(scan.objects, 2)}
    return [
        ("object_abs_distance", f"{start} the {one.name} and the {two.name} in metres?", None, f"{metres:.1f}")
        for (one, two), metres in distances.items()
        if metres >= MIN_GAP_METRES
    ]


def _size(scan: RoomScan) -> list[Asked]:
    question = "What is the length of the longest dimension of the {name}, measured in centimetres?"
    asked = []
    for each in scan.objects:
        steps = round(100 * max(each.box[3:]) / SIZE_STEP_CENTIMETRES)
        truth = f"{steps * SIZE_STEP_CENTIMETRES}"
        asked.append(("object_size_estimation", question.format(name=each.name), None, truth))
    return asked


def _room_size(scan: RoomScan) -> list[Asked]:
    question = "What is the size of this room in square metres?"
    return [("room_size_estimation", question, None, f"{scan.floor_square_metres:.0f}")]


def _direction(scan: RoomScan) -> list[Asked]:
    asked: list[Asked] = []
    for standing_at, facing, target in permutations(scan.objects, 3):
        bearing = bearing_degrees(standing_at, facing, target)
        start = f"If I am standing by the {standing_at.name} and facing the {facing.name}, is the {target.name} to my"
        behind = abs(bearing) >= BACK_DEGREES
        own_side = side(bearing)
        if own_side is not None:
            asked.append(("object_rel_direction_easy", f"{start} left or right?", ["left", "right"], own_side))
        if own_side is not None or behind:
            truth = "back" if behind else str(own_side)
            question = f"{start} left, right or back?"
            asked.append(("object_rel_direction_medium", question, ["left", "right", "back"], truth))
        if own_side is not None and abs(abs(bearing) - 90) >= MIN_TURN_DEGREES:
            quarters = [f"{end} {hand}" for end in ("front", "back") for hand in ("left", "right")]
            truth = f"{'front' if abs(bearing) < 90 else 'back'} {own_side}"
            asked.append(("object_rel_direction_hard", f"{start} front or back, left or right?", quarters, truth))
    return asked


def _closest(scan: RoomScan) -> list[Asked]:
    asked: list[Asked] = []
    for anchor in scan.objects:
        others = [each for each in scan.objects if each != anchor]
        distances = {each.name: closest_point_distance_metres(anchor, each) for each in others}
        nearest: Sequence[str] = sorted(distances, key=lambda name: distances[name])
        if len(nearest) > 1 and distances[nearest[1]] - distances[nearest[0]] >= MIN_GAP_METRES:
            question = f"Measuring from the closest point of each object, which is the closest to the {anchor.name}?"
            asked.append(("object_rel_distance", question, list(distances), nearest[0]))
    return asked
