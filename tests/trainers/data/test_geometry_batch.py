"""Geometry as tensors: near the origin for losses, in the scene's world for positions, which no sample may lack."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_training import GEOMETRY_SIZE, SlantedWalls

from igep.trainers.data.geometry_batch import geometry_batch
from igep.trainers.data.scenes.spatial_example import SpatialDataError


RANGE = (15.0, 15.0, 5.0)


def moved(example, x_metres):
    poses = example.world_from_camera.copy()
    poses[:, 0, 3] += x_metres
    return dataclasses.replace(example, world_from_camera=poses)


def test_losses_get_an_origin_nearby_and_positions_the_scenes_own():
    example = moved(SlantedWalls()[1], 7.0)
    near = geometry_batch([example], GEOMETRY_SIZE)["world_from_camera"][0]
    own = geometry_batch([example], GEOMETRY_SIZE, RANGE)["world_from_camera"][0]
    assert near[0, :3, 3].tolist() == [0, 0, 0]
    torch.testing.assert_close(own, torch.from_numpy(example.world_from_camera).float())
    torch.testing.assert_close(own[1, :3, 3] - own[0, :3, 3], near[1, :3, 3])


@pytest.mark.parametrize(
    ("field", "said"),
    [("depth_metres", "no depth"), ("intrinsics", "no intrinsics"), ("world_from_camera", "no poses")],
)
def test_a_sample_without_positions_is_named(field, said):
    example = dataclasses.replace(SlantedWalls()[1], **{field: None})
    geometry_batch([example], GEOMETRY_SIZE)  # losses go without
    with pytest.raises(SpatialDataError, match=rf"'wall-1' of scene 'scene-1' has {said}.*position_encoding to none"):
        geometry_batch([SlantedWalls()[0], example], GEOMETRY_SIZE, RANGE)


def test_a_sample_of_which_no_pixel_is_measured_is_named():
    example = SlantedWalls()[1]
    empty = dataclasses.replace(example, depth_metres=np.zeros_like(example.depth_metres))
    with pytest.raises(SpatialDataError, match="has no measured depth"):
        geometry_batch([empty], GEOMETRY_SIZE, RANGE)


def test_a_world_whose_origin_is_elsewhere_is_refused():
    with pytest.raises(SpatialDataError, match=r"a camera is at \[400\.05.*position_range_metres"):
        geometry_batch([moved(SlantedWalls()[1], 400.0)], GEOMETRY_SIZE, RANGE)
