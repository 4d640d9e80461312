"""What two views have in common, against walls and a scene in which visibility is known in closed form."""

import numpy as np
import pytest
import torch
from PIL import Image
from scene_folders import COLOUR_INTRINSICS, COLOUR_SIZE, SCENE, camera_path, scene_row

from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.vlm3.covisibility import covisibility
from igep.trainers.data.vlm3.scene_views import posed_views
from igep.trainers.data.vlm3.spatial_question import PosedView
from igep.trainers.data.vlm3.surface_normals import away_normals
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


FRAMES = 5
WALL_METRES = 4.0


def share_seen(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the surface points of one camera's pixels that the other sees: rays against the scene, no depth map."""
    matrix, first, second = (torch.from_numpy(value) for value in (COLOUR_INTRINSICS, first, second))
    points = SCENE.points_world(matrix, first, *COLOUR_SIZE)
    return SCENE.sees(points, matrix, second, *COLOUR_SIZE).double().mean().item()


def test_covisibility_is_the_smaller_share_of_what_rays_meet():
    views, poses = posed_views(validate_scene(scene_row(FRAMES)), VLM3Options(focal_pixels=None)), camera_path(FRAMES)
    uneven = []
    for first in range(FRAMES):
        for second in range(FRAMES):
            shares = share_seen(poses[first], poses[second]), share_seen(poses[second], poses[first])
            assert covisibility(views[first], views[second], grid=64) == pytest.approx(min(shares), abs=0.02)
            uneven.append(abs(shares[0] - shares[1]))
    assert max(uneven) > 0.1, "the two directions must differ for this test to mean anything"


def wall_view(x_metres: float = 0.0, z_metres: float = 0.0, depth: np.ndarray | None = None) -> PosedView:
    """A camera of 40 x 40 pixels and focal length 40 that looks at a wall square on."""
    pose = np.eye(4)
    pose[[0, 2], 3] = x_metres, z_metres
    depth = np.full((40, 40), WALL_METRES - z_metres, dtype=np.float32) if depth is None else depth
    intrinsics = np.array([[40.0, 0, 20], [0, 40, 20], [0, 0, 1]])
    return PosedView("0", Image.new("RGB", (40, 40)), depth, intrinsics, pose)


def test_what_leaves_the_frame_is_not_seen():
    # 1 m sideways moves the wall by 40 * 1 / 4 = 10 of 40 pixels.
    assert covisibility(wall_view(), wall_view(x_metres=1.0), grid=40) == 0.75
    assert covisibility(wall_view(), wall_view(x_metres=-3.0), grid=40) == 0.25
    assert covisibility(wall_view(), wall_view(x_metres=5.0), grid=40) == 0


def test_the_direction_that_sees_less_counts():
    near = wall_view(z_metres=2.0)  # sees a quarter of what the far camera sees, and the far one sees all of it
    assert covisibility(wall_view(), near, grid=40) == covisibility(near, wall_view(), grid=40) == 0.25


def test_what_something_hides_is_not_seen():
    hidden = np.full((40, 40), WALL_METRES, dtype=np.float32)
    hidden[:, :10] = 1.0  # a post before the second camera: neither view sees what the other one measured there
    assert covisibility(wall_view(), wall_view(depth=hidden), grid=40) == 0.75
    within_noise = np.full((40, 40), WALL_METRES * 1.03, dtype=np.float32)
    assert covisibility(wall_view(), wall_view(depth=within_noise), grid=40) == 1


def test_only_measured_pixels_count():
    half = np.full((40, 40), WALL_METRES, dtype=np.float32)
    half[:20] = 0
    assert covisibility(wall_view(), wall_view(depth=half), grid=40) == 0.5
    assert covisibility(wall_view(depth=half), wall_view(depth=half), grid=40) == 1
    assert covisibility(wall_view(), wall_view(depth=np.zeros((40, 40), np.float32))) == 0


def turned_round(behind_metres: float, noise: float = 0.0) -> PosedView:
    """A camera beyond the wall, as far from its other side, that looks back at it."""
    pose = np.diag([-1.0, 1, -1, 1])
    pose[2, 3] = 2 * WALL_METRES + behind_metres
    depth = np.full((40, 40), WALL_METRES, dtype=np.float64)
    depth *= 1 + noise * np.random.default_rng(1).standard_normal(depth.shape)
    return PosedView("1", Image.new("RGB", (40, 40)), depth.astype(np.float32), wall_view().intrinsics, pose)


@pytest.mark.parametrize("thickness_metres", [0.0, 0.02, 0.14])
def test_the_other_side_of_a_thin_wall_is_another_surface(thickness_metres):
    assert covisibility(wall_view(), turned_round(thickness_metres), grid=40) == 0
    assert covisibility(wall_view(), turned_round(thickness_metres, noise=0.003), grid=40) < 0.01


def test_a_noisy_wall_stays_seen():
    noisy = WALL_METRES * (1 + 0.005 * np.random.default_rng(0).standard_normal((40, 40)))
    assert covisibility(wall_view(), wall_view(x_metres=1.0, depth=noisy.astype(np.float32)), grid=40) > 0.74


def test_normals_of_a_slanted_plane():
    """The plane n P = 1 has the inverse depth n (x, y, 1): its normal comes back whatever is missing in between."""
    normal = np.array([0.1, -0.2, 0.4])
    places = (np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1) + 0.5 - 20) / 40
    depth = 1 / (np.concatenate([places, np.ones((40, 40, 1))], -1) @ normal)
    depth[10:12] = 0  # known to one side of the hole alone
    depth[:, 30] = 9.0  # something else
    rows, columns = np.array([20, 9, 0, 20, 20]), np.array([20, 5, 39, 29, 30])
    found = away_normals(wall_view(depth=depth), rows, columns)
    wanted = normal / np.linalg.norm(normal)
    np.testing.assert_allclose(found[:4], np.broadcast_to(wanted, (4, 3)), atol=1e-6)
    assert np.isnan(found[4]).all(), "one column of pixels is no plane"
