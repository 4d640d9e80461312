"""Boxes in closed form: a cube ahead of the camera, turned, cut by the near plane, hidden, and out of sight."""

import numpy as np
import pytest
from PIL import Image

from igep.trainers.data.vlm3.object_boxes import project_box, seen_objects
from igep.trainers.data.vlm3.spatial_question import PosedView


INTRINSICS = np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]])
# The camera stands at the world's origin 1 m high and looks along world y; world z is up.
WORLD_FROM_CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1], [0, 0, 0, 1]])


def view(depth_metres=None):
    return PosedView("0", Image.new("RGB", (200, 100)), depth_metres, INTRINSICS, WORLD_FROM_CAMERA)


def box(x, y, z, size=(1.0, 1.0, 1.0), yaw=0.0, label="box"):
    return {"label": label, "centre_metres": [x, y, z], "size_metres": list(size), "yaw_radians": yaw}


def test_outline_of_a_cube():
    # Its near face is 3 m away and 1 m wide: 33.3 pixels around the principal point.
    np.testing.assert_allclose(
        project_box(view(), box(0, 3.5, 1)), [100 - 50 / 3, 50 - 50 / 3, 100 + 50 / 3, 50 + 50 / 3]
    )


def test_yaw_turns_about_world_z():
    outline = project_box(view(), box(0, 10, 1, (4, 0.2, 1), yaw=np.pi / 2))
    # Turned by a quarter, its 4 m run away from the camera: the near end at 8 m is 0.2 m wide.
    np.testing.assert_allclose(outline[[0, 2]], [100 - 0.1 / 8 * 100, 100 + 0.1 / 8 * 100], atol=1e-9)


def test_what_is_behind_has_no_outline_and_what_reaches_behind_is_cut():
    assert project_box(view(), box(0, -3, 1)) is None
    outline = project_box(view(), box(0, 0, 1, (1, 6, 0.2)))
    assert np.isfinite(outline).all()
    np.testing.assert_allclose(outline[[0, 2]], [100 - 0.5 / 0.05 * 100, 100 + 0.5 / 0.05 * 100])


def test_seen_objects_have_places_and_sizes():
    (seen,) = seen_objects(view(), [box(0.5, 3.5, 1, (1, 1, 0.5), label="chair")])
    np.testing.assert_allclose(seen.centre_camera_metres, [0.5, 0, 3.5])
    assert (seen.index, seen.label) == (0, "chair")
    assert seen.size_metres.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize(
    "one",
    [
        box(0, -3, 1),  # behind
        box(20, 3, 1),  # beside
        box(0, 60, 1),  # too small
        box(3.6, 3.5, 1),  # mostly outside
        box(0, 3.5, 1, (1, 0, 1)),  # no volume
    ],
)
def test_what_is_not_seen_well_is_left_out(one):
    assert seen_objects(view(), [one]) == []


def test_depth_decides_what_is_hidden():
    target, other = box(0, 3.5, 1), box(1.5, 3.5, 1)
    wall = np.full((50, 100), 3.0, dtype=np.float32)
    assert len(seen_objects(view(wall), [target, other])) == 2  # the near faces of both
    assert seen_objects(view(np.full((50, 100), 2.0, dtype=np.float32)), [target]) == []
    assert seen_objects(view(np.full((50, 100), 8.0, dtype=np.float32)), [target]) == []  # seen through: not there
    assert seen_objects(view(np.zeros((50, 100), dtype=np.float32)), [target]) == []
    half = wall.copy()
    half[:, :55] = 1.0
    assert [seen.index for seen in seen_objects(view(half), [target, other])] == [0, 1]
    half[:, :58] = 1.0
    assert [seen.index for seen in seen_objects(view(half), [target, other])] == [1]
