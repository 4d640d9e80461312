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
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


FRAMES = 5
WALL_METRES = 4.0


def share_seen(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the surface points of one camera's pixels that the other one sees: rays against the scene, no depth map."""
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
