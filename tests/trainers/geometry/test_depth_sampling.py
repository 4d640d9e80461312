import pytest
import torch
from analytic_scene import AnalyticScene, pose
from hypothesis import given, settings
from hypothesis import strategies as st

from igep.camera_geometry import pixel_centres
from igep.trainers.geometry.depth_sampling import crosses_depth_edge, sample_inverse_depth


CAMERA = torch.tensor([[9.0, 0, 4], [0, 9, 3], [0, 0, 1]], dtype=torch.float64)


def plane(height: int, width: int, slopes: tuple[float, float] = (0.03, -0.02)) -> torch.Tensor:
    """(H, W) float64 depth whose inverse is linear in the pixel coordinates, as that of every plane is."""
    return 1 / inverse_on_plane(pixel_centres(height, width).double(), slopes)


def inverse_on_plane(pixels: torch.Tensor, slopes: tuple[float, float] = (0.03, -0.02)) -> torch.Tensor:
    return 0.4 + slopes[0] * pixels[..., 0] + slopes[1] * pixels[..., 1]


@settings(deadline=None, max_examples=50)
@given(st.floats(0.5, 7.5), st.floats(0.5, 5.5))
def test_sampling_is_exact_on_planes(x, y):
    place = torch.tensor([x, y], dtype=torch.float64)
    sampled = sample_inverse_depth(plane(6, 8), place)
    assert sampled.valid
    torch.testing.assert_close(sampled.depth_metres, 1 / inverse_on_plane(place))


def test_a_plane_rendered_by_a_camera_is_sampled_exactly():
    scene = AnalyticScene(box_low=(50, 50, 50), box_high=(51, 51, 51))
    depth = scene.depth_metres(CAMERA, pose(0.2, 0, 0, 10), 6, 8)
    between = pixel_centres(5, 7).double() + 0.5
    # A camera shifted by half a pixel sees the same rays at its own pixel centres.
    shifted = CAMERA - torch.tensor([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    truth = scene.depth_metres(shifted, pose(0.2, 0, 0, 10), 5, 7)
    torch.testing.assert_close(sample_inverse_depth(depth, between).depth_metres, truth)


def test_pixel_centres_read_the_map_itself_up_to_the_rim():
    depth = torch.rand(2, 3, 4, 5) + 1
    sampled = sample_inverse_depth(depth, pixel_centres(4, 5).expand(2, 3, 4, 5, 2))
    assert sampled.valid.all()
    torch.testing.assert_close(sampled.depth_metres, depth)


@pytest.mark.parametrize("place", [(0.2, 3.0), (7.8, 3.0), (3.0, 0.2), (3.0, 5.8), (torch.nan, 1.0), (torch.inf, 1.0)])
def test_places_without_four_neighbours_are_not_valid(place):
    sampled = sample_inverse_depth(plane(6, 8), torch.tensor(place))
    assert not sampled.valid
    assert sampled.depth_metres == 0
    assert crosses_depth_edge(plane(6, 8), torch.tensor(place))


@pytest.mark.parametrize("missing", [0.0, -1.0, torch.nan, torch.inf])
def test_an_unmeasured_neighbour_makes_a_place_invalid_and_leaves_gradients_finite(missing):
    depth = plane(6, 8)
    depth[2:4, 3:5] = missing
    depth.requires_grad_()
    places = (pixel_centres(5, 7).double() + 0.5).requires_grad_()
    sampled = sample_inverse_depth(depth, places)
    invalid = torch.zeros(5, 7, dtype=torch.bool)
    invalid[1:4, 2:5] = True  # the one in the middle has no measured neighbour at all
    assert torch.equal(sampled.valid, ~invalid)
    sampled.depth_metres.sum().backward()
    assert depth.grad.isfinite().all()
    assert places.grad.isfinite().all()
    assert (depth.grad[2:4, 3:5] == 0).all()


def test_gradients_are_right_in_depth_and_place():
    depth = (torch.rand(2, 3, 4, dtype=torch.float64) + 1).requires_grad_()
    places = (torch.rand(2, 5, 2, dtype=torch.float64) * 1.8 + 0.6).requires_grad_()
    assert torch.autograd.gradcheck(lambda d, p: sample_inverse_depth(d, p).depth_metres, (depth, places))


def test_an_empty_set_of_places_is_legal():
    assert sample_inverse_depth(torch.ones(2, 3, 3), torch.zeros(2, 0, 2)).depth_metres.shape == (2, 0)


def test_steep_planes_have_no_edges():
    steep = plane(6, 8, slopes=(0.0, 0.2))
    assert (steep[0] / steep[1]).max() > 1.3
    assert not crosses_depth_edge(steep, pixel_centres(5, 7) + 0.5).any()


def test_a_step_is_an_edge_only_for_the_places_across_it():
    depth = plane(6, 8)
    depth[:, 4:] *= 1.3
    crossing = crosses_depth_edge(depth, pixel_centres(5, 7) + 0.5)
    expected = torch.zeros(5, 7, dtype=torch.bool)
    expected[:, 3] = True
    assert torch.equal(crossing, expected)
    turned = pixel_centres(7, 5) + 0.5
    assert torch.equal(crosses_depth_edge(depth.mT, turned), expected.mT)


def test_maps_of_two_pixels_still_show_their_step():
    places = torch.tensor([1.0, 1.0])
    assert crosses_depth_edge(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), places)
    assert not crosses_depth_edge(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), places)


@pytest.mark.parametrize(
    ("depth", "places", "message"),
    [
        (torch.ones(1, 4), torch.ones(2), r"depth_metres .*2x2.*\(1, 4\)"),
        (torch.ones(4), torch.ones(2), r"depth_metres .*\(4,\)"),
        (torch.ones(4, 4), torch.ones(3), r"pixels .*\(3,\)"),
        (torch.ones(2, 4, 4), torch.ones(3, 5, 2), r"pixels has leading dimensions \(3,\), depth_metres \(2,\)"),
    ],
)
def test_bad_input_is_named_with_its_value(depth, places, message):
    with pytest.raises(ValueError, match=message):
        sample_inverse_depth(depth, places)


def test_a_rounding_error_beyond_the_outermost_centre_is_still_read():
    """A pixel centre that returns from another view comes back as 0.4999 or, on the other side, as W - 0.4999."""
    depth = plane(6, 8)
    for slack, is_read in ((5e-4, True), (5e-3, False)):
        places = torch.tensor(
            [[0.5 - slack, 3.0], [7.5 + slack, 3.0], [3.0, 0.5 - slack], [3.0, 5.5 + slack]]
        ).double()
        sampled = sample_inverse_depth(depth, places)
        assert sampled.valid.tolist() == [is_read] * 4
        if is_read:
            torch.testing.assert_close(1 / sampled.depth_metres, inverse_on_plane(places), rtol=1e-5, atol=0)
