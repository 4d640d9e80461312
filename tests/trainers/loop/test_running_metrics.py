"""Means weighted by what they were taken over, and sums that survive an interruption exactly."""

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from igep.trainers.loop.running_metrics import RunningMetrics


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def test_totals_and_weights_add_up(accelerator):
    metrics = RunningMetrics()
    metrics.add("accuracy", torch.tensor(3), 4)
    metrics.add("accuracy", torch.tensor(1), torch.tensor(4))
    metrics.add("loss", torch.tensor(0.5, requires_grad=True) * 2, 0.25)
    assert metrics.reduced(accelerator) == {"accuracy": (4.0, 8.0), "loss": (1.0, 0.25)}
    metrics.clear()
    assert metrics.reduced(accelerator) == {}


def test_no_graph_is_kept():
    metrics = RunningMetrics()
    value = torch.tensor(1.0, requires_grad=True)
    metrics.add("loss", value * 2, 1)
    assert not any(pair.requires_grad for pair in metrics._sums.values())


def test_restored_sums_go_on_bit_for_bit(accelerator):
    values = torch.rand(20, generator=torch.Generator().manual_seed(0)).tolist()
    whole, first, second = RunningMetrics(), RunningMetrics(), RunningMetrics()
    for value in values:
        whole.add("loss", value, 1 / 3)
    for value in values[:7]:
        first.add("loss", value, 1 / 3)
    second.restore(json.loads(json.dumps(first.reduced(accelerator))), accelerator)
    for value in values[7:]:
        second.add("loss", value, 1 / 3)
    assert second.reduced(accelerator) == whole.reduced(accelerator)


def test_restored_sums_count_on_the_first_rank_alone(accelerator):
    """Every rank restores what was summed over all of them; every rank must know the names, as they are exchanged."""
    saved = {"loss": (3.0, 4.0), "accuracy": (1.0, 2.0)}
    ranks = []
    for is_main_process in (True, False):
        metrics = RunningMetrics()
        metrics.restore(saved, SimpleNamespace(is_main_process=is_main_process, device=torch.device("cpu")))
        metrics.add("loss", 0.5, 1.0)
        ranks.append(metrics.reduced(accelerator))  # of a single process: its own sums
    assert ranks == [
        {"loss": (3.5, 5.0), "accuracy": (1.0, 2.0)},
        {"loss": (0.5, 1.0), "accuracy": (0.0, 0.0)},
    ]
