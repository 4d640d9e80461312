"""Questions about a room as ScanQA's annotation file holds them."""

import random
from itertools import permutations
from typing import Any

from igep.trainers.data.rooms.family_draws import draw_from_families
from igep.trainers.data.rooms.room_questions import PLURALS
from igep.trainers.data.rooms.room_relations import clearly_closest, of_shape
from igep.trainers.data.rooms.room_scans import RoomObject, RoomScan


MIN_HEIGHT_GAP_METRES = 0.15  # before one object is called the taller
Asked = tuple[str, list[str], list[RoomObject]]  # question, answers, objects that the answer is about


def scanqa_entries(scan: RoomScan, split: str, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Entries of `ScanQA_v1.0_<split>.json` about one room: colours, shapes, numbers, what is closest, what is taller.

    Args:
        scan (`RoomScan`): The room.
        split (`str`): `train` or `val`; ids begin with it.
        count (`int`): At most so many.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list[dict]`: With `answers`, the first the shortest, and the ids of the objects that they are about.
    """
    families = (_colours(scan), _shapes(scan), _counts(scan), _closest(scan), _taller(scan))
    drawn = draw_from_families(families, count, rng, lambda asked: asked[1][0])  # answers equally often
    return [
        {
            "answers": answers,
            "object_ids": [each.object_id for each in objects],
            "object_names": [each.shape for each in objects],
            "question": question,
            "question_id": f"{split}-{scan.scene_id.removesuffix('_00')}-{number}",
            "scene_id": scan.scene_id,
        }
        for number, (question, answers, objects) in enumerate(drawn)
    ]


def _colours(scan: RoomScan) -> list[Asked]:
    return [
        (f"What colour is the {each.shape}?", [each.colour, f"it is {each.colour}"], [each])
        for each in scan.objects
        if len(of_shape(scan.objects, each.shape)) == 1
    ]


def _shapes(scan: RoomScan) -> list[Asked]:
    return [(f"What shape is in {each.colour}?", [each.shape, f"a {each.shape}"], [each]) for each in scan.objects]


def _counts(scan: RoomScan) -> list[Asked]:
    found = ((plural, of_shape(scan.objects, shape)) for shape, plural in PLURALS.items())
    return [
        (f"How many {plural} are there?", [f"{len(objects)}", f"there are {len(objects)}"], objects)
        for plural, objects in found
        if objects
    ]


def _closest(scan: RoomScan) -> list[Asked]:
    asked = []
    for anchor in scan.objects:
        others = [each for each in scan.objects if each != anchor]
        closest = clearly_closest(anchor, others) if len(others) > 1 else None
        if closest is not None:
            asked.append((f"What is closest to the {anchor.name}?", _named(closest), [closest]))
    return asked


def _taller(scan: RoomScan) -> list[Asked]:
    return [
        (f"Which is taller, the {one.name} or the {two.name}?", _named(max(one, two, key=_height)), [one, two])
        for one, two in permutations(scan.objects, 2)
        if abs(_height(one) - _height(two)) >= MIN_HEIGHT_GAP_METRES
    ]


def _named(each: RoomObject) -> list[str]:
    return [each.name, f"the {each.name}"]


def _height(each: RoomObject) -> float:
    return each.box[5]
