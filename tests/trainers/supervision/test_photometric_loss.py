import pytest
import torch
from analytic_scene import AnalyticScene, camera, pose
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from igep.trainers.supervision import photometric_loss as photometric_loss_file
from igep.trainers.supervision.photometric_loss import colour_difference, photometric_loss, roughness


SIZE = (24, 32)
POSES = torch.stack([pose(0, 0, 0, 2), pose(0.3, 0.05, 0.1, -3, 2)])
NEIGHBOURS = torch.tensor([[1, 0]])
WALL = AnalyticScene(box_low=(50, 50, 50), box_high=(51, 51, 51))
WITH_BOX = AnalyticScene()


def painted(points_world: torch.Tensor) -> torch.Tensor:
    """(..., 3) metres to (3, ...) colours: smooth waves that no shift of the picture repeats."""
    x, y, z = points_world.unbind(-1)
    waves = [(3 * x + y).sin(), (4 * y - 2 * x + z).sin(), (2 * x + 3 * z).cos() * (5 * y).cos()]
    return 0.5 + 0.4 * torch.stack(waves)


def textured(scene: AnalyticScene = WALL, poses: torch.Tensor = POSES, size: tuple[int, int] = SIZE) -> dict:
    """Depth, colours and cameras of a painted scene, as the loss takes them: one sample of two frames, float64."""
    intrinsics = camera(0.9 * size[1], *size)
    depth = torch.stack([scene.depth_metres(intrinsics, each, *size) for each in poses])
    colours = torch.stack([painted(scene.points_world(intrinsics, each, *size)) for each in poses])
    return {
        "predicted_depth_metres": depth[None],
        "frame_colours": colours[None],
        "intrinsics": intrinsics.expand(1, len(poses), 3, 3),
        "world_from_camera": poses[None],
        "neighbour_index": NEIGHBOURS,
    }


def scaled(views: dict, scale: float) -> torch.Tensor:
    changed = views | {"predicted_depth_metres": views["predicted_depth_metres"] * scale}
    return photometric_loss(**changed)[0]


