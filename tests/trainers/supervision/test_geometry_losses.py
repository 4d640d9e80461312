import math

import pytest
import torch
from analytic_scene import POSES, AnalyticScene, camera, pose, views
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from igep.camera_geometry import relative_pose, unproject
from igep.trainers.supervision.geometry_losses import (
    alignment_loss,
    cross_view_loss,
    depth_loss,
    verifier_metrics,
)


SIZE = (48, 64)
NO_BOX = AnalyticScene(box_low=(50, 50, 50), box_high=(51, 51, 51))
ONTO_FIRST = torch.tensor([[1, -1]])  # frame 1 is warped into frame 0, nothing into frame 1


def random_maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return 1 + 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestDepthLoss:
    def test_value_is_the_closed_form(self):
        predicted = torch.tensor([[[[1.0, 2.5], [4.0, 3.0]]]])
        truth = torch.tensor([[[[1.5, 2.0], [3.0, 3.0]]]])
        confidence = torch.tensor([[[[0.5, 1.0], [2.0, 3.0]]]])
        # errors -.5 .5 / 1 0; steps right 1 - / 1 -; steps down 1.5 .5 / - -
        expected = 0.5 * (0.5 + 1 + 1.5) + 1 * (0.5 + 0.5) + 2 * (1 + 1) + 3 * 0
        expected -= 0.3 * (math.log(0.5) + math.log(2) + math.log(3))
        torch.testing.assert_close(depth_loss(predicted, confidence, truth, 0.3), torch.tensor([expected / 4]))

    def test_gradients_are_the_closed_form(self):
        truth = torch.zeros(1, 1, 1, 3) + 2
        predicted = torch.tensor([[[[2.5, 2.1, 2.3]]]], requires_grad=True)
        confidence = torch.tensor([[[[0.7, 1.1, 1.3]]]], requires_grad=True)
        depth_loss(predicted, confidence, truth, 0.2).sum().backward()
        # d/dD: S sign(e), and each step e[i+1] - e[i] pulls its two ends with the left pixel's S
        expected = torch.tensor([0.7 + 0.7, 1.1 - 0.7 - 1.1, 1.3 + 1.1]) / 3
        torch.testing.assert_close(predicted.grad[0, 0, 0], expected)
        penalty = torch.tensor([0.5 + 0.4, 0.1 + 0.2, 0.3])
        torch.testing.assert_close(confidence.grad, ((penalty - 0.2 / confidence) / 3).detach())

    @settings(deadline=None, max_examples=30)
    @given(st.floats(0.05, 1.0), st.floats(0.3, 3.0), st.integers(0, 1000))
    def test_the_minimum_over_confidence_is_alpha_over_the_error(self, alpha, factor, seed):
        predicted, truth = random_maps(1, 1, 4, 5, seed=seed), random_maps(1, 1, 4, 5, seed=seed + 1)
        error = predicted - truth
        penalty = error.abs()
        penalty[..., :-1] += error.diff(dim=-1).abs()
        penalty[..., :-1, :] += error.diff(dim=-2).abs()
        best = (alpha / penalty).requires_grad_()
        minimum = depth_loss(predicted, best, truth, alpha)
        torch.testing.assert_close(minimum, (alpha - alpha * best.log()).mean().reshape(1))
        (gradient,) = torch.autograd.grad(minimum.sum(), best)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
        assert depth_loss(predicted, best * factor, truth, alpha) >= minimum

    def test_at_the_truth_only_the_logarithm_is_left(self):
        truth, confidence = random_maps(2, 3, 4, 5), random_maps(2, 3, 4, 5, seed=1)
        expected = -0.2 * confidence.log().mean((1, 2, 3))
        torch.testing.assert_close(depth_loss(truth, confidence, truth, 0.2), expected)
        assert (depth_loss(truth, torch.ones_like(truth), truth, 0.2) == 0).all()

    @pytest.mark.parametrize("missing", [0.0, -2.0, torch.nan, torch.inf, -torch.inf])
    def test_unmeasured_pixels_and_their_steps_take_no_part(self, missing):
        predicted, truth = random_maps(1, 1, 3, 4), random_maps(1, 1, 3, 4, seed=1)
        truth[..., 1, 2] = missing
        predicted.requires_grad_()
        depth_loss(predicted, torch.ones_like(truth), truth, 0.2).sum().backward()
        assert predicted.grad[..., 1, 2] == 0
        assert predicted.grad.isfinite().all()
        # All others: as if the map had been cut into its rows and columns around the hole.
        error = torch.where(truth.isfinite() & (truth > 0), predicted.detach() - truth, torch.nan)
        steps = error.diff(dim=-1).abs().nansum() + error.diff(dim=-2).abs().nansum()
        loss = depth_loss(predicted.detach(), torch.ones_like(truth), truth, 0.2)
        torch.testing.assert_close(loss, ((error.abs().nansum() + steps) / 11).reshape(1))

    def test_each_sample_is_the_mean_of_its_own_pixels(self):
        predicted, truth, confidence = (random_maps(3, 2, 4, 4, seed=seed) for seed in range(3))
        truth[0, 1], truth[1] = 0, 0
        together = depth_loss(predicted, confidence, truth, 0.2)
        alone = torch.cat(
            [depth_loss(predicted[b : b + 1], confidence[b : b + 1], truth[b : b + 1], 0.2) for b in range(3)]
        )
        torch.testing.assert_close(together, alone)
        assert together[1] == 0
        torch.testing.assert_close(together[:1], depth_loss(predicted[:1, :1], confidence[:1, :1], truth[:1, :1], 0.2))

    def test_padded_frames_with_zero_confidence_leave_no_nan(self):
        predicted, confidence = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
        truth = torch.zeros(1, 2, 3, 3)
        predicted[:, 0], confidence[:, 0], truth[:, 0] = 2, 1, 2.5
        predicted.requires_grad_(), confidence.requires_grad_()
        loss = depth_loss(predicted, confidence, truth, 0.2)
        torch.testing.assert_close(loss, torch.tensor([0.5]))
        loss.sum().backward()
        assert predicted.grad.isfinite().all()
        assert confidence.grad.isfinite().all()

    def test_gradcheck(self):
        truth = random_maps(2, 1, 3, 4, seed=5)
        truth[0, 0, 1, 1] = torch.nan
        arguments = random_maps(2, 1, 3, 4).requires_grad_(), random_maps(2, 1, 3, 4, seed=9).requires_grad_()
        assert torch.autograd.gradcheck(lambda d, s: depth_loss(d, s, truth, 0.2), arguments)


