import dataclasses
import math

import pytest
import torch
from analytic_scene import POSES, AnalyticScene, camera, pose
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from igep.camera_geometry import invert_pose, relative_pose, transform_points
from igep.trainers.supervision.reconstruction_losses import (
    camera_loss,
    confident_regression_loss,
    reconstruction_objective,
)
from igep.trainers.supervision.reconstruction_targets import ReconstructionTargets, reconstruction_targets


SIZE = (12, 16)


def posed_frames() -> dict[str, torch.Tensor]:
    """Three frames of the analytic scene in float64, as a batch of one."""
    poses, intrinsics, scene = (
        torch.cat([POSES, pose(0.1, -0.2, 0.3, 8, -4)[None]]),
        camera(14, *SIZE),
        AnalyticScene(),
    )
    return {
        "depth_metres": torch.stack([scene.depth_metres(intrinsics, each, *SIZE) for each in poses])[None],
        "intrinsics": intrinsics.expand(1, 3, 3, 3).clone(),
        "world_from_camera": poses[None],
        "frame_mask": torch.ones(1, 3, dtype=torch.bool),
    }


def perfect(targets: ReconstructionTargets, iterations: int = 2) -> dict:
    return {
        "relative_depth": targets.depth.clone(),
        "depth_confidence": torch.full_like(targets.depth, 2.0),
        "points": targets.points.clone(),
        "camera_encodings": targets.cameras.expand(iterations, *targets.cameras.shape).clone(),
        "targets": targets,
    }


def fields(targets: ReconstructionTargets) -> dict[str, torch.Tensor]:
    return {field.name: getattr(targets, field.name) for field in dataclasses.fields(targets)}


class TestTargets:
    def test_are_the_scene_in_the_first_cameras_frame_and_unit(self):
        frames = posed_frames()
        targets = reconstruction_targets(**frames)
        scene, poses = AnalyticScene(), frames["world_from_camera"][0]
        world = torch.stack([scene.points_world(frames["intrinsics"][0, 0], each, *SIZE) for each in poses])
        points = transform_points(invert_pose(poses[0]), world)
        unit = points.norm(dim=-1).mean()
        torch.testing.assert_close(targets.unit_metres, unit[None])
        torch.testing.assert_close(targets.points, points[None] / unit)
        torch.testing.assert_close(targets.depth, frames["depth_metres"] / unit)
        camera_from_first = relative_pose(poses, poses[:1])
        torch.testing.assert_close(targets.cameras[0, :, :3], camera_from_first[:, :3, 3] / unit)
        turned = Rotation.from_matrix(camera_from_first[:, :3, :3].numpy()).as_quat()
        torch.testing.assert_close(targets.cameras[0, :, 3:7].abs(), torch.from_numpy(turned).abs())
        field = [2 * math.atan(side / 2 / 14) for side in SIZE]
        torch.testing.assert_close(targets.cameras[0, :, 7:], torch.tensor([field] * 3).double())
        identity = torch.tensor([0, 0, 0, 0, 0, 0, 1]).double()
        torch.testing.assert_close(targets.cameras[0, 0, :7], identity)

    @given(st.integers(0, 1000), st.floats(0.2, 5))
    def test_know_neither_the_world_nor_the_scale(self, seed, scale):
        frames = posed_frames()
        generator = torch.Generator().manual_seed(seed)
        moved = torch.eye(4).double()
        moved[:3, :3] = torch.from_numpy(Rotation.random(rng=seed).as_matrix())
        moved[:3, 3] = 10 * torch.randn(3, generator=generator)
        poses = moved @ frames["world_from_camera"]
        expected = fields(reconstruction_targets(**frames))
        for name, value in fields(reconstruction_targets(**frames | {"world_from_camera": poses})).items():
            torch.testing.assert_close(value, expected[name], atol=1e-9, rtol=1e-9)
        poses = frames["world_from_camera"].clone()
        poses[..., :3, 3] *= scale
        larger = fields(
            reconstruction_targets(
                **frames | {"world_from_camera": poses, "depth_metres": scale * frames["depth_metres"]}
            )
        )
        for name, value in larger.items():
            torch.testing.assert_close(value, scale * expected[name] if name == "unit_metres" else expected[name])

    def test_metres_are_the_scene_itself(self):
        frames = posed_frames()
        targets = reconstruction_targets(**frames, in_metres=True)
        assert torch.equal(targets.depth, frames["depth_metres"])
        assert targets.unit_metres == 1
        own = reconstruction_targets(**frames)
        torch.testing.assert_close(targets.cameras[..., :3], own.cameras[..., :3] * own.unit_metres)
        frames["depth_metres"][:] = 0
        assert reconstruction_targets(**frames, in_metres=True).has_translation.all()

    def test_what_is_unknown_is_masked_and_finite(self):
        frames = {name: value.repeat(5, *[1] * (value.ndim - 1)) for name, value in posed_frames().items()}
        frames["world_from_camera"][0, 0] = torch.nan  # no first camera: no poses, no points
        frames["world_from_camera"][1, 2] = torch.nan
        frames["intrinsics"][2] = torch.nan
        frames["depth_metres"][3] = torch.nan
        frames["frame_mask"][4, 2] = False
        targets = reconstruction_targets(**frames)
        assert all(value.isfinite().all() for value in fields(targets).values())
        known = [[False] * 3, [True, True, False], [True] * 3, [True] * 3, [True, True, False]]
        assert targets.has_rotation.tolist() == known
        assert targets.has_translation.tolist() == [*known[:3], [False] * 3, known[4]]
        assert targets.has_field_of_view.all(1).tolist() == [True, True, False, True, False]
        assert targets.has_points.flatten(2).any(2).tolist() == [
            [False] * 3,
            known[1],
            [False] * 3,
            [False] * 3,
            known[4],
        ]
        depth = frames["depth_metres"]
        torch.testing.assert_close(targets.unit_metres[[0, 2]], depth[[0, 2]].mean((1, 2, 3)))
        assert targets.unit_metres[3] == 1

    def test_shapes_that_do_not_fit_are_named(self):
        frames = posed_frames()
        with pytest.raises(ValueError, match="intrinsics is"):
            reconstruction_targets(**frames | {"intrinsics": frames["intrinsics"][:, :2]})


