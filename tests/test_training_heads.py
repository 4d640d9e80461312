"""The heads on their own: what they can predict, and the geometry that they take."""

import math

import pytest
import torch

from igep.training_heads import DepthVerifier, TeacherProjector, check_geometry, scatter_frames


def geometry_of(**changes):
    geometry = {
        "frame_mask": torch.ones(2, 3, dtype=torch.bool),
        "depth_metres": torch.ones(2, 3, 4, 5),
        "intrinsics": torch.ones(2, 3, 3, 3),
        "world_from_camera": torch.ones(2, 3, 4, 4),
        "neighbour_index": torch.zeros(2, 3, dtype=torch.long),
        "teacher_descriptors": torch.ones(2, 3, 2, 2, 8),
    }
    return geometry | changes


def verifier(frames_per_map=1, limits=(0.1, 20.0)):
    torch.manual_seed(0)
    return DepthVerifier(8, 4, 2, frames_per_map, *limits)


def test_uncertainty_and_depth_are_bounded_for_any_activation():
    head = verifier()
    with torch.no_grad():
        head.decoder.prediction.weight.mul_(1e6)
        depth, confidence = head((torch.randn(2, 4, 4, 8),) * 2, (16, 24))
    assert depth.isfinite().all()
    assert depth.min() >= 0.1 - 1e-5
    assert depth.max() <= 20 + 1e-3
    assert confidence.min() >= math.exp(-4) - 1e-5
    assert confidence.max() <= math.exp(4) + 1e-3


@pytest.mark.parametrize(
    ("limits", "start"), [((0.1, 20.0), 2.5), ((4.0, 20.0), 4.0 * 5**0.1), ((0.1, 1.0), 0.1 * 10**0.9)]
)
def test_it_starts_at_the_middle_of_a_room_or_near_it(limits, start):
    head = verifier(limits=limits)
    with torch.no_grad():
        for parameter in head.decoder.prediction.parameters():
            parameter.zero_()
        depth, confidence = head((torch.randn(1, 2, 2, 8),) * 2, (4, 4))
    torch.testing.assert_close(depth, torch.full((1, 4, 4), start))
    torch.testing.assert_close(confidence, torch.ones(1, 4, 4))


def test_a_map_of_two_frames_is_two_predictions():
    depth, confidence = verifier(frames_per_map=2)((torch.randn(3, 2, 2, 8),) * 2, (4, 6))
    assert depth.shape == confidence.shape == (6, 4, 6)


def test_the_projector_maps_tokens_one_by_one():
    torch.manual_seed(0)
    head = TeacherProjector(8, 5)
    tokens = torch.randn(2, 3, 4, 8)
    projected = head(tokens.to(torch.bfloat16))
    assert projected.shape == (2, 3, 4, 5)
    assert projected.dtype == torch.float32
    torch.testing.assert_close(head(tokens)[1, 2, 3], head(tokens[1, 2, 3]))


def test_frames_go_to_their_places():
    mask = torch.tensor([[True, False, False], [True, True, False]])
    placed = scatter_frames(torch.tensor([[1.0], [2.0], [3.0]]), mask)
    assert placed[..., 0].tolist() == [[1, 0, 0], [2, 3, 0]]


def test_geometry_that_fits_is_taken():
    check_geometry(geometry_of(), teacher_channels=8)
    absent = dict.fromkeys(geometry_of(), None) | {"frame_mask": torch.ones(2, 3, dtype=torch.bool)}
    check_geometry(absent, teacher_channels=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth_metres", torch.ones(2, 3, 4)),
        ("intrinsics", torch.ones(2, 3, 4, 4)),
        ("world_from_camera", torch.ones(2, 2, 4, 4)),
        ("neighbour_index", torch.zeros(2, 4)),
        ("teacher_descriptors", torch.ones(2, 3, 2, 2, 9)),
        ("frame_mask", torch.ones(2, 3)),
    ],
)
def test_geometry_that_does_not_fit_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        check_geometry(geometry_of(**{name: value}), teacher_channels=8)


def test_descriptors_without_a_teacher_are_refused():
    with pytest.raises(ValueError, match="teacher_channels is None"):
        check_geometry(geometry_of(), teacher_channels=None)
