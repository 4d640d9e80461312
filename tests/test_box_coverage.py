"""Which tokens lie inside boxes: closed forms for depth and for projection, which holds what depth finds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from igep.box_coverage import SURFACE_METRES, FrameGeometry, box_coverage, pooled_tokens


SIZE = (8, 16)  # an image of 8 x 16 pixels that sees x in [-1, 1] and y in [-.5, .5] at a depth of 1 m
INTRINSICS = torch.tensor([[8.0, 0, 8], [0, 8.0, 4], [0, 0, 1]])
GRID = (4, 8)  # tokens of 2 x 2 pixels


def geometry(depth=None, pose=None, frames=1):
    pose = torch.eye(4) if pose is None else pose
    if depth is not None:
        depth = torch.full((frames, *SIZE), float(depth)) if not isinstance(depth, torch.Tensor) else depth
    return FrameGeometry(INTRINSICS.repeat(frames, 1, 1), pose.repeat(frames, 1, 1), SIZE, depth)


def boxes(*numbers):
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 6)


def test_a_box_around_a_wall_holds_the_tokens_that_see_it():
    """Of the wall at 2 m, x in [-1, 0] is the image's columns 4 to 8, tokens 2 and 3 of the 8."""
    wall = boxes([-0.5, 0, 2, 1, 10, 0.1])
    coverage = box_coverage(wall, geometry(depth=2), GRID)
    expected = torch.zeros(GRID)
    expected[:, 2:4] = 1
    torch.testing.assert_close(coverage[0, 0], expected)


def test_a_token_that_is_half_inside_counts_by_its_pixels():
    coverage = box_coverage(boxes([-0.875, 0, 2, 0.25, 10, 0.1]), geometry(depth=2), GRID)
    torch.testing.assert_close(coverage[0, 0, 0], torch.tensor([0, 0, 0.5, 0, 0, 0, 0, 0]))


def test_a_surface_on_the_wall_of_its_box_is_inside_and_one_behind_is_not():
    front = boxes([0, 0, 2.5, 10, 10, 1])
    assert (box_coverage(front, geometry(depth=2.0), GRID) == 1).all()
    assert (box_coverage(front, geometry(depth=2.0 - SURFACE_METRES / 2), GRID) == 1).all()
    assert (box_coverage(front, geometry(depth=2.0 - SURFACE_METRES * 2), GRID) == 0).all()


@pytest.mark.parametrize("unmeasured", [0.0, -1.0, math.nan, math.inf])
def test_pixels_without_a_measurement_are_in_no_box(unmeasured):
    """The peers take them for points at the camera."""
    around_camera = boxes([0, 0, 0, 100, 100, 100])
    depth = torch.full((1, *SIZE), 2.0)
    depth[0, :, :8] = unmeasured
    coverage = box_coverage(around_camera, geometry(depth=depth), GRID)
    assert (coverage[0, 0, :, :4] == 0).all()
    assert (coverage[0, 0, :, 4:] == 1).all()


def test_projection_is_the_rectangle_around_the_box_to_the_part_of_a_token():
    """Near side, 2 m: x in [-.75, .5] is columns 5 to 10, y in [-.25, .25] rows 3 to 5; the far side lies within."""
    box = boxes([-0.125, 0, 3, 1.25, 0.5, 2])
    coverage = box_coverage(box, geometry(), GRID)
    across = torch.tensor([0, 0, 0.5, 1, 1, 0, 0, 0])
    down = torch.tensor([0, 0.5, 0.5, 0])
    torch.testing.assert_close(coverage[0, 0], down[:, None] * across)


def test_a_box_that_holds_the_camera_fills_the_image_and_one_behind_it_shows_nothing():
    coverage = box_coverage(boxes([0, 0, 0, 4, 4, 4], [0, 0, -5, 1, 1, 1]), geometry(), GRID)
    assert (coverage[0, 0] == 1).all()
    assert (coverage[0, 1] == 0).all()


def test_a_box_that_reaches_behind_the_camera_is_cut_where_it_leaves_the_view():
    """Right of the camera, x in [1, 2], from behind it to 4 m: seen from column 10 on; uncut, it crosses the image."""
    coverage = box_coverage(boxes([1.5, 0, 0, 1, 20, 8]), geometry(), GRID)
    torch.testing.assert_close(coverage[0, 0, 0], torch.tensor([0, 0, 0, 0, 0, 1.0, 1, 1]))


@pytest.mark.parametrize("depth", [None, 2.0])
def test_frames_without_a_pose_or_camera_show_nothing(depth):
    pose = torch.full((4, 4), math.nan)
    everything = boxes([0, 0, 2, 100, 100, 100])
    assert (box_coverage(everything, geometry(depth, pose), GRID) == 0).all()
    blind = geometry(depth)
    blind.intrinsics[:] = math.nan
    assert (box_coverage(everything, blind, GRID) == 0).all()


@pytest.mark.parametrize("depth", [None, 2.0])
def test_no_boxes(depth):
    coverage = box_coverage(boxes(), geometry(depth, frames=2), GRID)
    assert coverage.shape == (2, 0, *GRID)
    pooled, seen = pooled_tokens(torch.zeros(2, *GRID, 3), coverage, 0.25)
    assert pooled.shape == (0, 3)
    assert seen.shape == (0,)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-1.5, 1.5),
    st.floats(-0.8, 0.8),
    st.floats(0.2, 1.5),
    st.floats(0.2, 1),
    st.floats(-0.6, 0.6),
    st.floats(-1, 1),
)
def test_what_depth_finds_of_a_box_lies_in_its_projection(x, y, width, height, turn, shift):
    """A thin box around a part of a wall, wherever the camera is."""
    cosine, sine = math.cos(turn), math.sin(turn)
    pose = torch.tensor(  # turned about the optical axis, which keeps the wall's depth
        [[cosine, -sine, 0, shift], [sine, cosine, 0, shift / 2], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    box = boxes([x, y, 2, width, height, 0.001])
    by_depth = box_coverage(box, geometry(2.0, pose), GRID)
    grown = box + torch.tensor([0, 0, 0, *[2 * SURFACE_METRES + 1e-4] * 3])
    by_projection = box_coverage(grown, geometry(pose=pose), GRID)
    assert (by_depth[by_projection == 0] == 0).all()


def test_tokens_from_the_least_share_on_are_averaged():
    maps = torch.arange(4.0).reshape(1, 2, 2, 1)
    coverage = torch.tensor([[[[1.0, 0.25], [0.24, 0.0]]]])
    pooled, seen = pooled_tokens(maps, coverage, 0.25)
    assert pooled.tolist() == [[0.5]]
    assert seen.tolist() == [True]


def test_a_box_too_small_for_any_token_takes_the_one_it_covers_most_and_one_unseen_none():
    maps = torch.arange(1.0, 5).reshape(1, 2, 2, 1)
    coverage = torch.tensor([[[[0.1, 0.2], [0.05, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    pooled, seen = pooled_tokens(maps, coverage, 0.25)
    assert pooled.tolist() == [[2.0], [0.0]]
    assert seen.tolist() == [True, False]


def test_every_token_of_every_frame_counts_alike():
    maps = torch.tensor([[[[3.0]]], [[[5.0]]], [[[100.0]]]])
    coverage = torch.tensor([1.0, 0.5, 0.0]).reshape(3, 1, 1, 1)
    assert pooled_tokens(maps, coverage, 0.25)[0].tolist() == [[4.0]]
