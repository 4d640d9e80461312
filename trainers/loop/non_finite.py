"""Training stops at the first loss or gradient that is not a number, before it changes a weight."""

import math
from collections.abc import Mapping, Sequence

import torch


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient is not a number; the message names the terms and the samples."""


def check_loss(loss: torch.Tensor, terms: Mapping[str, torch.Tensor], step: int, sample_ids: Sequence[str]) -> None:
    """Makes sure that a loss is finite.

    Args:
        loss (`torch.Tensor`): The total, a scalar.
        terms (`Mapping[str, torch.Tensor]`): What it consists of, by name; scalars.
        step (`int`): Step that is being computed, counted from 1.
        sample_ids (`Sequence[str]`): Samples of the batch.

    Raises:
        NonFiniteLossError: It is not.
    """
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} {value.item()}" for name, value in terms.items())
        raise NonFiniteLossError(
            f"The loss of step {step} is not finite ({values}) for samples {list(sample_ids)}: training stops before "
            "it changes a weight. Look at these samples (`igep check`), or lower the learning rate."
        )


def check_gradient(norm: torch.Tensor | float, step: int, sample_ids: Sequence[str]) -> None:
    """Makes sure that a gradient is finite.

    Args:
        norm (`torch.Tensor` or `float`): Its norm.
        step (`int`): Step that is being computed, counted from 1.
        sample_ids (`Sequence[str]`): Samples of the step on this rank.

    Raises:
        NonFiniteLossError: It is not.
    """
    if not math.isfinite(norm):
        raise NonFiniteLossError(
            f"The gradient of step {step} is not finite for samples {list(sample_ids)}: training stops before it "
            "changes a weight. Look at these samples, or lower the learning rate."
        )