class TestCrossViewLoss:
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.float64, 1e-13)])
    @pytest.mark.parametrize("measured", [True, False])
    def test_zero_at_the_truth_on_a_slanted_plane(self, dtype, tolerance, measured):
        depth, intrinsics, poses = views(NO_BOX, SIZE, dtype)
        loss, coverage = cross_view_loss(depth, intrinsics, poses, torch.tensor([[1, 0]]), depth if measured else None)
        assert loss.dtype == dtype
        assert loss < tolerance
        assert coverage > 0.7

    @pytest.mark.parametrize("measured", [True, False])
    def test_near_zero_at_the_truth_behind_an_occluder(self, measured):
        depth, intrinsics, poses = views(AnalyticScene(), SIZE)
        loss, coverage = cross_view_loss(depth, intrinsics, poses, torch.tensor([[1, 0]]), depth if measured else None)
        assert loss < 5e-4, "the creases of the box are the only places where sampling is not exact"
        assert coverage > 0.5

    def test_exactly_the_pixels_that_both_views_see_are_compared(self):
        scene = AnalyticScene()
        depth, intrinsics, poses = views(scene, SIZE, torch.float64)
        matrix = intrinsics[0, 0]
        points = scene.points_world(matrix, POSES[1], *SIZE)
        truth = scene.sees(points, matrix, POSES[0], *SIZE)
        predicted = depth.clone()
        predicted[:, 0] *= 1.01  # every compared pixel now disagrees, so its source has a gradient
        predicted.requires_grad_()
        loss, coverage = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, depth)
        loss.sum().backward()
        compared = predicted.grad[0, 1] != 0
        assert (~truth).sum() > 0.1 * truth.numel(), "the scene must hide something for this test to mean anything"
        assert not (compared & ~truth).any()
        assert compared.sum() > 0.85 * truth.sum()
        torch.testing.assert_close(coverage, compared.double().mean().reshape(1))

    def test_without_measured_depth_the_prediction_hides_its_own_pixels(self):
        scene = AnalyticScene()
        depth, intrinsics, poses = views(scene, SIZE, torch.float64)
        matrix = intrinsics[0, 0]
        truth = scene.sees(scene.points_world(matrix, POSES[1], *SIZE), matrix, POSES[0], *SIZE)
        predicted = depth.clone()
        predicted[:, 0] *= 1.01
        predicted.requires_grad_()
        loss, _ = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST)
        loss.sum().backward()
        compared = predicted.grad[0, 1] != 0
        assert not (compared & ~truth).any()
        assert compared.sum() > 0.85 * truth.sum()

    def test_an_inconsistent_prediction_is_still_compared_without_measured_depth(self):
        depth, intrinsics, poses = views(NO_BOX, SIZE)
        depth[:, 0] *= 1.5  # frame 1 stands in front of what frame 0 predicts
        loss, coverage = cross_view_loss(depth, intrinsics, poses, ONTO_FIRST)
        assert loss > 0.5
        assert coverage > 0.7

    def test_what_the_warped_frame_itself_hides_is_left_out(self):
        predicted = torch.full((1, 2, 2, 16), 4.0, dtype=torch.float64)
        predicted[:, 1, :, 6:9] = 2.0  # frame 1 predicts a post that frame 0 does not know of
        intrinsics = camera(8.0, 2, 16).expand(1, 2, 3, 3)
        poses = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
        poses[:, 1, 0, 3] = 1.0  # the wall moves 2 pixels, the post 4: it hides the wall right of it
        predicted.requires_grad_()
        loss, coverage = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST)
        # 14 columns stay in view; columns 9 and 10 of the wall land on columns 11 and 12, which the post covers.
        torch.testing.assert_close(coverage, torch.tensor([12 / 16], dtype=torch.float64))
        torch.testing.assert_close(loss, torch.tensor([3 * 2.0 / 12], dtype=torch.float64))

    def test_scaling_one_view_costs_the_difference_in_depth(self):
        wall = torch.full((1, 2, 8, 8), 2.0, dtype=torch.float64)
        intrinsics = camera(6.0, 8, 8).expand(1, 2, 3, 3)
        predicted = wall.clone()
        predicted[:, 1] = 2.5
        poses = torch.eye(4, dtype=torch.float64).expand(1, 2, 4, 4)
        loss, coverage = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, wall)
        torch.testing.assert_close(loss, torch.tensor([0.5], dtype=torch.float64))
        assert coverage == 1

    def test_gradients_are_the_closed_form(self):
        intrinsics, size = camera(6.0, 8, 8), (8, 8)
        poses = torch.stack([pose(0, 0, 0), pose(0.0, 0.0, -0.5, 10)])[None]
        truth = torch.stack([NO_BOX.depth_metres(intrinsics, each, *size) for each in poses[0]])[None]
        predicted = truth.clone()
        predicted[:, 1] *= 1.02
        predicted.requires_grad_()
        loss, coverage = cross_view_loss(predicted, intrinsics.expand(1, 2, 3, 3), poses, ONTO_FIRST, truth)
        loss.sum().backward()
        count = (coverage * 64).round()
        # Source pixel: z in the target is (R ray)_z * D + t_z. Landing coordinates carry no gradient.
        rays = unproject(torch.ones(8, 8, dtype=torch.float64), intrinsics)
        slope = rays @ relative_pose(poses[0, 0], poses[0, 1])[2, :3]
        gradient = predicted.grad[0, 1]
        compared = gradient != 0
        assert compared.sum() == count
        torch.testing.assert_close(gradient[compared], (slope / count)[compared])
        # Target: a sample is homogeneous of degree 1 in its four neighbours, so Euler's sum is minus the mean sample.
        target = (predicted.detach()[0, 0] * predicted.grad[0, 0]).sum()
        warped = (slope * predicted.detach()[0, 1])[compared].mean() + relative_pose(poses[0, 0], poses[0, 1])[2, 3]
        torch.testing.assert_close(-target, warped - loss.detach()[0])

    def test_pixels_that_land_across_a_depth_edge_are_left_out(self):
        step = torch.full((1, 2, 4, 12), 2.0, dtype=torch.float64)
        step[..., 6:] = (
            2.16  # sampled in the middle it differs from either side by less than the occlusion test allows
        )
        intrinsics = camera(8.0, 4, 12).expand(1, 2, 3, 3)
        poses = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
        poses[:, 1, 0, 3] = -0.125  # every pixel lands about half a pixel to the left
        predicted = step.clone()
        predicted[:, 0] *= 1.01
        predicted.requires_grad_()
        cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, step)[0].sum().backward()
        compared = predicted.grad[0, 1] != 0
        expected = torch.ones(4, 12, dtype=torch.bool)
        expected[:, 0] = False  # leaves the frame
        expected[:, 6] = False  # lands between the sides of the step
        assert torch.equal(compared, expected)

    @pytest.mark.parametrize("broken", ["depth", "pose", "intrinsics", "no neighbour", "no overlap", "singular"])
    def test_nothing_to_compare_is_a_finite_zero_with_a_gradient_path(self, broken):
        depth, intrinsics, poses = (value.clone() for value in views(AnalyticScene(), SIZE))
        measured, neighbour = depth.clone(), torch.tensor([[1, 0]])
        if broken == "depth":
            measured[:, :, ::2], measured[:, :, 1::2] = torch.nan, torch.inf
            measured[0, 0, 0, 0] = measured[0, 1, 0, 0] = 2.0
        elif broken == "pose":
            poses[:, 1] = -torch.inf
        elif broken == "intrinsics":
            intrinsics[:, 0] = torch.nan
        elif broken == "no neighbour":
            neighbour = torch.tensor([[-1, -1]])
        elif broken == "no overlap":
            poses[:, 1] = pose(0, 0, 0, 180).float()
        elif broken == "singular":
            intrinsics[:, 0, 1, 1], poses[:, 1, :3, 0] = 0, 0
        depth.requires_grad_()
        loss, coverage = cross_view_loss(depth, intrinsics, poses, neighbour, measured)
        assert loss.tolist() == [0]
        assert coverage.tolist() == [0]
        loss.sum().backward()
        assert (depth.grad == 0).all()

    def test_a_lost_frame_does_not_disturb_the_others(self):
        depth, intrinsics, poses = (
            value.repeat(2, 2, *[1] * (value.ndim - 2)) for value in views(AnalyticScene(), SIZE)
        )
        depth[:, 0] *= 1.05
        neighbour = torch.tensor([[1, 0, -1, -1]]).repeat(2, 1)
        clean, _ = cross_view_loss(depth, intrinsics, poses, neighbour, depth)
        poses[:, 2], intrinsics[:, 3] = torch.nan, torch.inf
        depth.requires_grad_()
        neighbour = torch.tensor([[1, 0, 3, 2]]).repeat(2, 1)
        loss, _ = cross_view_loss(depth, intrinsics, poses, neighbour, depth.detach())
        assert torch.equal(loss.detach(), clean)
        loss.sum().backward()
        assert depth.grad.isfinite().all()

    def test_partly_invalid_depth_leaves_finite_gradients(self):
        depth, intrinsics, poses = views(AnalyticScene(), SIZE)
        measured = depth.clone()
        holes = torch.rand(depth.shape, generator=torch.Generator().manual_seed(0))
        measured[holes < 0.1], measured[(holes > 0.1) & (holes < 0.2)], measured[holes > 0.9] = 0, torch.nan, torch.inf
        predicted = (depth * 1.03).requires_grad_()
        loss, coverage = cross_view_loss(predicted, intrinsics, poses, torch.tensor([[1, 0]]), measured)
        assert 0.05 < coverage < 0.5
        loss.sum().backward()
        assert predicted.grad.isfinite().all()
        assert predicted.grad.any()

    def test_a_prediction_that_is_not_finite_is_not_hidden(self):
        depth, intrinsics, poses = views(AnalyticScene(), SIZE)
        predicted = depth.clone()
        predicted[0, 0, 5, 5] = torch.nan
        assert cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, depth)[0].isnan()
        assert depth_loss(predicted, torch.ones_like(depth), depth, 0.2).isnan()

    def test_each_sample_is_computed_alone(self):
        depth, intrinsics, poses = (value.repeat(3, *[1] * (value.ndim - 1)) for value in views(AnalyticScene(), SIZE))
        predicted = depth * torch.tensor([1.0, 1.02, 1.05])[:, None, None, None]
        depth[2] = 0
        neighbour = torch.tensor([[1, 0], [1, -1], [1, 0]])
        together = cross_view_loss(predicted, intrinsics, poses, neighbour, depth)
        for b in range(3):
            rows = (value[b : b + 1] for value in (predicted, intrinsics, poses, neighbour, depth))
            alone = cross_view_loss(*rows)
            torch.testing.assert_close((together[0][b : b + 1], together[1][b : b + 1]), alone)
        only_prediction = cross_view_loss(predicted[2:], intrinsics[2:], poses[2:], neighbour[2:])
        torch.testing.assert_close(together[0][2:], only_prediction[0])


