import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from igep.trainers.geometry.rotation_quaternions import quaternion_from_rotation


@given(st.integers(0, 10_000), st.floats(0, np.pi))
def test_is_scipys_quaternion_with_a_scalar_that_is_not_negative(seed, angle):
    axis = np.random.default_rng(seed).normal(size=3)
    rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    found = quaternion_from_rotation(torch.from_numpy(rotation.as_matrix())).numpy()
    assert found[3] >= 0
    np.testing.assert_allclose(np.abs(found @ rotation.as_quat()), 1, atol=1e-12)


def test_half_turns_and_leading_dimensions():
    turns = torch.stack(
        [torch.diag(torch.tensor(row)) for row in ([1.0, 1, 1], [1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1])]
    )
    expected = torch.eye(4)[[3, 0, 1, 2]]
    assert torch.equal(quaternion_from_rotation(turns.unflatten(0, (2, 2))), expected.unflatten(0, (2, 2)))
    with pytest.raises(ValueError, match="3, 3"):
        quaternion_from_rotation(torch.eye(4))