class TestCameraLoss:
    def targets(self) -> ReconstructionTargets:
        return reconstruction_targets(**posed_frames())

    def test_iterations_weigh_as_powers_of_the_decay(self):
        targets = self.targets()
        cameras = targets.cameras.expand(3, 1, 3, 9).clone()
        for iteration, offset in enumerate((0.3, 0.2, 0.1)):
            cameras[iteration, ..., :3] += offset
            cameras[iteration, ..., 7:] -= offset
        loss, parts = camera_loss(cameras, targets)
        torch.testing.assert_close(loss, torch.tensor([1.5 / 3 * (0.36 * 0.3 + 0.6 * 0.2 + 0.1)]).double())
        torch.testing.assert_close(parts["camera_translation"], torch.tensor([0.1]).double())
        torch.testing.assert_close(parts["camera_field_of_view"], torch.tensor([0.1]).double())
        assert parts["camera_rotation"] == 0
        loss, _ = camera_loss(cameras[2:], targets, translation_weight=2, field_of_view_weight=0)
        torch.testing.assert_close(loss, torch.tensor([0.2]).double())

    def test_both_quaternions_of_a_rotation_are_right(self):
        targets = self.targets()
        cameras = targets.cameras[None].clone()
        cameras[0, 0, 1:, 3:7] *= -1
        assert camera_loss(cameras, targets)[0] == 0

    def test_huber_is_squares_that_go_on_straight(self):
        targets = self.targets()
        for offset, expected in ((0.05, 0.05**2 / 0.2), (0.4, 0.4 - 0.05)):
            cameras = targets.cameras[None].clone()
            cameras[..., :3] += offset
            loss, _ = camera_loss(cameras, targets, translation_distance="huber")
            torch.testing.assert_close(loss, torch.tensor([expected]).double())

    def test_unknown_cameras_give_a_zero_with_its_graph(self):
        frames = posed_frames()
        frames["world_from_camera"][:, 0] = torch.nan
        frames["intrinsics"][:] = torch.nan
        targets = reconstruction_targets(**frames)
        cameras = torch.randn(2, 1, 3, 9, requires_grad=True)
        loss, _ = camera_loss(cameras, targets)
        assert loss == 0
        loss.sum().backward()
        assert (cameras.grad == 0).all()
        assert camera_loss(torch.full_like(cameras, torch.nan), targets)[0].isnan()

    def test_what_does_not_fit_is_named(self):
        targets = self.targets()
        with pytest.raises(ValueError, match="camera_encodings is"):
            camera_loss(targets.cameras, targets)
        with pytest.raises(ValueError, match="translation_distance='l2'"):
            camera_loss(targets.cameras[None], targets, translation_distance="l2")