class TestAlignmentLoss:
    def test_value_is_one_minus_the_cosine(self):
        student = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).reshape(1, 1, 1, 2, 2)
        teacher = torch.tensor([[3.0, 0.0], [0.0, -2.0]]).reshape(1, 1, 1, 2, 2)
        expected = (0 + 1 + 1 / math.sqrt(2)) / 2
        torch.testing.assert_close(alignment_loss(student, teacher), torch.tensor([expected]))

    def test_zero_at_any_positive_multiple_of_the_teacher(self):
        teacher = torch.randn(2, 3, 4, 4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scale = random_maps(2, 3, 4, 4, 1)
        zero = torch.zeros(2, dtype=torch.float64)
        torch.testing.assert_close(alignment_loss(teacher * scale, teacher), zero, atol=1e-12, rtol=0)
        torch.testing.assert_close(alignment_loss(teacher * 3, teacher, pooled=True), zero, atol=1e-12, rtol=0)
        torch.testing.assert_close(alignment_loss(-teacher, teacher), zero + 2)

    def test_pooling_compares_the_mean_of_each_frame(self):
        student, teacher = (random_maps(2, 3, 2, 2, 5, seed=seed) - 2 for seed in (0, 1))
        expected = 1 - functional.cosine_similarity(student.mean((2, 3)), teacher.mean((2, 3)), dim=-1)
        torch.testing.assert_close(alignment_loss(student, teacher, pooled=True), expected.mean(1))

    @pytest.mark.parametrize("pooled", [False, True])
    def test_teacher_is_averaged_over_areas(self, pooled):
        student, teacher = random_maps(1, 2, 2, 3, 5) - 2, random_maps(1, 2, 4, 6, 5, seed=1) - 2
        averaged = teacher.reshape(1, 2, 2, 2, 3, 2, 5).mean((3, 5))
        torch.testing.assert_close(alignment_loss(student, teacher, pooled), alignment_loss(student, averaged, pooled))

    @pytest.mark.parametrize("pooled", [False, True])
    @pytest.mark.parametrize("missing", [0.0, torch.nan, torch.inf])
    def test_missing_descriptors_take_no_part(self, missing, pooled):
        student, teacher = random_maps(1, 2, 1, 4, 5) - 2, random_maps(1, 2, 1, 4, 5, seed=1) - 2
        expected = alignment_loss(student[:, :1, :, :2], teacher[:, :1, :, :2], pooled)
        teacher[:, 0, :, 2:], teacher[:, 1] = missing, missing
        student.requires_grad_()
        loss = alignment_loss(student, teacher, pooled)
        torch.testing.assert_close(loss.detach(), expected)
        loss.sum().backward()
        assert student.grad.isfinite().all()
        assert student.grad[:, 0, :, :2].all()
        assert not student.grad[:, 1].any()
        assert not student.grad[:, 0, :, 2:].any()

    def test_an_area_with_some_descriptors_averages_those(self):
        student, teacher = random_maps(1, 1, 1, 1, 5) - 2, random_maps(1, 1, 1, 2, 5, seed=1) - 2
        teacher[..., 1, :] = torch.nan
        torch.testing.assert_close(alignment_loss(student, teacher), alignment_loss(student, teacher[..., :1, :]))

    def test_no_teacher_at_all_and_zero_students_are_finite(self):
        student = torch.zeros(2, 1, 2, 2, 3, requires_grad=True)
        teacher = torch.ones(2, 1, 2, 2, 3)
        teacher[0] = torch.nan
        loss = alignment_loss(student, teacher)
        assert loss.tolist() == [0, 1]
        loss.sum().backward()
        assert student.grad.isfinite().all()

    def test_gradcheck(self):
        student, teacher = (random_maps(1, 2, 2, 2, 3) - 2).requires_grad_(), random_maps(1, 2, 4, 4, 3, seed=1) - 2
        assert torch.autograd.gradcheck(lambda value: alignment_loss(value, teacher), (student,))
        assert torch.autograd.gradcheck(lambda value: alignment_loss(value, teacher, pooled=True), (student,))


def test_verifier_metrics_are_the_usual_ones():
    truth = torch.tensor([[[[2.0, 2.0, 0.0, torch.nan, 4.0]]]])
    predicted = torch.tensor([[[[2.4, 3.0, 9.0, 9.0, 3.3]]]])
    metrics = verifier_metrics(predicted, truth)
    assert metrics["abs_rel"].item() == pytest.approx((0.2 + 0.5 + 0.7 / 4) / 3)
    assert metrics["delta_1"].item() == pytest.approx(2 / 3)
    assert metrics["measured_pixels"] == 3
    assert [value.item() for value in verifier_metrics(predicted, torch.zeros_like(truth)).values()] == [0, 0, 0]


def test_measured_depth_hides_on_both_sides_of_the_surface():
    """Between measurements, standing in front of the other frame's surface is as wrong as standing behind it."""
    measured = torch.full((1, 2, 2, 16), 4.0, dtype=torch.float64)
    measured[:, 1, :, 6:9] = 2.0  # frame 1 measures a post that frame 0, at the same time, does not
    intrinsics = camera(8.0, 2, 16).expand(1, 2, 3, 3)
    poses = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
    poses[:, 1, 0, 3] = 1.0  # the wall moves 2 pixels, the post 4
    predicted = measured.clone()
    predicted[:, 0] *= 1.01
    predicted.requires_grad_()
    loss, coverage = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, measured)
    loss.sum().backward()
    # 14 columns stay in view; 3 are the post, 2 of the wall land behind it.
    expected = torch.ones(2, 16, dtype=torch.bool)
    expected[:, 14:] = expected[:, 6:9] = expected[:, 9:11] = False
    assert torch.equal(predicted.grad[0, 1] != 0, expected)
    torch.testing.assert_close(coverage, torch.tensor([9 / 16], dtype=torch.float64))
    torch.testing.assert_close(loss.detach(), torch.tensor([0.04], dtype=torch.float64))


