"""Agreement of rendered depth: zero error with the right cameras, and the error that a wrong scale must give."""

import numpy as np
import torch
from scene_folders import COLOUR_INTRINSICS, COLOUR_SIZE, camera_path, true_depth

from igep.camera_geometry import unproject
from igep.trainers.scene_check.depth_agreement import DepthCamera, depth_agreement, thinned


def rendered(num_frames: int = 4) -> DepthCamera:
    poses = camera_path(num_frames)
    depth = np.stack([true_depth(COLOUR_INTRINSICS, pose, COLOUR_SIZE) for pose in poses])
    intrinsics = torch.from_numpy(COLOUR_INTRINSICS).float().expand(num_frames, 3, 3)
    return DepthCamera(torch.from_numpy(depth).float(), intrinsics, torch.from_numpy(poses))


def test_right_cameras_agree() -> None:
    camera = rendered()
    overlap, error, count = depth_agreement(camera, torch.tensor([0, 1, 3]), torch.tensor([1, 2, 2]))
    assert (error < 1e-5).all()
    assert ((overlap > 0.4) & (overlap < 1)).all()
    assert (count > 500).all()


def test_a_frame_sees_all_of_itself() -> None:
    overlap, error, _ = depth_agreement(rendered(), torch.tensor([2]), torch.tensor([2]))
    torch.testing.assert_close(overlap, torch.ones(1))
    assert error.item() < 1e-6


def test_a_flat_wall_ten_percent_too_far() -> None:
    """Without motion the relative error is the relative scale of the two frames' depths."""
    camera = rendered(2)
    depth = torch.full_like(camera.depth_metres, 2.0)
    depth[1] = 2.5
    still = DepthCamera(depth, camera.intrinsics, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))
    _, error, _ = depth_agreement(still, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(error, torch.tensor([0.2]))


def test_nothing_in_common_has_no_error() -> None:
    camera = rendered(2)
    turned = camera.world_from_camera.clone()
    turned[1] = turned[1] @ torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64))
    behind = DepthCamera(camera.depth_metres, camera.intrinsics, turned)
    overlap, error, count = depth_agreement(behind, torch.tensor([0]), torch.tensor([1]))
    assert overlap.item() == 0
    assert error.isnan().all()
    assert count.item() == 0


def test_thinning_keeps_rays() -> None:
    camera = rendered(2)
    small = thinned(camera, 20)
    assert max(small.depth_metres.shape[-2:]) <= 20
    step = 4
    expected = unproject(camera.depth_metres, camera.intrinsics)[:, step // 2 :: step, step // 2 :: step]
    torch.testing.assert_close(unproject(small.depth_metres, small.intrinsics), expected, rtol=1e-5, atol=1e-5)
    assert thinned(camera, 64) is camera
