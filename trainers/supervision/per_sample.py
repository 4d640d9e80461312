"""What the losses share: one value per sample, in full precision."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from igep.camera_geometry import full_precision


def outside_autocast(function: Callable) -> Callable:
    """Runs a function of tensors with autocast off."""

    @functools.wraps(function)
    def in_full_precision(*args, **kwargs):
        tensor = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(tensor.device.type, enabled=False):
            return function(*args, **kwargs)

    return in_full_precision


def graph_zero(*predictions: Tensor | None) -> Tensor:
    """(B,) zeros that depend on every prediction, and are NaN where one is not finite."""
    return sum((full_precision(value) * 0).flatten(1).sum(1) for value in predictions if value is not None)


def sample_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each sample's masked values, 0 for a sample without any."""
    return (values * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp_min(1)
