"""Eq. 3 and 4: places of patches, added to what they say."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from igep.camera_geometry import invert_pose
from igep.spatial_patches import LanguageProjection, back_project, patch_positions, pool_grid


def test_back_projection_is_eq_3():
    generator = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(2, 4, 6, generator=generator, dtype=torch.float64)
    intrinsics = torch.tensor([[5.0, 0, 3], [0, 4, 2], [0, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    pose = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)  # camera_from_world
    pose[:, :3, :3] = torch.from_numpy(Rotation.random(2, rng=0).as_matrix())
    pose[:, :3, 3] = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    points = back_project(depth, intrinsics, invert_pose(pose))
    for frame in range(2):
        rotation, translation = pose[frame, :3, :3], pose[frame, :3, 3]
        for row in range(4):
            for column in range(6):
                ray = torch.linalg.solve(intrinsics[frame], torch.tensor([column + 0.5, row + 0.5, 1.0]).double())
                expected = torch.linalg.solve(rotation, ray * depth[frame, row, column] - translation)
                torch.testing.assert_close(points[frame, row, column], expected)


def test_a_patch_lies_at_the_mean_of_its_pixels_in_full_precision():
    points = torch.randn(1, 2, 4, 6, 3)
    expected = points.view(1, 2, 2, 2, 3, 2, 3).mean((3, 5))
    torch.testing.assert_close(patch_positions(points, (2, 3)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert patch_positions(points.bfloat16(), (2, 3)).dtype == torch.float32


def test_pooling_is_the_mean_of_equal_parts():
    tokens = torch.randn(1, 2, 4, 6, 5)
    torch.testing.assert_close(pool_grid(tokens, (2, 3)), tokens.view(1, 2, 2, 2, 3, 2, 5).mean((3, 5)))
    assert pool_grid(tokens, (4, 6)) is tokens


def test_tokens_carry_what_they_say_and_where_they_are():
    torch.manual_seed(0)
    module = LanguageProjection(8, 16, 2, "random")
    language, points = torch.randn(1, 2, 4, 6, 8), torch.randn(1, 2, 32, 48, 3)
    tokens, positions = module(language, points)
    assert tokens.shape == (1, 2, 2, 3, 16)
    torch.testing.assert_close(positions, patch_positions(points, (2, 3)))
    places = module.position_mlp(patch_positions(points, (4, 6)))
    torch.testing.assert_close(tokens, module.projector(pool_grid(language + places, (2, 3))))
    with pytest.raises(ValueError, match="no visual token at pooling_ratio=2"):
        module(language[:, :, :1], points)


def test_a_position_embedding_that_begins_as_zero_changes_nothing_and_learns():
    torch.manual_seed(0)
    module = LanguageProjection(8, 16, 2, "zero")
    language, points = torch.randn(1, 2, 4, 6, 8), torch.randn(1, 2, 32, 48, 3)
    tokens, _ = module(language, points)
    torch.testing.assert_close(tokens, module.projector(pool_grid(language, (2, 3))))
    tokens.square().sum().backward()
    assert module.position_mlp.mlp[-1].weight.grad.abs().min() > 0


def test_places_are_embedded_in_float32_outside_autocast():
    module = LanguageProjection(8, 16, 2, "random").position_mlp
    positions = torch.tensor([[1.0, 2.0, 3.0], [1.001, 2.0, 3.0]])
    with torch.autocast("cpu", torch.bfloat16):
        first, second = module(positions)
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)  # a millimetre, which bfloat16 cannot tell