class TestPhotometricLoss:
    def test_the_true_depth_explains_the_colours(self):
        loss, coverage = photometric_loss(**textured())
        wrong, _ = photometric_loss(**textured() | {"predicted_depth_metres": torch.full((1, 2, *SIZE), 2.0).double()})
        assert coverage > 0.7  # all but what leaves the view
        assert loss < 0.5 * wrong

    def test_it_is_smallest_at_the_true_depth(self):
        views = textured()
        scales = torch.linspace(0.5, 2.0, 31, dtype=torch.float64)
        losses = torch.cat([scaled(views, float(scale)) for scale in scales])
        assert scales[losses.argmin()] == pytest.approx(1.0)
        # and falls towards it from both sides, so that a step leads there
        near = (scales > 0.75) & (scales < 1.3)
        slopes = losses[near].diff()
        assert (slopes[:4] < 0).all()
        assert (slopes[-4:] > 0).all()

    @pytest.mark.parametrize(("scale", "direction"), [(0.85, -1), (1.15, 1)])
    def test_its_gradient_leads_to_the_true_depth(self, scale, direction):
        views = textured()
        predicted = (views["predicted_depth_metres"] * scale).requires_grad_()
        photometric_loss(**views | {"predicted_depth_metres": predicted})[0].sum().backward()
        along = (predicted.grad * views["predicted_depth_metres"]).sum()
        assert along.sign() == direction

    def test_the_gradient_is_that_of_finite_differences(self):
        views = textured(size=(6, 8))
        start = (views["predicted_depth_metres"] * 1.05).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda depth: photometric_loss(**views | {"predicted_depth_metres": depth})[0], start, eps=1e-7, atol=1e-4
        )

    @pytest.mark.parametrize("depth_metres", [0.02, 1e4])
    def test_no_end_of_the_range_is_better_than_the_truth(self, depth_metres):
        views = textured(WITH_BOX)
        flat = torch.full_like(views["predicted_depth_metres"], depth_metres)
        away, coverage = photometric_loss(**views | {"predicted_depth_metres": flat})
        assert away > 2 * photometric_loss(**views)[0]
        assert coverage < 0.6

    def test_out_of_view_costs_what_not_moving_costs(self):
        """A pixel that is carried out of the picture neither wins nor pulls."""
        views = textured()
        near = torch.full_like(views["predicted_depth_metres"], 0.02).requires_grad_()
        loss, coverage = photometric_loss(**views | {"predicted_depth_metres": near})
        loss.sum().backward()
        colours = views["frame_colours"]
        torch.testing.assert_close(loss, colour_difference(colours[:, [1, 0]], colours).mean().reshape(1))
        assert coverage == 0
        assert not near.grad.any()

    def test_what_the_neighbour_hides_takes_no_part(self, monkeypatch):
        """Beside the box the true depth of the wall lands on the box: its colours must not pull at the wall."""
        monkeypatch.setattr(photometric_loss_file, "SMOOTHNESS", 0.0)
        views = textured(WITH_BOX)
        intrinsics, poses = views["intrinsics"][0], views["world_from_camera"][0]
        points = WITH_BOX.points_world(intrinsics[0], poses[0], *SIZE)
        hidden = WALL.sees(points, intrinsics[1], poses[1], *SIZE)
        hidden &= ~WITH_BOX.sees(points, intrinsics[1], poses[1], *SIZE)
        # A pixel's colour also counts in the windows of those around it.
        inside = -functional.max_pool2d(-hidden[None].double(), 3, 1, 1)[0] > 0
        assert inside.sum() > 5
        predicted = views["predicted_depth_metres"].requires_grad_()
        photometric_loss(**views | {"predicted_depth_metres": predicted})[0].sum().backward()
        assert not predicted.grad[0, 0][inside].any()
        assert predicted.grad[0, 0][~hidden].any()

    @pytest.mark.parametrize("turned", [0.0, 4.0])
    def test_a_camera_that_stands_still_gives_no_signal_and_says_so(self, turned):
        views = textured(poses=torch.stack([pose(0.2, 0, 0), pose(0.2, 0, 0, turned)]))
        predicted = (views["predicted_depth_metres"] * 1.2).requires_grad_()
        loss, coverage = photometric_loss(**views | {"predicted_depth_metres": predicted})
        loss.sum().backward()
        assert loss == coverage == 0
        assert not predicted.grad.any()

    def test_a_plain_wall_says_nothing_about_its_depth(self):
        views = textured()
        views["frame_colours"] = torch.full_like(views["frame_colours"], 0.3)
        for scale in (0.5, 2.0):
            assert torch.equal(scaled(views, scale), scaled(views, 1.0))
        assert photometric_loss(**views)[1] == 0

    def test_whole_numbers_are_the_same_colours(self):
        views = textured()
        whole = (views["frame_colours"] * 255).round().to(torch.uint8)
        expected = photometric_loss(**views | {"frame_colours": whole.double() / 255})
        assert torch.equal(photometric_loss(**views | {"frame_colours": whole})[0], expected[0])

    def test_each_sample_has_its_own_value(self):
        one = textured()
        two = {name: torch.cat([value, value]) for name, value in one.items()}
        two["predicted_depth_metres"] = two["predicted_depth_metres"] * torch.tensor([1.0, 1.3])[:, None, None, None]
        expected = torch.cat([scaled(one, 1.0), scaled(one, 1.3)])
        torch.testing.assert_close(photometric_loss(**two)[0], expected)

    @pytest.mark.parametrize("unknown", ["intrinsics", "world_from_camera"])
    def test_a_frame_of_unknown_camera_takes_no_part(self, unknown):
        views = textured()
        views[unknown] = views[unknown].clone()
        views[unknown][0, 1] = torch.nan
        predicted = views["predicted_depth_metres"].requires_grad_()
        loss, coverage = photometric_loss(**views | {"predicted_depth_metres": predicted})
        loss.sum().backward()
        assert loss == coverage == 0
        assert (predicted.grad == 0).all()

    def test_a_prediction_that_is_not_finite_gives_a_loss_that_is_not(self):
        views = textured()
        views["predicted_depth_metres"][0, 0, 3, 4] = torch.nan
        assert not photometric_loss(**views)[0].isfinite().any()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"predicted_depth_metres": torch.ones(2, *SIZE)}, r"predicted_depth_metres .*\(B, F, H, W\)"),
            ({"frame_colours": torch.ones(1, 2, 3, 4, 4)}, r"frame_colours .*\(1, 2, 3, 24, 32\).*\(1, 2, 3, 4, 4\)"),
            ({"intrinsics": torch.eye(3)}, r"intrinsics .*\(1, 2, 3, 3\)"),
            ({"world_from_camera": torch.eye(4)}, r"world_from_camera .*\(1, 2, 4, 4\)"),
            ({"neighbour_index": torch.tensor([1, 0])}, r"neighbour_index .*\(1, 2\)"),
        ],
    )
    def test_bad_input_is_named(self, changes, message):
        with pytest.raises(ValueError, match=message):
            photometric_loss(**textured() | changes)


class TestColourDifference:
    def test_of_equal_images_it_is_zero(self):
        images = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        torch.testing.assert_close(
            colour_difference(images, images), torch.zeros(2, 5, 6).double(), atol=1e-12, rtol=0
        )

    def test_of_plain_images_it_is_the_closed_form(self):
        first, second = torch.full((3, 4, 4), 0.2).double(), torch.full((3, 4, 4), 0.6).double()
        ssim = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
        expected = 0.85 * (1 - ssim) / 2 + 0.15 * 0.4
        torch.testing.assert_close(colour_difference(first, second), torch.full((4, 4), expected).double())

    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 1000))
    def test_it_is_symmetric_and_at_most_one(self, seed):
        generator = torch.Generator().manual_seed(seed)
        first, second = torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.float64)
        difference = colour_difference(first, second)
        torch.testing.assert_close(difference, colour_difference(second, first))
        assert difference.min() > 0
        assert difference.max() <= 1


class TestRoughness:
    def test_planes_of_one_depth_have_none(self):
        assert not roughness(torch.full((4, 5), 3.0), torch.rand(3, 4, 5)).any()

    @settings(deadline=None, max_examples=20)
    @given(st.floats(0.2, 5.0))
    def test_scale_does_not_change_it(self, scale):
        depth = torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 2.0]], dtype=torch.float64)
        colours = torch.full((3, 2, 3), 0.5).double()
        torch.testing.assert_close(roughness(depth * scale, colours), roughness(depth, colours))

    def test_a_step_is_cheap_where_colour_steps(self):
        depth = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
        plain = torch.full((3, 2, 2), 0.5)
        edge = plain.clone()
        edge[..., 1] = 1.0
        # inverse depths 1 and 1/2 over their mean 3/4
        torch.testing.assert_close(roughness(depth, plain)[:, 0], torch.full((2,), 2 / 3))
        torch.testing.assert_close(roughness(depth, edge)[:, 0], torch.full((2,), 2 / 3) * torch.tensor(-5.0).exp())
