"""Optimiser groups by part: every parameter once, with its own learning rate and the settings of its old group."""

import torch

from igep.trainers.loop.parameter_groups import split_by_part


def test_groups_split_by_part_keep_their_settings():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    part_of = dict(zip(map(id, parameters), ("vision", "language", "vision", "heads"), strict=True))
    groups = [
        {"params": parameters[:2], "weight_decay": 0.1, "lr": 9.0},
        {"params": parameters[2:], "weight_decay": 0.0, "lr": 9.0},
    ]
    rates = {"vision": 1.0, "projector": 2.0, "language": 3.0, "heads": 4.0}
    found = split_by_part(groups, part_of, rates)
    assert [(group["part"], group["lr"], group["weight_decay"]) for group in found] == [
        ("vision", 1.0, 0.1),
        ("language", 3.0, 0.1),
        ("vision", 1.0, 0.0),
        ("heads", 4.0, 0.0),
    ]
    assert [parameter for group in found for parameter in group["params"]] == parameters
