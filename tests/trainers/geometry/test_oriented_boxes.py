"""IoU of boxes against closed forms, Monte Carlo and invariances; the nine numbers against scipy's rotations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from igep.trainers.geometry.oriented_boxes import (
    box_corners,
    box_from_rotation,
    box_iou,
    box_ious,
    box_problem,
    box_rotation,
    transform_box,
)


UNIT = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
PLACES, SIZES, ANGLES = st.floats(-1, 1), st.floats(0.05, 2), st.floats(-180, 180)
BOXES = st.tuples(PLACES, PLACES, PLACES, SIZES, SIZES, SIZES, ANGLES, st.floats(-89, 89), ANGLES).map(np.array)
AWKWARD = st.sampled_from([0.0, 90.0, 180.0, -90.0, 45.0, 30.0, 1e-7, 1e-10])  # faces and edges that all but coincide
AWKWARD_BOXES = st.tuples(
    *[st.sampled_from([0.0, 0.5, 1e-12])] * 3, *[st.sampled_from([0.01, 1.0, 2.0])] * 3, *[AWKWARD] * 3
).map(np.array)


# ---- Nine numbers and rotations


@given(BOXES)
def test_angles_are_intrinsic_y_x_z_of_scipy(box):
    expected = Rotation.from_euler("YXZ", box[6:], degrees=True).as_matrix()
    np.testing.assert_allclose(box_rotation(box), expected, atol=1e-12)


@given(BOXES)
def test_round_trip(box):
    again = box_from_rotation(box[:3], box[3:6], box_rotation(box))
    np.testing.assert_allclose(box_corners(again), box_corners(box), atol=1e-9)
    np.testing.assert_allclose(again[:6], box[:6])
    rotation = Rotation.from_euler("YXZ", again[6:], degrees=True) * Rotation.from_matrix(box_rotation(box)).inv()
    assert rotation.magnitude() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("pitch", [90, -90])
def test_round_trip_in_gimbal_lock(pitch):
    box = np.array([1, 2, 3, 0.5, 1, 2, 25, pitch, 40])
    again = box_from_rotation(box[:3], box[3:6], box_rotation(box))
    np.testing.assert_allclose(box_corners(again), box_corners(box), atol=1e-6)


def test_six_numbers_are_nine_without_angles():
    np.testing.assert_array_equal(box_corners([1, 2, 3, 2, 4, 6]), box_corners([1, 2, 3, 2, 4, 6, 0, 0, 0]))
    np.testing.assert_array_equal(box_corners([1, 2, 3, 2, 4, 6])[[0, 1, 2, 4, 7]], [
        [0, 0, 0], [2, 0, 0], [0, 4, 0], [0, 0, 6], [2, 4, 6],
    ])  # fmt: skip


@given(BOXES, BOXES, st.tuples(ANGLES, ANGLES, ANGLES), st.tuples(PLACES, PLACES, PLACES))
@settings(max_examples=50)
def test_another_frame_moves_the_corners_and_keeps_the_iou(first, second, angles, shift):
    target_from_source = np.eye(4)
    target_from_source[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    target_from_source[:3, 3] = shift
    moved = transform_box(first, target_from_source)
    expected = box_corners(first) @ target_from_source[:3, :3].T + target_from_source[:3, 3]
    np.testing.assert_allclose(box_corners(moved), expected, atol=1e-6)
    assert box_iou(moved, transform_box(second, target_from_source)) == pytest.approx(box_iou(first, second), abs=1e-6)


# ---- IoU


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        (UNIT, UNIT, 1),
        (UNIT, [1, 0, 0, 1, 1, 1], 0),  # they touch
        (UNIT, [5, 0, 0, 1, 1, 1], 0),
        (UNIT, [0.5, 0, 0, 1, 1, 1], 1 / 3),
        (UNIT, [0, 0, 0, 0.5, 0.5, 0.5], 1 / 8),
        (UNIT, [0, 0, 0, 1, 1, 0], 0),  # no volume
        ([0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], 0),
        (UNIT, [0, 0, -0.25, 1, 1, 0.5], 0.5),
        # A square turned by 45 degrees shares an octagon of 2 (sqrt 2 - 1) with the one it was.
        (UNIT, [0, 0, 0, 1, 1, 1, 45, 0, 0], 1 / math.sqrt(2)),
        (UNIT, [0, 0, 0, 1, 1, 1, 0, 45, 0], 1 / math.sqrt(2)),
        (UNIT, [0, 0, 0, 1, 1, 1, 0, 0, 45], 1 / math.sqrt(2)),
        (UNIT, [0, 0, 0, 1, 1, 1, 90, 180, -90], 1),
        ([0, 0, 0, 4, 1, 1], [0, 0, 0, 1, 4, 1, 0, 0, 90], 1),  # the long side turned onto itself
        ([0, 0, 0, 4, 1, 1], [0, 0, 0, 4, 1, 1, 0, 0, 90], 1 / 7),  # a cross
        # The corner of a turned square reaches sqrt(1/2) - 1/2 into its neighbour: a triangle of that height.
        (UNIT, [1, 0, 0, 1, 1, 1, 0, 0, 45], (math.sqrt(0.5) - 0.5) ** 2 / (2 - (math.sqrt(0.5) - 0.5) ** 2)),
        ([0, 0, 0, 3, 3, 3], [0.1, 0.2, -0.1, 1, 1, 1, 30, 40, 50], 1 / 27),  # inside
        ([1000, 1000, 1000, 1, 1, 1], [1000, 1000, 1000, 1, 1, 1, 45, 0, 0], 1 / math.sqrt(2)),
        (UNIT, [0, 0, 0, 1, 1, 1e-6, 45, 0, 0], 0.5e-6),
    ],
)
def test_closed_forms(first, second, iou):
    for a, b in ((first, second), (second, first)):
        tolerance = 1e-9 if iou > 1e-3 or iou == 0 else 2 * iou
        assert box_iou(a, b) == pytest.approx(iou, abs=tolerance)


@given(BOXES, BOXES)
@settings(max_examples=25, deadline=None)
def test_monte_carlo(first, second):
    rng = np.random.default_rng(0)
    points = (rng.random((20_000, 3)) - 0.5) * first[3:6] @ box_rotation(first).T + first[:3]
    inside = (np.abs((points - second[:3]) @ box_rotation(second)) <= second[3:6] / 2).all(1).mean()
    volume, other = first[3:6].prod(), second[3:6].prod()
    shared = box_iou(first, second) * (volume + other) / (1 + box_iou(first, second))
    assert shared / volume == pytest.approx(inside, abs=5 * math.sqrt(0.25 / len(points)))


@given(st.one_of(BOXES, AWKWARD_BOXES), st.one_of(BOXES, AWKWARD_BOXES))
@settings(max_examples=200, deadline=None)
def test_symmetric_and_bounded_by_the_volumes(first, second):
    iou = box_iou(first, second)
    volumes = sorted((first[3:6].prod(), second[3:6].prod()))
    assert box_iou(second, first) == pytest.approx(iou, abs=1e-8)
    assert 0 <= iou <= volumes[0] / volumes[1] + 1e-8
    assert box_iou(first, first) == pytest.approx(1, abs=1e-8)


@given(BOXES, BOXES)
@settings(max_examples=50, deadline=None)
def test_without_angles_it_is_the_axis_aligned_iou(first, second):
    first, second = first[:6], second[:6]
    turned = [*second, 0, 0, 1e-9]  # takes the way of turned boxes
    assert box_iou(first, turned) == pytest.approx(box_iou(first, second), abs=1e-7)


def test_all_pairs():
    ious = box_ious([UNIT, [5, 0, 0, 1, 1, 1]], [UNIT, [0.5, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 45, 0, 0]])
    np.testing.assert_allclose(ious, [[1, 1 / 3, 1 / math.sqrt(2)], [0, 0, 0]])
    assert box_ious([], [UNIT]).shape == (0, 1)
    assert box_ious([UNIT], []).shape == (1, 0)


# ---- Bad input


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([0, 0, 0, 1, 1], "5 numbers"),
        ([0] * 7, "7 numbers"),
        ([], "0 numbers"),
        ([0, 0, math.nan, 1, 1, 1], "not finite"),
        ([0, 0, 0, 1, 1, math.inf], "not finite"),
        ([0, 0, None, 1, 1, 1], "not finite"),
        ([0, 0, 0, 1, -1, 1], "negative size"),
    ],
)
def test_what_is_no_box_is_refused(box, problem):
    assert problem in box_problem(box)
    with pytest.raises(ValueError, match=problem):
        box_iou(box, UNIT)
    with pytest.raises(ValueError, match=problem):
        transform_box(box, np.eye(4))


def test_a_transform_that_is_not_rigid_is_refused():
    with pytest.raises(ValueError, match="shape"):
        transform_box(UNIT, np.eye(3))
    with pytest.raises(ValueError, match="rotation"):
        transform_box(UNIT, 2 * np.eye(4))
