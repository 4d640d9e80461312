"""Bins in order, probabilities of ZoeDepth, `d = sum p (c + dc)`."""

import math

import pytest
import torch
from transformers.models.zoedepth.modeling_zoedepth import LogBinomialSoftmax

from igep.metric_depth import MetricBins, MetricDepth, log_binomial_probabilities


@pytest.mark.parametrize("bins", [2, 16, 64])
def test_probabilities_are_those_of_transformers(bins):
    torch.manual_seed(0)
    mode = torch.cat([torch.rand(2, 1, 3, 4), torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 3, 4)], -1)
    temperature = 0.02 + 50 * torch.rand_like(mode)
    expected = LogBinomialSoftmax(bins)(mode, temperature)
    found = log_binomial_probabilities(mode, temperature, bins)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones_like(mode[:, 0]))


def test_the_likeliest_bin_follows_the_mode_and_probabilities_fall_off_on_both_sides():
    mode = torch.linspace(0, 1, 9, dtype=torch.float64).view(9, 1, 1, 1)
    found = log_binomial_probabilities(mode, 1.0, 17)[:, :, 0, 0]
    assert (found.argmax(1) - 16 * mode.flatten()).abs().max() <= 1
    for row in found:
        rising = row.diff() > 0
        assert (rising.long().diff() <= 0).all()  # up, then down


def test_centres_are_in_order_and_evenly_spaced_in_log_depth_at_first():
    bins = MetricBins(4, 8, 0.1, 20.0)
    torch.nn.init.zeros_(bins.widths.weight)
    edges = 0.1 * (200 ** (torch.arange(9) / 8))
    torch.testing.assert_close(bins.centres(), (edges[1:] * edges[:-1]).sqrt())
    torch.nn.init.normal_(bins.widths.weight, std=3)
    centres = bins.centres()
    assert (centres.diff() > 0).all()
    assert centres[0] > 0.1
    assert centres[-1] < 20


def test_depth_is_the_mean_of_the_moved_centres():
    torch.manual_seed(0)
    bins = MetricBins(4, 5, 0.5, 8.0)
    features = torch.randn(1, 4, 2, 3)
    centres = bins.centres()
    moved = []
    limits = [centres[0] - 0.5, *(centres[1:-1] * 0), 8.0 - centres[-1]]
    for k in range(5):
        gaps = [centres[j + 1] - centres[j] for j in (k - 1, k) if 0 <= j < 4]
        limit = min(gaps) / 2 if 0 < k < 4 else min(gaps[0] / 2, limits[k])
        moved.append(centres[k] + limit * bins.refinement(features)[0, k].tanh())
    mode, temperature = bins.distribution(features).sigmoid().chunk(2, 1)
    shares = log_binomial_probabilities(mode, 0.02 + 49.98 * temperature, 5)[0]
    torch.testing.assert_close(bins(features)[0, 0], sum(p * c for p, c in zip(shares, moved, strict=True)))


def test_depth_stays_between_its_ends_whatever_the_features_are():
    torch.manual_seed(0)
    bins = MetricBins(4, 8, 0.1, 20.0)
    depth = bins(1e4 * torch.randn(2, 4, 5, 5))
    assert depth.isfinite().all()
    assert ((depth > 0.1 - 1e-4) & (depth < 20 + 1e-4)).all()


def test_it_learns_a_constant_and_every_weight_has_a_gradient():
    torch.manual_seed(0)
    module = MetricDepth(6, 8, taps=2, stride=2, bins=8, min_depth_metres=0.1, max_depth_metres=20.0)
    maps = [torch.randn(2, 6, 3, 4) for _ in range(2)]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for step in range(60):
        depth = module(maps, (9, 13))
        loss = (depth.log() - math.log(3.0)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert depth.shape == (2, 9, 13)
            assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
        optimizer.step()
    assert loss < 0.1
