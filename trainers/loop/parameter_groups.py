"""Optimiser groups split by the part of the model that their parameters belong to, each with its own learning rate."""

from collections.abc import Mapping, Sequence
from typing import Any


def split_by_part(
    groups: Sequence[dict[str, Any]], part_of: Mapping[int, str], learning_rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Splits parameter groups, whose other settings (weight decay, betas) stay.

    Args:
        groups (`Sequence[dict]`): Groups as in `torch.optim.Optimizer.param_groups`.
        part_of (`Mapping[int, str]`): `id` of each parameter to its part.
        learning_rates (`Mapping[str, float]`): Learning rate of each part.

    Returns:
        `list[dict]`: Groups that hold one part each, with `lr` and `part`; none is empty.
    """
    split = []
    for group in groups:
        for part, learning_rate in learning_rates.items():
            parameters = [parameter for parameter in group["params"] if part_of[id(parameter)] == part]
            if parameters:
                split.append({**group, "params": parameters, "lr": learning_rate, "part": part})
    return split
