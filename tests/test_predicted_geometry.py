import pytest
import torch
from scipy.spatial.transform import Rotation
from tiny_vid_llm import build_vid_llm

from igep.camera_geometry import transform_points
from igep.predicted_geometry import predicted_geometry
from igep.spatial_patches import back_project


def test_a_reconstruction_is_placed_by_the_first_pose():
    model, _ = build_vid_llm()
    found = model.reconstruct(torch.randn(2, 3, 3, 32, 48))
    first = torch.eye(4)
    first[:3, :3] = torch.from_numpy(Rotation.random(rng=0).as_matrix())
    first[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    geometry = predicted_geometry(found, 1, 2, first)
    assert geometry.image_size == (32, 48)
    torch.testing.assert_close(geometry.world_from_camera[0], first)
    torch.testing.assert_close(geometry.depth_metres, found.depth_metres[1, :2])
    points = back_project(geometry.depth_metres, geometry.intrinsics, geometry.world_from_camera)
    torch.testing.assert_close(points, transform_points(first, found.points_world[1, :2]), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="of a first frame is not finite"):
        predicted_geometry(found, 0, 3, torch.full((4, 4), torch.nan))
