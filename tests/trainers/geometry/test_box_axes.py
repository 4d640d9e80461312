"""The description of a box by its axes nearest to the frame's: the same box, turned least, without gimbal lock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.text_boxes import TextBox, box_answer, parse_boxes
from igep.trainers.geometry.box_axes import TURNS, axis_aligned_hull, nearest_axes_box
from igep.trainers.geometry.camera_angles import rotation_angle_degrees, rotation_from_yaw_pitch_roll
from igep.trainers.geometry.oriented_boxes import (
    box_corners,
    box_from_rotation,
    box_iou,
    box_rotation,
    transform_box,
)


ANGLES = st.floats(-180, 180)
BOXES = st.tuples(*[st.floats(-5, 5)] * 3, *[st.floats(0.05, 3)] * 3, *[ANGLES] * 3)


def test_the_turns_are_the_24_of_a_cube():
    assert TURNS.shape == (24, 3, 3)
    assert (TURNS[0] == np.eye(3)).all()
    assert len({matrix.tobytes() for matrix in TURNS + 0.0}) == 24
    assert np.linalg.det(TURNS) == pytest.approx(1)


@given(BOXES)
def test_it_is_the_same_box_turned_by_little(box):
    found = nearest_axes_box(box)
    assert np.abs(box_corners(found)[:, None] - box_corners(box)).max(-1).min(1) == pytest.approx(0, abs=1e-6)
    turned = rotation_angle_degrees(box_rotation(found))
    assert turned <= 62.8
    assert turned <= rotation_angle_degrees(box_rotation(box)) + 1e-4
    assert abs(found[7]) < 63


@given(BOXES, st.sampled_from(range(24)))
def test_every_description_of_a_box_becomes_one(box, number):
    turn = TURNS[number]
    other = box_from_rotation(box[:3], box[3:6] @ np.abs(turn), box_rotation(box) @ turn)
    angles = [rotation_angle_degrees(box_rotation(nearest_axes_box(each))) for each in (box, other)]
    assert angles[0] == pytest.approx(angles[1], abs=1e-3)


@pytest.mark.parametrize("turn", [0, 0.1, -0.1, 1, -1])
def test_an_upright_box_in_a_level_camera_has_small_angles(turn):
    """Described by the world's axes its pitch is 90 degrees, and yaw and roll mean nothing."""
    level = np.array(
        [[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]]
    )  # z of the camera along the world's y
    tilt = np.eye(4)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    tilt[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    camera_from_world = np.linalg.inv(level @ tilt)
    box = transform_box([1, 3, 0.5, 0.4, 0.6, 1.0], camera_from_world)
    assert abs(box[7]) > 88
    found = nearest_axes_box(box)
    assert found[6:] == pytest.approx([0, -turn, 0], abs=1e-6)
    assert found[3:6] == pytest.approx([0.4, 1.0, 0.6])  # width, height, and what lies along the line of sight


@pytest.mark.parametrize("pitch", [90, -90])
@pytest.mark.parametrize("roll", [0, 40, -155])
def test_gimbal_lock_loses_nothing(pitch, roll):
    """Carried into a camera and back, at a pitch where yaw and roll are one turn; and written as text in between."""
    box = [0.3, -0.2, 2.5, 0.4, 0.8, 1.2, 25, pitch, roll]
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_yaw_pitch_roll(25, pitch, roll)
    pose[:3, 3] = [1, 2, 3]
    for target_from_source in (pose, np.linalg.inv(pose), np.eye(4)):
        there = transform_box(box, target_from_source)
        back = transform_box(there, np.linalg.inv(target_from_source))
        assert box_corners(back) == pytest.approx(box_corners(box), abs=1e-6)
        for described in (there, nearest_axes_box(there)):
            (read,) = parse_boxes(box_answer([TextBox(0, tuple(described.tolist()))]), 1).boxes
            assert box_iou(read.box, there) > 0.95


@given(BOXES)
def test_the_hull_holds_the_box(box):
    hull = axis_aligned_hull(box)
    corners = box_corners(box)
    assert hull[:3] - hull[3:] / 2 == pytest.approx(corners.min(0))
    assert hull[:3] + hull[3:] / 2 == pytest.approx(corners.max(0))
    assert axis_aligned_hull(box[:6]).tolist() == list(box[:6])


@pytest.mark.parametrize("box", [(1, 2, 3), (0, 0, 0, 1, 1, -1), (0, 0, float("nan"), 1, 1, 1)])
def test_no_box(box):
    for function in (nearest_axes_box, axis_aligned_hull):
        with pytest.raises(ValueError, match="box"):
            function(box)


def test_cubes_turned_by_a_quarter_are_what_they_were():
    assert box_iou(nearest_axes_box([0, 0, 2, 1, 1, 1, 90, 0, 0]), [0, 0, 2, 1, 1, 1]) == pytest.approx(1)
    assert nearest_axes_box([0, 0, 2, 1, 2, 3, 90, 0, 0]) == pytest.approx([0, 0, 2, 3, 2, 1, 0, 0, 0])
