"""Agreement of rendered depth: little error with the right cameras, and the error that a wrong scale must give."""

from dataclasses import replace

import numpy as np
import pytest
from scene_folders import camera_path, scene_row

from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.scene_check.depth_agreement import MAX_ERROR, depth_agreement, stored_geometry, with_poses
from igep.trainers.scene_check.scene_views import SceneViews, read_scene_views


HIDDEN = 0.008  # mean error of right cameras: some points are hidden behind the sphere, and each of these counts 5 %


def views_of(num_frames: int = 4, **changes) -> SceneViews:
    return read_scene_views(validate_scene(scene_row(num_frames, **changes)))


def pair(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([source]), np.array([target])


def test_right_cameras_agree() -> None:
    views = views_of()
    agreement = depth_agreement(views, stored_geometry(views), np.array([0, 1, 3]), np.array([1, 2, 2]))
    assert (agreement.error < HIDDEN).all()
    assert ((agreement.overlap > 0.4) & (agreement.overlap < 1)).all()


def test_a_frame_sees_all_of_itself() -> None:
    views = views_of()
    agreement = depth_agreement(views, stored_geometry(views), *pair(2, 2))
    assert agreement.overlap[0] == 1
    assert agreement.error[0] < 1e-6


@pytest.mark.parametrize(("second_metres", "expected"), [(2.04, 0.04 / 2.04), (2.5, MAX_ERROR)])
def test_a_flat_wall_too_far(second_metres: float, expected: float) -> None:
    """Without motion the error is the relative scale of two frames' depths, up to what counts as another surface."""
    views = views_of(2, poses=np.tile(camera_path(1), (2, 1, 1)))
    inverse = np.full_like(views.inverse_depth, 1 / 2.0)
    inverse[1] = 1 / second_metres
    points = views.points.copy()
    points[..., 2] = np.where(points[..., 2] > 0, 2.0, 0)
    flat = replace(views, inverse_depth=inverse, points=points)
    agreement = depth_agreement(flat, stored_geometry(flat), *pair(0, 1))
    assert agreement.error[0] == pytest.approx(expected, rel=1e-4)


def test_nothing_in_common_has_no_error() -> None:
    views = views_of(2)
    poses = views.world_from_camera.copy()
    poses[1] = poses[1] @ np.diag([-1.0, 1, -1, 1])
    agreement = depth_agreement(views, with_poses(views, poses), *pair(0, 1))
    assert agreement.overlap[0] == 0
    assert np.isnan(agreement.error[0])


def test_thinned_maps_keep_their_rays() -> None:
    """Depth of several times the size that is kept agrees as well: its camera is thinned with it."""
    small, large = views_of(), views_of(depth_size=(480, 640))
    assert large.inverse_depth.shape[1:] == (120, 160)
    np.testing.assert_allclose(large.depth_intrinsics[:, 0, 0] / 160, small.depth_intrinsics[:, 0, 0] / 64, rtol=1e-6)
    errors = [depth_agreement(views, stored_geometry(views), *pair(1, 2)).error[0] for views in (small, large)]
    assert errors[1] == pytest.approx(errors[0], abs=0.002)


def test_a_mirrored_map_is_one_of_a_camera_with_a_negative_focal_length() -> None:
    views = views_of()
    flipped = replace(
        views,
        inverse_depth=views.inverse_depth[..., ::-1].copy(),
        is_surface=views.is_surface[..., ::-1].copy(),
        points=views.points * [-1, 1, 1]
        + np.array([views.inverse_depth.shape[2], 0, 0]) * (views.points[..., 2:] > 0),
    )
    flipped = replace(flipped, points=flipped.points.astype(np.float32))
    stored = stored_geometry(flipped)
    wrong = depth_agreement(flipped, stored, *pair(0, 2)).error[0]
    intrinsics = stored.intrinsics.copy()
    intrinsics[:, 0] *= -1
    intrinsics[:, 0, 2] += flipped.inverse_depth.shape[2]
    right = depth_agreement(flipped, replace(stored, intrinsics=intrinsics), *pair(0, 2)).error[0]
    assert right == pytest.approx(depth_agreement(views, stored_geometry(views), *pair(0, 2)).error[0], abs=1e-3)
    assert wrong > 2 * right
