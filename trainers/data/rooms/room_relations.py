"""Relations of a room's objects in the aligned world of `room_scans`: distances, sides, what is seen further left."""

import math
from collections.abc import Sequence

import numpy as np

from igep.trainers.data.rooms.room_scans import RoomObject


MIN_GAP_METRES = 0.3  # between two distances, before one is called the shorter
MIN_TANGENT_GAP = 0.08  # between two directions from the first camera, before one is called further left
MIN_TURN_DEGREES = 20.0  # off straight ahead and straight behind, before something is on a side


def of_shape(objects: Sequence[RoomObject], shape: str) -> list[RoomObject]:
    """Those objects that are of a shape, in order."""
    return [each for each in objects if each.shape == shape]


def centre_distance_metres(one: RoomObject, two: RoomObject) -> float:
    """Between the centres of two boxes."""
    return math.dist(one.box[:3], two.box[:3])


def closest_point_distance_metres(one: RoomObject, two: RoomObject) -> float:
    """Between the closest points of two boxes; 0 where they touch."""
    first, second = np.array(one.box), np.array(two.box)
    apart = np.abs(first[:3] - second[:3]) - (first[3:] + second[3:]) / 2
    return float(np.linalg.norm(apart.clip(0)))


def bearing_degrees(standing_at: RoomObject, facing: RoomObject, target: RoomObject) -> float:
    """Where a target is for someone who stands at one object and faces another, on the floor plane.

    Args:
        standing_at (`RoomObject`), facing (`RoomObject`), target (`RoomObject`): Three objects.

    Returns:
        `float`: 0 is straight ahead, 90 to the right, -90 to the left; in [-180, 180].
    """
    ahead_x, ahead_y, *_ = np.subtract(facing.box[:2], standing_at.box[:2])
    x, y, *_ = np.subtract(target.box[:2], standing_at.box[:2])
    return math.degrees(math.atan2(x * ahead_y - y * ahead_x, x * ahead_x + y * ahead_y))


def side(bearing: float) -> str | None:
    """`left` or `right`; `None` for what is too near to straight ahead or straight behind."""
    if MIN_TURN_DEGREES <= abs(bearing) <= 180 - MIN_TURN_DEGREES:
        return "right" if bearing > 0 else "left"
    return None


def is_left_of(one: RoomObject, two: RoomObject) -> bool | None:
    """Whether one object is seen further left than another from the first camera; `None` where that is hard to say."""
    if min(one.box[1], two.box[1]) <= 0:
        return None
    one_tangent, two_tangent = (each.box[0] / each.box[1] for each in (one, two))
    return None if abs(one_tangent - two_tangent) < MIN_TANGENT_GAP else one_tangent < two_tangent


def clearly_closest(anchor: RoomObject, candidates: Sequence[RoomObject]) -> RoomObject | None:
    """The candidate closest to an object, by centres; `None` without any, or where the next is hardly further."""
    ranked = sorted(candidates, key=lambda each: centre_distance_metres(anchor, each))
    if len(ranked) > 1:
        first, second = (centre_distance_metres(anchor, each) for each in ranked[:2])
        if second - first < MIN_GAP_METRES:
            return None
    return ranked[0] if ranked else None
