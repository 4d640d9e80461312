"""Boxes from queries: where they start, what they read, how a location token chooses."""

import pytest
import torch
from analytic_scene import pose
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from igep.box_queries import (
    BoxDecoder,
    BoxLayer,
    BoxPredictions,
    along_box_axes,
    chosen_boxes,
    farthest_points,
    regressed_boxes,
)


def test_queries_start_far_from_each_other_whatever_the_order_of_the_patches():
    clusters = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 9, 0]])
    points = clusters.repeat(5, 1) + 0.1 * torch.rand(15, 3, generator=torch.Generator().manual_seed(0))
    chosen = farthest_points(points, 3)
    assert sorted((chosen % 3).tolist()) == [0, 1, 2]
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    assert torch.equal(points[order][farthest_points(points[order], 3)], points[chosen])
    assert sorted(farthest_points(torch.zeros(4, 3), 9).tolist()) == [
        0,
        1,
        2,
        3,
    ]  # all in one place, and fewer than asked


def test_near_queries_are_read_more_and_the_location_token_is_near_to_all():
    torch.manual_seed(0)
    layer = BoxLayer(8, 2)
    seen = {}
    layer.read_queries.register_forward_hook(lambda _, __, kwargs, ___: seen.update(kwargs), with_kwargs=True)
    queries, places = torch.randn(1, 3, 8), torch.randn(3, 8)
    distances = torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    layer(queries, places, torch.randn(1, 1, 8), torch.randn(1, 5, 8), distances)
    bias = seen["bias"][0]
    assert bias.shape == (3, 4)
    assert (bias[:, 3] == 0).all()
    assert (bias.diagonal() == 0).all()
    torch.testing.assert_close(bias[0, 2], 2 * bias[0, 1])  # -sigma d, with one sigma for each query
    assert bias[0, 1] < 0


def decoder():
    torch.manual_seed(0)
    return BoxDecoder(12, 16, queries=6, layers=2, heads=2)


def test_every_layer_predicts_boxes_around_its_queries_and_compares_them():
    module = decoder()
    tokens, positions, locations = torch.randn(20, 12), 3 * torch.randn(20, 3), torch.randn(4, 12)
    found = module(tokens, positions, locations)
    assert found.boxes.shape == (2, 4, 6, 6)
    assert found.similarities.shape == (2, 4, 6)
    assert found.similarities.abs().max() <= 1
    sizes = found.boxes[..., 3:]
    assert ((sizes > 0.04) & (sizes < 21)).all()
    alone = module(tokens, positions, locations[2:3])
    torch.testing.assert_close(alone.boxes, found.boxes[:, 2:3])
    with torch.no_grad():
        for parameter in module.box.parameters():
            parameter.zero_()
    chosen = positions[farthest_points(positions, 6)]
    still = module(tokens, positions, locations).boxes
    torch.testing.assert_close(still, torch.cat([chosen, torch.ones(6, 3)], 1).expand(2, 4, 6, 6))


def test_all_weights_have_a_gradient_and_autocast_changes_nothing():
    module = decoder()
    tokens, positions, locations = torch.randn(20, 12), torch.randn(20, 3), torch.randn(2, 12)
    found = module(tokens, positions, locations)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(tokens, positions, locations).boxes, found.boxes)
    (functional.huber_loss(found.boxes, torch.zeros_like(found.boxes)) + found.similarities.sum()).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("count", [1, 3])
def test_fewer_patches_than_queries(count):
    found = decoder()(torch.randn(count, 12), torch.randn(count, 3), torch.randn(1, 12))
    assert found.boxes.shape == (2, 1, count, 6)
    assert found.boxes.isfinite().all()


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """(P, 6) -> (P, 8, 3)."""
    signs = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5]).double()] * 3)
    return boxes[:, None, :3] + signs * boxes[:, None, 3:]


ANGLES = st.floats(-180, 180)


@given(ANGLES, ANGLES, st.lists(st.floats(-9, 9), min_size=3, max_size=3))
def test_along_the_first_camera_a_box_is_the_smallest_around_the_true_one(turn, tilt, centre):
    boxes = torch.tensor([[1.0, 2, 3, 0.5, 1, 2], [0, 0, 0, 3, 1e-3, 1]]).double()
    camera = pose(*centre, yaw_degrees=turn, pitch_degrees=tilt).double()
    seen = (corners(boxes) - camera[:3, 3]) @ camera[:3, :3]
    low, high = seen.amin(1), seen.amax(1)
    expected = torch.cat([(low + high) / 2, high - low], 1)
    torch.testing.assert_close(along_box_axes(boxes, camera, "first_camera"), expected, atol=1e-9, rtol=1e-9)
    moved = torch.cat([boxes[:, :3] - camera[:3, 3], boxes[:, 3:]], 1)
    torch.testing.assert_close(along_box_axes(boxes, camera, "scene"), moved)


def test_found_boxes_are_carried_by_the_pose_best_first():
    quarter = pose(1e6, 0.0, 0.25, yaw_degrees=90.0).double()  # looks along the world's x
    boxes = torch.tensor([[0.0, 0, 2, 1, 2, 3], [1, 0, 4, 1, 1, 1]]).expand(2, 1, 2, 6)
    predictions = BoxPredictions(boxes, torch.tensor([[[0.9, 0.1]], [[0.1, 0.24]]]))
    (own,) = regressed_boxes(predictions, 0.07, None, "first_camera")
    assert (own.world, own.geometry_inputs, own.axes) == ("first_camera", "none", torch.eye(3).tolist())
    assert own.boxes == [[1, 0, 4, 1, 1, 1], [0, 0, 2, 1, 2, 3]]
    assert own.probabilities == pytest.approx([0.88079708, 0.11920292])  # a difference of 2
    (carried,) = regressed_boxes(predictions, 0.07, quarter, "first_camera")
    assert (carried.world, carried.geometry_inputs) == ("scene", "predicted")
    assert carried.boxes[1] == pytest.approx([1e6 + 2, 0, 0.25, 1, 2, 3], abs=1e-9)
    assert carried.axes == quarter[:3, :3].tolist()
    (scene,) = regressed_boxes(predictions, 0.07, quarter, "scene")
    assert scene.boxes[1] == pytest.approx([1e6, 0, 2.25, 1, 2, 3], abs=1e-9)
    assert scene.axes == torch.eye(3).tolist()


def test_probable_boxes_are_chosen_perhaps_none():
    assert chosen_boxes([0.5, 0.25, 0.2, 0.05], 0.2) == [0, 1, 2]
    assert chosen_boxes([0.1, 0.1], 0.2) == []