class TestConfidentRegression:
    def test_value_is_the_closed_form(self):
        error = torch.tensor([0.5, -0.25, 1.0, 9.0]).reshape(1, 1, 1, 4, 1)
        confidence = torch.tensor([2.0, 3.0, 1.5, torch.nan]).reshape(1, 1, 1, 4)
        mask = torch.tensor([True, True, True, False]).reshape(1, 1, 1, 4)
        loss, parts = confident_regression_loss(error, torch.where(mask, confidence, 1.0), mask, alpha=0.3)
        expected = {
            "confident": (0.5 * 2 + 0.25 * 3 + 1.5 - 0.3 * math.log(2 * 3 * 1.5)) / 3,
            "plain": 1.75 / 3,
            "gradient": (2.0 / 3 + 0.5 / 2) / 4,  # every pixel: .75 and 1.25 of three; every second: .5 of two
        }
        for name, value in expected.items():
            torch.testing.assert_close(parts[name], torch.tensor([value]))
        torch.testing.assert_close(loss, torch.tensor([sum(expected.values())]))

    def test_the_best_confidence_is_alpha_over_the_error(self):
        error = 0.1 + torch.rand(1, 1, 3, 4, 3, dtype=torch.float64)
        mask = torch.ones(1, 1, 3, 4, dtype=torch.bool)
        best = (0.2 / error.norm(dim=-1)).requires_grad_()
        loss, _ = confident_regression_loss(error, best, mask)
        (gradient,) = torch.autograd.grad(loss.sum(), best)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)

    def test_the_largest_errors_of_many_are_left_out_and_nan_is_not(self):
        error = torch.full((1, 1, 40, 50, 1), 0.1)
        error[0, 0, 0, :40] = 100.0  # 2 %
        confidence, mask = torch.ones(1, 1, 40, 50), torch.ones(1, 1, 40, 50, dtype=torch.bool)
        _, parts = confident_regression_loss(error, confidence, mask)
        torch.testing.assert_close(parts["plain"], torch.tensor([0.1]))
        _, few = confident_regression_loss(error[:, :, :10], confidence[:, :, :10], mask[:, :, :10])
        assert few["plain"] > 1
        error[0, 0, 5, 5] = torch.nan
        assert confident_regression_loss(error, confidence, mask)[0].isnan()


def test_a_perfect_reconstruction_costs_the_logarithm_of_its_confidence_alone():
    targets = reconstruction_targets(**posed_frames())
    terms = reconstruction_objective(**perfect(targets), confidence_alpha=0.3)
    expected = torch.tensor(-0.3 * math.log(2)).double()
    for name in ("loss_depth", "loss_points"):
        torch.testing.assert_close(terms[name], expected)
    assert terms["loss_camera"] == 0
    assert terms["depth_plain"] == terms["points_gradient"] == 0


def test_rows_without_targets_leave_every_prediction_without_gradient():
    """No depth, no pose, one frame of padding: terms are exact zeros that keep their graph."""
    frames = posed_frames()
    frames["depth_metres"][:] = 0
    frames["world_from_camera"][:] = torch.nan
    frames["intrinsics"][:] = torch.nan
    frames["frame_mask"][0, 2] = False
    predicted = perfect(reconstruction_targets(**frames))
    leaves = [predicted[name].requires_grad_() for name in predicted if name != "targets"]
    terms = reconstruction_objective(**predicted)
    total = terms["loss_camera"] + terms["loss_depth"] + terms["loss_points"]
    assert total == 0
    total.backward()
    assert all((leaf.grad == 0).all() for leaf in leaves)


def test_targets_of_another_size_are_refused():
    predicted = perfect(reconstruction_targets(**posed_frames()))
    with pytest.raises(ValueError, match="at the size of the frames"):
        reconstruction_objective(**predicted | {"relative_depth": predicted["relative_depth"][..., :8]})
