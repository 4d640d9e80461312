"""The loss terms of the authors' code of 3D-IDE, in closed form."""

import math

import pytest
import torch
from analytic_scene import AnalyticScene, views
from objective_arguments import objective_arguments

from igep.trainers.supervision.geometry_losses import alignment_loss
from igep.trainers.supervision.release_losses import (
    confidence_loss,
    covisible_pixels,
    gradient_loss,
    kept_pixels,
    pair_depth_loss,
    pair_poses,
    regression_loss,
    release_objective,
)


def plane(size=(16, 20), frames=1, metres=2.0) -> torch.Tensor:
    return torch.full((1, frames, *size), metres)


# ---- Depth of a frame


def test_confidence_weighs_the_error_alone_and_is_paid_for():
    truth, confidence = plane(), torch.full_like(plane(), 1.5)
    step = torch.zeros_like(truth)
    step[..., 10:] = 0.4  # an edge in the error: its gradient is in no confidence term
    expected = 1.5 * (0.1 + 0.4 / 2) - 0.2 * math.log(1.5)
    found = confidence_loss(truth + 0.1 + step, confidence, truth, 0.2)
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_the_best_confidence_is_alpha_over_the_error():
    truth = plane()
    confidence = torch.full_like(truth, 0.2 / 0.5).requires_grad_()
    confidence_loss(truth + 0.5, confidence, truth, 0.2).sum().backward()
    torch.testing.assert_close(confidence.grad, torch.zeros_like(truth))


def test_the_error_alone():
    truth = plane()
    truth[..., :5, :] = 0  # not measured
    torch.testing.assert_close(regression_loss(plane() - 0.3, truth), torch.tensor([0.3]))


