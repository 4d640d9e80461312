"""Heads of a checkpoint go back into a model that has the same ones, and into no other."""

import pytest
import torch
from tiny_batches import build, objective

from igep.trainers.loop.training_heads_file import load_heads, save_heads


def with_heads(seed: int, **weights):
    model, _ = build("llava_onevision", **weights)
    torch.manual_seed(seed)
    model.add_training_heads(objective)
    return model


def tensors(model) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value
        for name, head in model.training_heads.items()
        for key, value in head.state_dict().items()
    }


def test_heads_come_back_as_they_were(tmp_path):
    saved, other = with_heads(0), with_heads(1)
    save_heads(saved.training_heads, tmp_path)
    assert not all(torch.equal(value, tensors(saved)[name]) for name, value in tensors(other).items())
    load_heads(other.training_heads, tmp_path)
    assert tensors(other).keys() == tensors(saved).keys()
    assert all(torch.equal(value, tensors(saved)[name]) for name, value in tensors(other).items())


def test_other_heads_are_refused_with_what_to_do(tmp_path):
    """Resuming with a weight of 0 would otherwise leave a head behind without a word."""
    save_heads(with_heads(0).training_heads, tmp_path)
    fewer = with_heads(0, global_weight=0.0)
    assert len(fewer.training_heads) == 1
    with pytest.raises(ValueError, match="resume with the loss weights and teacher it was trained with"):
        load_heads(fewer.training_heads, tmp_path)
