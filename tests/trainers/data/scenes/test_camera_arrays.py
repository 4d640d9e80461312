"""Cameras as arrays give the numbers of their twins in `camera_geometry`, which have their own closed-form tests."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from igep import camera_geometry
from igep.trainers.data.scenes import camera_arrays
from igep.trainers.geometry.camera_angles import rotation_from_yaw_pitch_roll


SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))
ANGLES = st.floats(-180, 180)
PLACES = st.floats(-50, 50)


@st.composite
def cameras(draw) -> np.ndarray:
    """(3, 3) intrinsics with a skew."""
    fx, fy = draw(st.floats(1, 900)), draw(st.floats(1, 900))
    return np.array([[fx, draw(st.floats(-3, 3)), draw(PLACES)], [0, fy, draw(PLACES)], [0, 0, 1]])


@st.composite
def poses(draw) -> np.ndarray:
    """(4, 4) rigid pose."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_yaw_pitch_roll(draw(ANGLES), draw(ANGLES), draw(ANGLES))
    pose[:3, 3] = draw(PLACES), draw(PLACES), draw(PLACES)
    return pose


POINTS = st.lists(st.tuples(PLACES, PLACES, PLACES), min_size=1, max_size=6).map(np.array)


def same(ours: np.ndarray, twins: torch.Tensor) -> None:
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, twins.numpy(), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(cameras(), SIZES, SIZES)
def test_resized_intrinsics(intrinsics, before, after):
    twins = camera_geometry.resize_intrinsics(torch.from_numpy(intrinsics), before, after)
    same(camera_arrays.resize_intrinsics(intrinsics, before, after), twins)


@settings(deadline=None, max_examples=50)
@given(cameras(), SIZES)
def test_pixels_and_their_rays(intrinsics, size):
    pixels = camera_arrays.pixel_centres(size, size)
    same(pixels, camera_geometry.pixel_centres(*size).double())
    twins = camera_geometry.unproject(torch.ones(size, dtype=torch.float64), torch.from_numpy(intrinsics))
    same(camera_arrays.pixel_rays(pixels, intrinsics), twins)


def test_pixels_of_a_coarser_depth_map_lie_between_those_of_the_image():
    places = camera_arrays.pixel_centres((1, 2), (4, 12))
    np.testing.assert_array_equal(places, [[[3, 2], [9, 2]]])


@settings(deadline=None, max_examples=100)
@given(POINTS, cameras())
def test_projection_of_points_before_and_behind_the_camera(points, intrinsics):
    pixels, depth = camera_arrays.project(points, intrinsics)
    twins, twin_depth = camera_geometry.project(torch.from_numpy(points), torch.from_numpy(intrinsics))
    same(depth, twin_depth)
    ahead = depth > 1e-6  # the pixel of any other point has no meaning
    same(pixels[ahead], twins[torch.from_numpy(ahead)])
    assert np.isfinite(pixels).all()


@settings(deadline=None, max_examples=50)
@given(poses(), poses(), POINTS)
def test_points_carried_between_frames(target, source, points):
    both = torch.from_numpy(target), torch.from_numpy(source)
    relative = camera_arrays.relative_pose(target, source)
    same(relative, camera_geometry.relative_pose(*both))
    carried = camera_arrays.transform_points(source, points)
    same(carried, camera_geometry.transform_points(both[1], torch.from_numpy(points)))
    seen = camera_arrays.camera_from_world_points(target, carried)
    same(seen, camera_geometry.transform_points(camera_geometry.relative_pose(*both), torch.from_numpy(points)))
