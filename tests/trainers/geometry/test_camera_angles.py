"""Signs, order and limits of the one angle convention, against rotations written out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.geometry.camera_angles import (
    direction_angle_degrees,
    rotation_angle_degrees,
    rotation_from_yaw_pitch_roll,
    yaw_pitch_roll_from_rotation,
)


FORWARD, RIGHT, DOWN = np.array([0, 0, 1.0]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
ANGLES = st.floats(-179.9, 179.9)
PITCHES = st.floats(-89.9, 89.9)


def test_the_released_example_composes_to_its_angle():
    assert rotation_angle_degrees(rotation_from_yaw_pitch_roll(89.6007, 2.5987, 6.0723)) == pytest.approx(
        89.6547, abs=5e-5
    )


def test_signs():
    assert (rotation_from_yaw_pitch_roll(30, 0, 0) @ FORWARD)[0] == pytest.approx(0.5)  # turned right
    assert (rotation_from_yaw_pitch_roll(0, 30, 0) @ FORWARD)[1] == pytest.approx(-0.5)  # looks up: y points down
    assert (rotation_from_yaw_pitch_roll(0, 0, 30) @ RIGHT)[1] == pytest.approx(0.5)  # the right wing goes down
    np.testing.assert_allclose(rotation_from_yaw_pitch_roll(90, 0, 0) @ FORWARD, RIGHT, atol=1e-12)
    np.testing.assert_allclose(rotation_from_yaw_pitch_roll(0, 0, 90) @ RIGHT, DOWN, atol=1e-12)


def turn(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about x, y or z by the right-hand rule, written out."""
    one, two = (axis + 1) % 3, (axis + 2) % 3
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[one, one, two, two], [one, two, one, two]] = cosine, -sine, sine, cosine
    return matrix


@given(ANGLES, ANGLES, ANGLES)
def test_agrees_with_turns_written_out(yaw, pitch, roll):
    ours = rotation_from_yaw_pitch_roll(yaw, pitch, roll)
    np.testing.assert_allclose(ours, turn(1, yaw) @ turn(0, pitch) @ turn(2, roll), atol=1e-12)
    cosine = np.clip((np.trace(ours) - 1) / 2, -1, 1)
    assert np.cos(np.radians(rotation_angle_degrees(ours))) == pytest.approx(cosine, abs=1e-9)


@given(ANGLES, PITCHES, ANGLES)
def test_round_trip(yaw, pitch, roll):
    back = yaw_pitch_roll_from_rotation(rotation_from_yaw_pitch_roll(yaw, pitch, roll))
    np.testing.assert_allclose(back, [yaw, pitch, roll], atol=1e-6)


@pytest.mark.parametrize("pitch", [90, -90])
def test_gimbal_lock_gives_the_same_rotation(pitch):
    rotation = rotation_from_yaw_pitch_roll(25, pitch, 40)
    yaw, found, roll = yaw_pitch_roll_from_rotation(rotation)
    assert found == pytest.approx(pitch)
    assert roll == 0
    np.testing.assert_allclose(rotation_from_yaw_pitch_roll(yaw, found, roll), rotation, atol=1e-6)


@pytest.mark.parametrize("angle", [0, 1e-6, 1e-3, 45, 179.999999, 180])
def test_rotation_angle_is_exact_at_both_ends(angle):
    assert rotation_angle_degrees(rotation_from_yaw_pitch_roll(angle, 0, 0)) == pytest.approx(angle, abs=1e-9)


def test_a_pose_is_taken_for_its_rotation():
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_yaw_pitch_roll(10, 20, 30)
    pose[:3, 3] = 7
    np.testing.assert_allclose(yaw_pitch_roll_from_rotation(pose), [10, 20, 30])


@pytest.mark.parametrize(
    ("second", "angle"), [([2, 0, 0], 0), ([0, 5, 0], 90), ([-1, 0, 0], 180), ([1, 1e-7, 0], np.degrees(1e-7))]
)
def test_direction_angle(second, angle):
    assert direction_angle_degrees([1, 0, 0], second) == pytest.approx(angle, abs=1e-12)
    assert direction_angle_degrees([1e200, 0, 0], second) == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize("matrix", [np.eye(2), 2 * np.eye(3), -np.eye(3), np.full((3, 3), np.nan), np.zeros((3, 3))])
def test_what_does_not_rotate_is_refused(matrix):
    with pytest.raises(ValueError, match="rotation"):
        rotation_angle_degrees(matrix)
    with pytest.raises(ValueError, match="rotation"):
        yaw_pitch_roll_from_rotation(matrix)


@pytest.mark.parametrize("vector", [[0, 0, 0], [np.nan, 0, 1], [1, 2]])
def test_what_points_nowhere_is_refused(vector):
    with pytest.raises(ValueError, match="no direction"):
        direction_angle_degrees([1, 0, 0], vector)