def test_gradients_are_compared_at_four_scales():
    """A ramp of the error: its step between neighbours doubles at each scale, the number of steps follows the grid."""
    ramp = 0.1 * torch.arange(16.0).expand(1, 1, 16, 16)
    expected = sum(0.1 * 2**s * (16 // 2**s - 1) / (16 // 2**s) for s in range(4)) / 4
    torch.testing.assert_close(gradient_loss(plane((16, 16)) + ramp, plane((16, 16))), torch.tensor([expected]))
    torch.testing.assert_close(gradient_loss(plane() + 0.7, plane()), torch.zeros(1))


def test_the_largest_losses_are_left_out_where_there_are_enough():
    losses = torch.arange(1000.0)[None]
    kept = kept_pixels(losses, torch.ones(1, 1000, dtype=torch.bool))
    assert kept.sum() == 980
    assert kept[0, :980].all()
    assert kept_pixels(losses[:, :999], torch.ones(1, 999, dtype=torch.bool)).all()
    expected = torch.quantile(losses, 0.98)
    assert losses[kept].max() <= expected < losses[~kept].min()


def test_an_outlier_neither_shows_nor_pulls():
    truth = plane((40, 40))
    predicted = truth + 0.1
    predicted[0, 0, 0, :10] = 50.0
    predicted.requires_grad_()
    loss = regression_loss(predicted, truth)
    torch.testing.assert_close(loss, torch.tensor([0.1]))
    loss.sum().backward()
    assert (predicted.grad[0, 0, 0, :10] == 0).all()


@pytest.mark.parametrize("measured", [99, 100])
def test_too_few_pixels_are_none(measured):
    truth = torch.zeros(1, 1, 20, 20)
    truth.view(-1)[:measured] = 2.0
    predicted = (plane((20, 20)) + 0.5).requires_grad_()
    confidence = torch.ones_like(predicted).requires_grad_()
    loss = regression_loss(predicted, truth) + confidence_loss(predicted, confidence, truth, 0.2)
    torch.testing.assert_close(loss.detach(), torch.tensor([0.0 if measured == 99 else 1.0]))
    loss.sum().backward()  # the graph is there either way
    assert confidence.grad is not None


def test_a_prediction_that_is_not_finite_is_no_silent_zero():
    predicted = plane()
    predicted[0, 0, 0, 0] = torch.nan
    for loss in (regression_loss(predicted, plane() * 0), gradient_loss(predicted, plane() * 0)):
        assert loss.isnan().all()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="of one size"):
        regression_loss(plane(), plane((4, 4)))


# ---- Pairs


def test_covisible_pixels_are_those_a_measured_point_lands_on():
    """A wall at 2 m, the camera stepping aside by a quarter of the image: three quarters are seen from both places."""
    depth = torch.full((1, 8, 8), 2.0)
    intrinsics = torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
    aside = torch.eye(4)[None].clone()
    aside[0, 0, 3] = -2 * 2 / 8.0  # points move two pixels to the left
    seen = covisible_pixels(depth, intrinsics, depth, intrinsics, aside)
    assert seen[0, :, :6].all()
    assert not seen[0, :, 6:].any()
    depth_with_hole = depth.clone()
    depth_with_hole[0, 0, 0] = 0
    assert not covisible_pixels(depth, intrinsics, depth_with_hole, intrinsics, aside)[0, 0, 0]
    unknown = torch.full((1, 4, 4), torch.nan)
    assert not covisible_pixels(depth, intrinsics, depth, intrinsics, unknown).any()


@pytest.mark.parametrize("seen", [9, 10])
def test_a_pair_needs_ten_pixels_that_both_see(seen):
    covisible = torch.zeros(1, 4, 4, dtype=torch.bool)
    covisible.view(-1)[:seen] = True
    depth = torch.full((1, 4, 4), 3.0)
    found = pair_depth_loss(depth + 0.25, depth, covisible)
    torch.testing.assert_close(found, torch.tensor([0.25 if seen == 10 else 0.0]))


def test_the_pose_of_a_pair_carries_points_of_the_frame_into_the_neighbour():
    _, _, poses = views(AnalyticScene(), (12, 16))
    poses = poses.double()
    found = pair_poses(poses, torch.tensor([[0, 0, 1]]))
    torch.testing.assert_close(found[0], torch.linalg.inv(poses[0, 1]) @ poses[0, 0])


# ---- All of them


def arguments(**changes) -> dict:
    given = objective_arguments(alignment_distance="squared")
    pairs = torch.tensor([[0, 0, 1], [1, 0, 1], [1, 1, 1]])
    given |= {
        "pairs": pairs,
        "pair_predicted_depth_metres": (given["depth_metres"][pairs[:, 0], pairs[:, 2]] + 0.3).requires_grad_(),
        "neighbour_index": torch.tensor([[[1], [1]], [[1], [1]]]),
    }
    return given | changes


def test_the_terms_are_sums_of_the_losses():
    given = arguments()
    predicted, confidence, depth = (given[name] for name in ("predicted_depth_metres", "confidence", "depth_metres"))
    outputs = release_objective(**given)
    expected = confidence_loss(predicted, confidence, depth, 0.2) + regression_loss(predicted, depth)
    torch.testing.assert_close(outputs["loss_geometry"], (expected + gradient_loss(predicted, depth)).mean())
    teacher = given["teacher_descriptors"]
    cosine = alignment_loss(given["student"], teacher).mean()
    torch.testing.assert_close(outputs["loss_global"], 2 * cosine)
    # Sample 1 has two pairs, one of them of a frame with itself, which sees all that is measured.
    assert 0.3 < outputs["loss_cross_view"] < 0.3 + (predicted - depth).abs().max()
    assert 0.3 < outputs["cross_view_coverage"] <= 1
    total = sum(outputs[name] for name in ("loss_geometry", "loss_cross_view", "loss_global"))
    total.backward()
    for name in ("predicted_depth_metres", "confidence", "pair_predicted_depth_metres", "student"):
        assert given[name].grad.abs().sum() > 0, name


def test_a_pair_of_a_frame_with_itself_sees_all_that_is_measured():
    given = arguments(pairs=torch.tensor([[0, 1, 1]]))
    given["pair_predicted_depth_metres"] = given["depth_metres"][:1, 1] + 0.3
    given["predicted_depth_metres"] = given["depth_metres"] + 0.2
    outputs = release_objective(**given)
    torch.testing.assert_close(
        outputs["loss_cross_view"], torch.tensor((0.3 + 0.2) / 2)
    )  # of two samples, one has a pair
    torch.testing.assert_close(outputs["cross_view_coverage"], torch.tensor(0.5))


@pytest.mark.parametrize("missing", ["depth_metres", "intrinsics", "world_from_camera"])
def test_without_a_target_all_terms_keep_their_graph(missing):
    given = arguments(**{missing: None}, pairs=None, teacher_descriptors=None)
    outputs = release_objective(**given)
    assert outputs["loss_cross_view"] == 0
    sum(outputs[name] for name in ("loss_geometry", "loss_cross_view", "loss_global")).backward()
    assert given["pair_predicted_depth_metres"].grad is not None


@pytest.mark.parametrize("term", ["geometry", "cross_view", "global"])
def test_a_weight_of_zero_removes_the_term(term):
    outputs = release_objective(**arguments(**{f"{term}_weight": 0.0}))
    assert f"loss_{term}" not in outputs


def test_a_missing_prediction_is_named():
    with pytest.raises(ValueError, match=r"add_training_heads"):
        release_objective(**arguments(predicted_depth_metres=None))
