import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.supervision.metric_depth_loss import metric_depth_loss


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return 1 + 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_value_is_the_closed_form():
    truth = torch.tensor([[[[1.0, 2.0, 4.0, 0.0]]]])
    predicted = torch.tensor([[[[2.0, 2.0, 2.0, 9.0]]]])
    log2 = math.log(2)  # errors log2, 0, -log2: mean 0
    expected = 2 * log2**2 / (1 + 0.5 * log2) / 3
    torch.testing.assert_close(metric_depth_loss(predicted, truth, 0.5, 0.0), torch.tensor([expected]))
    torch.testing.assert_close(
        metric_depth_loss(3 * predicted, truth, 0.5, 0.0), torch.tensor([math.log(3) ** 2 + expected])
    )


@given(st.floats(0.1, 10), st.floats(0, 5), st.integers(0, 1000))
def test_a_wrong_scale_costs_the_square_of_its_logarithm_alone(factor, alpha, seed):
    truth = maps(1, 2, 3, 4, seed=seed)
    loss = metric_depth_loss(factor * truth, truth, alpha, 0.0)
    torch.testing.assert_close(loss, torch.full_like(loss, math.log(factor) ** 2))


def test_samples_and_frames_are_means_of_their_own():
    predicted, truth = maps(3, 2, 4, 5), maps(3, 2, 4, 5, seed=1)
    truth[0, 1], truth[1], truth[2, 0, 0] = 0, torch.nan, torch.inf
    predicted.requires_grad_()
    together = metric_depth_loss(predicted, truth)
    frames = [
        [metric_depth_loss(predicted[b, f][None, None], truth[b, f][None, None]) for f in range(2)] for b in (0, 2)
    ]
    torch.testing.assert_close(together[0], frames[0][0][0])  # the other frame has no depth
    torch.testing.assert_close(together[2], (frames[1][0][0] + frames[1][1][0]) / 2)
    assert together[1] == 0  # no depth at all: a zero with its graph
    together.sum().backward()
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[1] == 0).all()
    assert (predicted.grad[2, 0, 0] == 0).all()


def test_what_is_not_finite_is_seen_and_bad_options_are_refused():
    truth = maps(1, 1, 2, 2)
    broken = truth.clone()
    broken[..., 0, 0] = torch.nan
    assert metric_depth_loss(broken, truth).isnan()
    assert metric_depth_loss(broken, torch.zeros_like(truth)).isnan()
    with pytest.raises(ValueError, match="one size"):
        metric_depth_loss(truth, truth[..., :1])
    with pytest.raises(ValueError, match="alpha=-1"):
        metric_depth_loss(truth, truth, alpha=-1)
