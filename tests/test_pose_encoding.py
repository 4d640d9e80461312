import math

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from scipy.spatial.transform import Rotation

from igep.camera_geometry import invert_pose
from igep.pose_encoding import decode_cameras, encode_cameras, quaternion_from_rotation, rotation_from_quaternion


ANGLES = st.lists(st.floats(-math.pi, math.pi), min_size=3, max_size=3)


@settings(max_examples=50, deadline=None)
@given(ANGLES)
def test_quaternions_are_those_of_scipy(angles):
    rotation = Rotation.from_euler("xyz", angles)
    matrix = torch.from_numpy(rotation.as_matrix())
    quaternion = quaternion_from_rotation(matrix)
    expected = torch.from_numpy(rotation.as_quat(canonical=False))
    assert quaternion[3] >= 0
    assert (quaternion - expected).abs().max().item() < 1e-9 or (quaternion + expected).abs().max().item() < 1e-9
    torch.testing.assert_close(rotation_from_quaternion(quaternion), matrix, rtol=0, atol=1e-12)


def test_half_turns_have_a_quaternion():
    for axis in range(3):
        matrix = -torch.eye(3, dtype=torch.float64)
        matrix[axis, axis] = 1
        expected = torch.zeros(4, dtype=torch.float64)
        expected[axis] = 1
        torch.testing.assert_close(quaternion_from_rotation(matrix).abs(), expected)


def test_cameras_survive_encoding():
    torch.manual_seed(0)
    poses = torch.eye(4, dtype=torch.float64).repeat(2, 3, 1, 1)
    poses[..., :3, :3] = torch.from_numpy(Rotation.random(6, rng=0).as_matrix()).view(2, 3, 3, 3)
    poses[..., :3, 3] = torch.randn(2, 3, 3, dtype=torch.float64)
    intrinsics = torch.tensor([[40.0, 0, 24], [0, 50, 16], [0, 0, 1]], dtype=torch.float64).repeat(2, 3, 1, 1)
    encodings = encode_cameras(poses, intrinsics, (32, 48))
    assert encodings.shape == (2, 3, 9)
    # The field of view of a height of 32 pixels at a focal length of 50, and so on.
    torch.testing.assert_close(
        encodings[0, 0, 7:], torch.tensor([2 * math.atan(16 / 50), 2 * math.atan(24 / 40)]).double()
    )
    torch.testing.assert_close(encodings[..., :3], invert_pose(poses)[..., :3, 3])
    again, cameras = decode_cameras(encodings, (32, 48))
    torch.testing.assert_close(again, poses)
    torch.testing.assert_close(cameras, intrinsics)
    # The same camera, of a frame twice as large.
    torch.testing.assert_close(decode_cameras(encodings, (64, 96))[1][..., :2, :], 2 * intrinsics[..., :2, :])
