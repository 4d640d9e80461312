"""Single frames and stretches that do not fit are listed; poses that are wrong as a whole are not blamed on frames."""

import numpy as np
import pytest
from checked_rooms import ROOM_FRAMES, room_views
from scipy.spatial.transform import Rotation

from igep.trainers.scene_check.broken_frames import BrokenFrames, describe_broken_frames, find_broken_frames
from igep.trainers.scene_check.depth_agreement import stored_geometry, with_poses


NOTHING = BrokenFrames((), (), ())


def test_a_right_scene_has_none() -> None:
    views = room_views()
    assert find_broken_frames(views, stored_geometry(views)) == NOTHING


@pytest.mark.parametrize("frames", [(0,), (7,), (4, 11), (ROOM_FRAMES - 1,)])
def test_single_frames_are_listed(frames: tuple[int, ...]) -> None:
    views = room_views()
    poses = views.world_from_camera.copy()
    for frame in frames:
        poses[frame, :3, 3] += [0.3, -0.2, 0.3]
    assert find_broken_frames(views, with_poses(views, poses)).frames == frames


@pytest.mark.parametrize("start", [4, 10])
def test_a_stretch_begins_where_the_poses_jump(start: int) -> None:
    views = room_views()
    poses = views.world_from_camera.copy()
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 12, degrees=True).as_matrix()
    poses[start:] = turn @ poses[start:]
    broken = find_broken_frames(views, with_poses(views, poses))
    assert (broken.frames, broken.breaks) == ((), (start,))
    assert (broken.stretches(ROOM_FRAMES) == (np.arange(ROOM_FRAMES) >= start)).all()
    words = describe_broken_frames(broken, views.frame_ids)
    assert f"from frame '{start:05d}' on" in words


def test_poses_that_are_wrong_as_a_whole_are_no_matter_of_frames() -> None:
    views = room_views()
    assert find_broken_frames(views, with_poses(views, np.linalg.inv(views.world_from_camera))) == NOTHING
