"""`igep_objective`, which assembles the losses of `trainers/supervision/geometry_losses.py` for the model."""

import pytest
import torch
from objective_arguments import objective_arguments

from igep.camera_geometry import unproject
from igep.trainers.supervision import geometry_losses
from igep.trainers.supervision.geometry_losses import alignment_loss, cross_view_loss, depth_loss, igep_objective
from igep.trainers.supervision.photometric_loss import photometric_loss


LOSSES = {"loss_geometry": "geometry_weight", "loss_cross_view": "cross_view_weight", "loss_global": "global_weight"}


def colours() -> dict:
    """Colours of two equal samples, without any structure that a depth would explain."""
    one = torch.randint(0, 256, (1, 2, 3, 12, 16), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    return {"frame_colours": one.repeat(2, 1, 1, 1, 1)}


class TestObjective:
    def test_terms_are_the_means_of_the_three_losses(self):
        arguments = objective_arguments()
        outputs = igep_objective(**arguments)
        depth, predicted = arguments["depth_metres"], arguments["predicted_depth_metres"]
        cross_view, coverage = cross_view_loss(
            predicted, arguments["intrinsics"], arguments["world_from_camera"], arguments["neighbour_index"], depth
        )
        expected = {
            "loss_geometry": depth_loss(predicted, arguments["confidence"], depth, 0.2).mean(),
            "loss_cross_view": cross_view.mean(),
            "loss_global": alignment_loss(arguments["student"], arguments["teacher_descriptors"]).mean(),
            "confidence_mean": torch.tensor(1.5),
            "cross_view_coverage": coverage.mean(),
            "depth_abs_rel": torch.tensor(0.1),
            "depth_delta_1": torch.tensor(1.0),
        }
        assert outputs.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(outputs[key], value, msg=key)
            assert outputs[key].requires_grad == key.startswith("loss_")

    @pytest.mark.parametrize("key", LOSSES)
    def test_a_weight_of_zero_removes_the_term(self, key):
        assert igep_objective(**objective_arguments(**{LOSSES[key]: 0.0})).keys() & LOSSES.keys() == LOSSES.keys() - {
            key
        }

    def test_missing_targets_are_zeros_that_reach_every_prediction(self):
        missing = ("depth_metres", "intrinsics", "world_from_camera", "neighbour_index", "teacher_descriptors")
        arguments = objective_arguments(**dict.fromkeys(missing))
        outputs = igep_objective(**arguments)
        assert outputs.keys() == igep_objective(**objective_arguments()).keys()
        assert all(value.isfinite() for value in outputs.values())
        assert [outputs[key].item() for key in LOSSES] == [0, 0, 0]
        sum(outputs[key] for key in LOSSES).backward()
        for name in ("predicted_depth_metres", "confidence", "student"):
            assert (arguments[name].grad == 0).all()

    def test_padded_frames_change_nothing(self):
        def padded(value: torch.Tensor, filling: float) -> torch.Tensor:
            return torch.cat([value, torch.full_like(value[:, :1], filling)], dim=1)

        arguments = objective_arguments()
        fillings = {
            "predicted_depth_metres": 0.0,
            "confidence": 0.0,
            "student": 0.0,
            "depth_metres": 3.0,
            "intrinsics": torch.nan,
            "world_from_camera": torch.nan,
            "frame_mask": False,
            "teacher_descriptors": 1.0,
        }
        longer = arguments | {name: padded(arguments[name].detach(), value) for name, value in fillings.items()}
        longer["neighbour_index"] = torch.tensor([[1, 0, 0], [1, 0, 1]])
        expected, outputs = igep_objective(**arguments), igep_objective(**longer)
        for key, value in expected.items():
            torch.testing.assert_close(outputs[key], value.detach(), msg=key)

    def test_a_neighbour_that_is_padding_is_no_neighbour(self):
        outputs = igep_objective(**objective_arguments(frame_mask=torch.tensor([[True, False], [True, False]])))
        assert outputs["loss_cross_view"] == 0
        assert outputs["cross_view_coverage"] == 0

    @pytest.mark.parametrize("nothing", [0.0, -1.0, torch.nan, torch.inf])
    @pytest.mark.parametrize("unmeasured", [(0,), (1,), (0, 1)])
    def test_frames_without_measured_depth_are_not_compared_across_views(self, unmeasured, nothing):
        arguments = objective_arguments()
        expected = igep_objective(**arguments)
        assert expected["loss_cross_view"] > 0
        depth = arguments["depth_metres"].clone()
        depth[1, list(unmeasured)] = nothing
        outputs = igep_objective(**(arguments | {"depth_metres": depth}))
        # Two equal samples, of which one is left: a loss that is 0 and no other.
        torch.testing.assert_close(outputs["loss_cross_view"], expected["loss_cross_view"] / 2)
        torch.testing.assert_close(outputs["cross_view_coverage"], expected["cross_view_coverage"] / 2)

    def test_posed_frames_alone_do_not_pull_at_predicted_depth(self):
        """With L1 in metres between predictions, shrinking depth would lower the loss."""
        for scale in (0.1, 1.0, 8.0):
            arguments = objective_arguments(depth_metres=None, geometry_weight=0.0, global_weight=0.0)
            predicted = (arguments["predicted_depth_metres"] * scale).detach().requires_grad_()
            outputs = igep_objective(**(arguments | {"predicted_depth_metres": predicted}))
            outputs["loss_cross_view"].backward()
            assert outputs["loss_cross_view"] == 0
            assert not predicted.grad.any()

    def test_frames_without_measured_depth_are_held_by_colour(self):
        arguments = objective_arguments(**colours(), photometric_weight=1.0)
        depth = arguments["depth_metres"].clone()
        depth[1] = 0
        outputs = igep_objective(**(arguments | {"depth_metres": depth}))
        loss, coverage = photometric_loss(
            arguments["predicted_depth_metres"],
            arguments["frame_colours"],
            arguments["intrinsics"],
            arguments["world_from_camera"],
            arguments["neighbour_index"],
        )
        # Two equal samples, of which one has no depth.
        assert loss[0] > 0
        torch.testing.assert_close(outputs["loss_photometric"], loss[0] / 2)
        torch.testing.assert_close(outputs["photometric_coverage"], coverage[0] / 2)

    def test_colour_changes_nothing_where_depth_is_measured(self):
        plain, outputs = (
            igep_objective(**objective_arguments(**given)) for given in ({}, colours() | {"photometric_weight": 1.0})
        )
        assert outputs["loss_photometric"] == outputs["photometric_coverage"] == 0
        assert outputs["loss_photometric"].requires_grad
        assert outputs.keys() - plain.keys() == {"loss_photometric", "photometric_coverage"}
        for key, value in plain.items():
            assert torch.equal(outputs[key], value), key

    def test_a_frame_with_a_measured_pixel_is_not_held_by_colour(self):
        arguments = objective_arguments(**colours(), photometric_weight=1.0)
        depth = torch.zeros_like(arguments["depth_metres"])
        depth[:, 0, 3, 3] = 2.0
        predicted = arguments["predicted_depth_metres"]
        igep_objective(**(arguments | {"depth_metres": depth}))["loss_photometric"].backward()
        assert not predicted.grad[:, 0].any()
        assert predicted.grad[:, 1].any()

    @pytest.mark.parametrize("missing", ["intrinsics", "world_from_camera", "neighbour_index"])
    def test_without_cameras_colour_says_nothing(self, missing):
        given = {"depth_metres": None, missing: None, "photometric_weight": 1.0}
        arguments = objective_arguments(**colours(), **given)
        outputs = igep_objective(**arguments)
        outputs["loss_photometric"].backward()
        assert outputs["loss_photometric"] == outputs["photometric_coverage"] == 0
        assert (arguments["predicted_depth_metres"].grad == 0).all()

    def test_colour_of_padding_is_no_neighbour(self):
        mask = torch.tensor([[True, False], [True, False]])
        outputs = igep_objective(
            **objective_arguments(**colours(), frame_mask=mask, depth_metres=None, photometric_weight=1.0)
        )
        assert outputs["loss_photometric"] == 0

    def test_autocast_does_not_touch_it(self):
        outside = igep_objective(**objective_arguments())
        with torch.autocast("cpu", torch.bfloat16):
            inside = igep_objective(**objective_arguments())
        for key, value in outside.items():
            assert inside[key].dtype == torch.float32
            assert torch.equal(inside[key], value), key

    def test_autocast_is_off_inside(self, monkeypatch):
        seen = []

        def watched(*arguments):
            seen.append(torch.is_autocast_enabled("cpu"))
            return unproject(*arguments)

        monkeypatch.setattr(geometry_losses, "unproject", watched)
        with torch.autocast("cpu", torch.bfloat16):
            igep_objective(**objective_arguments())
        assert seen == [False]

    def test_half_precision_predictions_are_computed_in_single(self):
        arguments = objective_arguments()
        half = {
            name: arguments[name].detach().bfloat16() for name in ("predicted_depth_metres", "confidence", "student")
        }
        outputs = igep_objective(**(arguments | half))
        rounded = igep_objective(**(arguments | {name: value.float() for name, value in half.items()}))
        for key, value in rounded.items():
            assert torch.equal(outputs[key], value), key

    def test_without_a_projector_there_is_no_global_term(self):
        outputs = igep_objective(**objective_arguments(student=None, teacher_descriptors=None))
        assert "loss_global" not in outputs

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"predicted_depth_metres": None}, "predicted_depth_metres is None: call add_training_heads"),
            ({"confidence": None}, "confidence is None.*geometry_weight"),
            ({"photometric_weight": 1.0}, "frame_colours is None.*photometric_weight to 0"),
            ({"student": None}, "student is None.*teacher_channels"),
            ({"depth_metres": torch.ones(2, 2, 4, 4)}, r"depth_metres .*\(2, 2, 4, 4\).*\(2, 2, 12, 16\)"),
            ({"intrinsics": torch.eye(3).expand(2, 1, 3, 3)}, r"intrinsics .*\(2, 2, 3, 3\).*\(2, 1, 3, 3\)"),
            ({"world_from_camera": torch.eye(3).expand(2, 2, 3, 3)}, r"world_from_camera .*\(2, 2, 4, 4\)"),
            ({"teacher_descriptors": torch.ones(2, 2, 3, 4, 5)}, "teacher_channels"),
            ({"student": torch.ones(2, 2, 12, 6)}, r"\(B, F, h, w, C\).*\(2, 2, 12, 6\)"),
        ],
    )
    def test_bad_input_is_named(self, changes, message):
        with pytest.raises(ValueError, match=message):
            igep_objective(**objective_arguments(**changes))
