"""Which frame shows most of a box: in closed form for a box before a camera, at its edge, behind it or a wall."""

import numpy as np
import pytest

from igep.trainers.data.box_visibility import PosedCameras, best_frame, seen_shares


SIZE = (40, 60)
INTRINSICS = np.array([[30.0, 0, 30], [0, 30, 20], [0, 0, 1]])
BOX = [0, 0, 3, 1, 1, 1]


def cameras(*centres: tuple[float, float, float], depth: list[float] | None = None) -> PosedCameras:
    """Cameras at these places that look along z, each before a wall at a depth of its own."""
    poses = np.tile(np.eye(4), (len(centres), 1, 1))
    poses[:, :3, 3] = centres
    walls = None if depth is None else np.array(depth)[:, None, None] * np.ones(SIZE)
    return PosedCameras(poses, np.tile(INTRINSICS, (len(centres), 1, 1)), SIZE, walls)


def test_shares_of_the_places_in_the_image():
    # From x = 3 the left edge of the image is at z = -x: the middle layer of places, z = 3, is cut at their centre.
    seen, inside = seen_shares(BOX, cameras((0, 0, 0), (0, 0, 6), (30, 0, 0), (2.99, 0, 0)))
    assert seen.tolist() == inside.tolist()
    assert seen[:3].tolist() == [1, 0, 0]
    assert seen[3] == pytest.approx(15 / 25)


def test_a_turned_box_is_looked_at_in_its_own_axes():
    flat = [0, 0, 3, 4, 0.1, 0.1]
    assert seen_shares(flat, cameras((0, 0, 0)))[0] == 1
    narrow = PosedCameras(np.eye(4)[None], INTRINSICS[None] - [[0, 0, 25], [0, 0, 0], [0, 0, 0]], (40, 10))
    assert seen_shares(flat, narrow)[0] == pytest.approx(1 / 5)
    assert seen_shares([*flat, 0, 0, 90], narrow)[0] == 1


@pytest.mark.parametrize(("wall", "share"), [(0, 1), (1, 0), (2.3, 0), (2.5, 1), (2.45, 1), (9, 1)])
def test_a_surface_before_the_box_hides_it(wall, share):
    """The box begins at 2.5 m; 0 is a pixel without a measurement; what lies in or behind the box hides nothing."""
    seen, inside = seen_shares(BOX, cameras((0, 0, 0), depth=[wall]))
    assert (seen[0], inside[0]) == (share, 1)


def test_half_a_box_behind_a_door():
    one = cameras((0, 0, 0), depth=[9])
    one.depth_metres[0, :, :30] = 1
    assert seen_shares(BOX, one)[0] == pytest.approx(3 / 5)  # the middle places fall on the right of the edge


def test_a_camera_within_the_box_and_a_box_without_a_size():
    assert 0 < seen_shares(BOX, cameras((0, 0, 3), depth=[0.2]))[0] < 1
    assert seen_shares([0, 0, 3, 1, 0, 1], cameras((0, 0, 0), depth=[9]))[0] == 1


def test_the_best_frame():
    assert best_frame(BOX, cameras((2.99, 0, 0), (0, 0, 0))) == (1, True)  # more of it
    assert best_frame(BOX, cameras((0, 0, -5), (0, 0, 0), (0, 0, 0))) == (1, True)  # nearer, then earlier
    assert best_frame(BOX, cameras((0, 0, 0), (0, 0, -5), depth=[1, 20])) == (1, True)  # not hidden
    assert best_frame(BOX, cameras((9, 9, 9), (0, 0, 0), depth=[1, 1])) == (1, False)  # hidden, but in the image
    assert best_frame(BOX, cameras((0, 0, 19), (0, 0, 9))) == (1, False)  # behind every camera: the nearest