@pytest.mark.parametrize("known", [0, 1])
def test_a_pair_of_which_one_frame_alone_is_measured_reads_the_predictions(known):
    depth, intrinsics, poses = views(AnalyticScene(), SIZE)
    predicted = depth.clone()
    predicted[:, 0] *= 1.02
    measured = torch.zeros_like(depth)
    measured[:, known] = depth[:, known]
    expected = cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST)
    assert expected[1] > 0.5
    torch.testing.assert_close(cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, measured), expected)


def test_measured_depth_says_where_its_edges_are():
    """A prediction without the step must not be compared across it, where a reading is of neither side."""
    measured = torch.full((1, 2, 4, 12), 2.0, dtype=torch.float64)
    measured[..., 6:] = 2.16
    intrinsics = camera(8.0, 4, 12).expand(1, 2, 3, 3)
    poses = torch.eye(4, dtype=torch.float64).repeat(1, 2, 1, 1)
    poses[:, 1, 0, 3] = -0.125  # every pixel lands about half a pixel to the left
    predicted = torch.full_like(measured, 2.05)
    predicted[:, 0] *= 1.01
    predicted.requires_grad_()
    cross_view_loss(predicted, intrinsics, poses, ONTO_FIRST, measured)[0].sum().backward()
    expected = torch.ones(4, 12, dtype=torch.bool)
    expected[:, 0] = expected[:, 6] = False  # leaves the frame; lands between the sides of the step
    assert torch.equal(predicted.grad[0, 1] != 0, expected)
