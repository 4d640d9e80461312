"""Relative poses that were moved a little are found again from the depth alone."""

import numpy as np
import pytest
from checked_rooms import room_views
from scipy.spatial.transform import Rotation

from igep.trainers.scene_check.depth_agreement import depth_agreement, stored_geometry, with_poses
from igep.trainers.scene_check.refined_poses import refined_errors


SOURCES, TARGETS = np.arange(0, 12, 3), np.arange(1, 13, 3)


def test_right_poses_leave_nothing_to_gain() -> None:
    views = room_views()
    given = depth_agreement(views, stored_geometry(views), SOURCES, TARGETS).error
    refined = refined_errors(views, stored_geometry(views), SOURCES, TARGETS)
    assert (refined <= given + 1e-9).all()
    assert (given - refined < 2e-4).all()


@pytest.mark.parametrize("turn", [True, False])
def test_poses_that_were_moved_are_found_again(turn: bool) -> None:
    views = room_views()
    generator = np.random.default_rng(0)
    poses = views.world_from_camera.copy()
    poses[:, :3, 3] += generator.normal(scale=0.04, size=(len(poses), 3))
    if turn:
        turns = Rotation.from_rotvec(generator.normal(scale=0.01, size=(len(poses), 3))).as_matrix()
        poses[:, :3, :3] = poses[:, :3, :3] @ turns
    moved = with_poses(views, poses)
    given = depth_agreement(views, moved, SOURCES, TARGETS).error
    refined = refined_errors(views, moved, SOURCES, TARGETS, turn)
    assert np.median(given) > 0.004
    assert np.median(refined) < 0.25 * np.median(given)


def test_nothing_in_common_stays_unknown() -> None:
    views = room_views()
    poses = views.world_from_camera.copy()
    poses[TARGETS] = poses[TARGETS] @ np.diag([-1.0, 1, -1, 1])
    assert np.isnan(refined_errors(views, with_poses(views, poses), SOURCES, TARGETS)).all()
