"""Exact where the scale is known, whatever a fifth of the pixels says."""

import pytest
import torch

from igep.scale_alignment import chosen_frames, frame_scales, scene_scale


def depths(frames=3, batch=2, scale=2.5):
    generator = torch.Generator().manual_seed(0)
    relative = 0.5 + 3 * torch.rand(batch, frames, 12, 16, generator=generator)
    return relative, scale * relative


def test_a_known_scale_is_found():
    relative, metric = depths()
    torch.testing.assert_close(frame_scales(relative, metric), torch.full((2, 3), 2.5))
    torch.testing.assert_close(scene_scale(relative, metric), torch.full((2,), 2.5))


def test_it_is_the_minimum_of_the_weighted_squares():
    generator = torch.Generator().manual_seed(1)
    relative = 0.5 + torch.rand(1, 12, 16, generator=generator, dtype=torch.float64)
    metric = 2 * relative * (1 + 0.1 * torch.randn(1, 12, 16, generator=generator, dtype=torch.float64))
    confidence = 1 + torch.rand(1, 12, 16, generator=generator, dtype=torch.float64)
    found = frame_scales(relative, metric, confidence, trim=1e9)
    weights = confidence / metric**2
    expected = (weights * relative * metric).sum((1, 2)) / (weights * relative**2).sum((1, 2))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("factor", [0.1, 10.0, 1000.0])
def test_a_fifth_of_gross_outliers_in_every_frame_changes_nothing(factor):
    relative, metric = depths()
    wrong = torch.rand(relative.shape, generator=torch.Generator().manual_seed(2)) < 0.2
    torch.testing.assert_close(
        scene_scale(relative, torch.where(wrong, factor * metric, metric)), torch.full((2,), 2.5)
    )
    noisy = metric * (1 + 0.02 * torch.randn(metric.shape, generator=torch.Generator().manual_seed(3)))
    found = scene_scale(relative, torch.where(wrong, factor * noisy, noisy))
    torch.testing.assert_close(found, torch.full((2,), 2.5), rtol=0.01, atol=0)


def test_frames_that_are_wrong_altogether_are_outvoted():
    relative, metric = depths(frames=5)
    metric[:, :2] *= 7
    torch.testing.assert_close(scene_scale(relative, metric), torch.full((2,), 2.5))


def test_pixels_without_a_depth_and_padding_frames_do_not_count():
    relative, metric = depths()
    relative[0, 0, :6], metric[0, 1, 3:9], metric[0, 0, 9] = 0, torch.nan, torch.inf
    relative[1, 2], metric[1, 2] = 1.0, 9.0
    mask = torch.tensor([[True, True, True], [True, True, False]])
    torch.testing.assert_close(scene_scale(relative, metric, None, mask), torch.full((2,), 2.5))


def test_a_sample_without_any_depth_is_an_error():
    relative, metric = depths()
    metric[1] = 0
    with pytest.raises(ValueError, match="sample 1 has no pixel"):
        scene_scale(relative, metric)


def test_of_many_frames_so_many_are_drawn_by_the_seed_and_their_number():
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, 30:] = False
    chosen = chosen_frames(mask, 16, seed=0)
    assert chosen.sum(1).tolist() == [16, 16]
    assert not (chosen & ~mask).any()
    assert torch.equal(chosen, chosen_frames(mask, 16, seed=0))
    assert not torch.equal(chosen, chosen_frames(mask, 16, seed=1))
    assert torch.equal(chosen_frames(mask[:, :16], 16, seed=0), mask[:, :16])


def test_a_scale_passes_no_gradient():
    relative, metric = depths()
    assert not scene_scale(relative.requires_grad_(), metric.requires_grad_()).requires_grad
