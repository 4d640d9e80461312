"""Questions to someone who stands in a room, as SQA3D's two files hold them."""

import random
from collections.abc import Iterator
from itertools import chain, permutations
from typing import Any

import numpy as np

from igep.trainers.data.rooms.family_draws import draw_from_families
from igep.trainers.data.rooms.room_relations import (
    MIN_GAP_METRES,
    bearing_degrees,
    centre_distance_metres,
    side,
)
from igep.trainers.data.rooms.room_scans import RoomObject, RoomScan


BEHIND_DEGREES = 135.0  # from here on something is behind
SEEN_DEGREES = 35.0  # up to here it is seen, ...
UNSEEN_DEGREES = 55.0  # ... from here on it is not; between the two nobody asks
Asked = tuple[RoomObject, RoomObject, str, str]  # standing at, facing, question, answer


def sqa3d_entries(
    scan: RoomScan, first_id: int, count: int, rng: random.Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Entries of `v1_balanced_questions_<split>_scannetv2.json` and of the annotations beside it, about one room.

    Args:
        scan (`RoomScan`): The room.
        first_id (`int`): Id of the first question; the others follow.
        count (`int`): At most so many.
        rng (`random.Random`): Source of randomness.

    Returns:
        `tuple[list[dict], list[dict]]`: Questions and annotations, of all of SQA3D's types where the room offers them.
    """
    situations = list(permutations(scan.objects, 2))
    by_situation = [_asked(scan, standing_at, facing) for standing_at, facing in situations]
    families = [list(chain(*family)) for family in zip(*by_situation, strict=True)]
    drawn = draw_from_families(families, count, rng, lambda asked: asked[3])  # answers equally often
    questions, annotations = [], []
    for question_id, (standing_at, facing, question, answer) in enumerate(drawn, first_id):
        questions.append(
            {
                "scene_id": scan.scene_id,
                "situation": f"I am standing by the {standing_at.name} facing the {facing.name}.",
                "alternative_situation": [
                    f"The {facing.name} is in front of me, the {standing_at.name} is where I am standing.",
                ],
                "question": question,
                "question_id": question_id,
            }
        )
        annotations.append(
            {
                "scene_id": scan.scene_id,
                "question_type": "N/A",
                "answer_type": "other",
                "question_id": question_id,
                "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": 1}],
                **_pose(standing_at, facing),
            }
        )
    return questions, annotations


def _pose(standing_at: RoomObject, facing: RoomObject) -> dict[str, dict[str, float]]:
    """Position, and rotation about the vertical axis as a quaternion, of someone whose own y axis points ahead."""
    x, y = np.subtract(facing.box[:2], standing_at.box[:2])
    half = np.arctan2(-x, y) / 2
    rotation = {"_x": 0.0, "_y": 0.0, "_z": float(np.sin(half)), "_w": float(np.cos(half))}
    return {"rotation": rotation, "position": dict(zip("xyz", (*standing_at.box[:2], 0.0), strict=True))}


def _asked(scan: RoomScan, standing_at: RoomObject, facing: RoomObject) -> Iterator[list[Asked]]:
    """Per family what can be asked in one situation: what, is, how, can, which, where."""
    others = [each for each in scan.objects if each not in (standing_at, facing)]
    bearings = {each.name: bearing_degrees(standing_at, facing, each) for each in others}
    places = {each.name: _place(bearings[each.name]) for each in others}
    families: list[list[tuple[str, str]]] = [
        [
            (f"What is {words}?", names[0])
            for place, words in (("left", "on my left"), ("right", "on my right"), ("behind", "behind me"))
            if len(names := [name for name, own in places.items() if own == place]) == 1
        ],
        [
            (f"Is the {name} on my left or on my right?", own_side)
            for name, bearing in bearings.items()
            if (own_side := side(bearing)) is not None
        ],
        [
            (f"How many objects are {words}?", f"{sum(own == place for own in places.values())}")
            for place, words in (("left", "on my left"), ("right", "on my right"), ("behind", "behind me"))
            if others
        ],
        [
            (f"Can I see the {name} without turning?", "yes" if abs(bearing) <= SEEN_DEGREES else "no")
            for name, bearing in bearings.items()
            if not SEEN_DEGREES < abs(bearing) < UNSEEN_DEGREES
        ],
        [
            (f"Which is closer to me, the {one.name} or the {two.name}?", closer.name)
            for one, two in permutations([facing, *others], 2)
            if (closer := _closer(standing_at, one, two)) is not None
        ],
        [(f"Where is the {name}?", place) for name, place in places.items()],
    ]
    for family in families:
        yield [(standing_at, facing, question, answer) for question, answer in family]


def _place(bearing: float) -> str:
    if abs(bearing) >= BEHIND_DEGREES:
        return "behind"
    if abs(bearing) <= 180 - BEHIND_DEGREES:
        return "in front"
    return "right" if bearing > 0 else "left"


def _closer(standing_at: RoomObject, one: RoomObject, two: RoomObject) -> RoomObject | None:
    first, second = (centre_distance_metres(standing_at, each) for each in (one, two))
    if abs(first - second) < MIN_GAP_METRES:
        return None
    return one if first < second else two
