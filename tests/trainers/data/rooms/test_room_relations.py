import pytest

from igep.trainers.data.rooms.room_relations import (
    bearing_degrees,
    clearly_closest,
    closest_point_distance_metres,
    is_left_of,
    of_shape,
    side,
)
from igep.trainers.data.rooms.room_scans import RoomObject


def thing(x, y, size=0.5, shape="box", object_id=0):
    return RoomObject(object_id, shape, "red", (x, y, size / 2, size, size, size))


@pytest.mark.parametrize(
    ("target", "bearing", "on"),
    [
        ((0, 5), 0, None),
        ((2, 2), 45, "right"),
        ((3, 0), 90, "right"),
        ((-3, 0), -90, "left"),
        ((0.1, -5), 178.9, None),
        ((-1, -1), -135, "left"),
    ],
)
def test_bearings_turn_to_the_right(target, bearing, on):
    """Someone stands at the origin and faces y."""
    found = bearing_degrees(thing(0, 0), thing(0, 1), thing(*target))
    assert found == pytest.approx(bearing, abs=0.1)
    assert side(found) == on


def test_bearings_do_not_depend_on_the_place_and_turn_of_the_room():
    standing, facing, target = (1.0, 2.0), (3.0, 2.5), (0.5, -1.0)
    turned = [(-y + 4, x - 7) for x, y in (standing, facing, target)]
    one = bearing_degrees(*(thing(*place) for place in (standing, facing, target)))
    assert bearing_degrees(*(thing(*place) for place in turned)) == pytest.approx(one)


def test_closest_points_of_boxes():
    assert closest_point_distance_metres(thing(0, 0), thing(2, 0)) == pytest.approx(1.5)
    assert closest_point_distance_metres(thing(0, 0), thing(3.5, 4.5)) == pytest.approx(5)  # 3 and 4 between corners
    assert closest_point_distance_metres(thing(0, 0), thing(0.2, 0.1)) == 0


def test_the_closest_is_named_only_where_it_is_clear():
    near, next_to_it, far = thing(1, 0, object_id=1), thing(1.2, 0, object_id=2), thing(4, 0, object_id=3)
    assert clearly_closest(thing(0, 0), [far, near]) == near
    assert clearly_closest(thing(0, 0), [near, next_to_it, far]) is None
    assert clearly_closest(thing(0, 0), [far]) == far
    assert clearly_closest(thing(0, 0), []) is None


def test_left_and_right_are_those_of_the_picture():
    assert is_left_of(thing(-1, 2), thing(1, 2)) is True
    assert is_left_of(thing(2, 4), thing(1.5, 2)) is True  # further right in metres, but not in the picture
    assert is_left_of(thing(1, 2), thing(1.02, 2)) is None
    assert is_left_of(thing(1, -2), thing(3, 2)) is None  # behind the camera


def test_objects_of_a_shape_in_order():
    things = [thing(0, 0), thing(1, 0, shape="sphere"), thing(2, 0)]
    assert of_shape(things, "box") == [things[0], things[2]]
