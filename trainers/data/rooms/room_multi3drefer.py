"""Descriptions of no, one or several objects as Multi3DRefer's annotation file holds them."""

import random
from collections.abc import Sequence
from typing import Any

from igep.trainers.data.rooms.family_draws import draw_from_families
from igep.trainers.data.rooms.room_questions import PLURALS
from igep.trainers.data.rooms.room_relations import is_left_of, of_shape
from igep.trainers.data.rooms.room_renderer import COLOURS
from igep.trainers.data.rooms.room_scans import RoomObject, RoomScan


Told = tuple[
    str, list[RoomObject], bool
]  # description, the objects that are meant, whether others of their kind are there


def multi3drefer_entries(scan: RoomScan, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Entries of `multi3drefer_<split>.json` about one room; none, one and several objects are meant equally often.

    Args:
        scan (`RoomScan`): The room.
        count (`int`): At most so many.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list[dict]`: With `eval_type`: `zt_wo_d`, `zt_w_d`, `st_wo_d`, `st_w_d` or `mt`.
    """
    by_form = (_named(scan), _absent(scan), _of_one_shape(scan), _beside(scan))
    told = [(form, *each) for form, entries in enumerate(by_form) for each in entries]
    none, one, several = ([each for each in told if min(len(each[2]), 2) == meant] for meant in range(3))
    drawn = draw_from_families((none, one, several), count, rng, lambda each: each[0])
    return [
        {
            "scene_id": scan.scene_id,
            "object_ids": [each.object_id for each in objects],
            "object_name": objects[0].shape if objects else "object",
            "ann_id": ann_id,
            "eval_type": _eval_type(objects, has_distractors),
            "description": description,
            "spatial": " of the " in description,
            "color": " in " in description,
            "texture": False,
            "shape": True,
        }
        for ann_id, (_, description, objects, has_distractors) in enumerate(drawn)
    ]


def _eval_type(objects: Sequence[RoomObject], has_distractors: bool) -> str:
    if len(objects) > 1:
        return "mt"
    return f"{'st' if objects else 'zt'}_{'w' if has_distractors else 'wo'}_d"


def _named(scan: RoomScan) -> list[Told]:
    return [(f"this is the {each.name}", [each], len(of_shape(scan.objects, each.shape)) > 1) for each in scan.objects]


def _absent(scan: RoomScan) -> list[Told]:
    """Objects that are not there: another colour of a shape, or a shape that the room does not have."""
    present = {each.name for each in scan.objects}
    return [
        (f"this is the {shape} in {colour}", [], bool(of_shape(scan.objects, shape)))
        for shape in PLURALS
        for colour in COLOURS
        if f"{shape} in {colour}" not in present
    ]


def _of_one_shape(scan: RoomScan) -> list[Told]:
    return [(f"these are all {plural}", of_shape(scan.objects, shape), False) for shape, plural in PLURALS.items()]


def _beside(scan: RoomScan) -> list[Told]:
    """What is seen further left or right than an object, from the first camera."""
    told = []
    for anchor in scan.objects:
        others = [each for each in scan.objects if each != anchor]
        sides = [is_left_of(each, anchor) for each in others]
        if None not in sides:
            left = [each for each, is_left in zip(others, sides, strict=True) if is_left]
            right = [each for each in others if each not in left]
            told += [
                (f"these are all objects {word} of the {anchor.name}", found, len(found) < len(others))
                for word, found in (("left", left), ("right", right))
            ]
    return told
