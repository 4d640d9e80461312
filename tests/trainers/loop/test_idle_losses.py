"""A loss that had a weight and was never there is said at the end of the run, and no other is."""

import dataclasses
import logging

import pytest
import torch
from line_training import make_line_trainer
from tiny_training import SlantedWalls, make_trainer


class Blind(torch.utils.data.Dataset):
    """The walls without depth: what remains are cameras and questions."""

    def __init__(self):
        self.walls = SlantedWalls(4)

    def __len__(self) -> int:
        return len(self.walls)

    def __getitem__(self, row: int):
        return dataclasses.replace(self.walls[row], depth_metres=None)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("idle_losses")]


@pytest.mark.parametrize("logging_steps", [1, 100])
def test_losses_without_what_they_need_are_said(checkpoint_folders, tmp_path, caplog, logging_steps):
    caplog.set_level(logging.WARNING)
    base = checkpoint_folders["llava_onevision"]
    make_trainer(base, tmp_path, Blind(), logging_steps=logging_steps).train()
    messages = said(caplog)
    assert [message.split()[0] for message in messages] == ["loss_geometry", "loss_cross_view", "loss_global"]
    assert (
        "loss_geometry has weight 1 and was 0 in the whole run: no row had measured depth within max_depth_metres."
        in messages[0]
    )


def test_losses_that_were_there_are_not_said(checkpoint_folders, tmp_path, caplog):
    base = checkpoint_folders["llava_onevision"]
    make_trainer(base, tmp_path / "all").train()
    make_trainer(
        base, tmp_path / "none", Blind(), geometry_weight=0.0, cross_view_weight=0.0, global_weight=0.0
    ).train()
    make_line_trainer(tmp_path / "line", max_steps=3).train()
    assert said(caplog) == []
