"""Training on posed frames without depth: colour holds their depth, and runs with measured depth do not change."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FRAME_SIZE
from tiny_training import SlantedWalls, logged, make_trainer, weights

from igep.trainers.data.scenes.spatial_example import SpatialExample


ALONE = {"geometry_weight": 0.0, "cross_view_weight": 0.0, "global_weight": 0.0, "photometric_weight": 1.0}


class PaintedWalls(torch.utils.data.Dataset):
    """The slanted walls under a paint that every camera sees at the same places, without measured depth.

    Args:
        rows (`int`): Number of samples.
    """

    def __init__(self, rows: int = 8):
        self.walls = SlantedWalls(rows)

    def __len__(self) -> int:
        return len(self.walls)

    def __getitem__(self, row: int) -> SpatialExample:
        wall = self.walls[row]
        height, width = FRAME_SIZE
        ray_x = (np.arange(width) + 0.5 - width / 2) / width
        ray_y = (np.arange(height) + 0.5 - height / 2) / width
        frames = []
        for shift in wall.world_from_camera[:, 0, 3]:
            depth = (2 + shift / 2) / (1 - ray_x / 2)
            x, y = shift + ray_x * depth, ray_y[:, None] * depth
            waves = [np.sin(6 * x + 3 * y), np.sin(7 * y - 2 * x), np.cos(5 * x) * np.ones_like(y)]
            frames.append(Image.fromarray((127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)))
        return dataclasses.replace(wall, frames=tuple(frames), depth_metres=None)


@pytest.fixture(scope="module")
def base(checkpoint_folders):
    return checkpoint_folders["llava_onevision"]


def test_it_trains_alone_and_is_logged(base, tmp_path):
    trainer = make_trainer(base, tmp_path, PaintedWalls(), max_steps=12, **ALONE)
    trainer.train()
    losses = logged(trainer, "loss_photometric")
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(0 < coverage <= 1 for coverage in logged(trainer, "photometric_coverage"))
    assert not logged(trainer, "loss_cross_view")
    total = np.add(logged(trainer, "loss_ce"), losses)
    assert logged(trainer, "loss") == pytest.approx(total, rel=1e-5)
    assert any("depth_verifier" in name for name in weights(trainer))


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])  # of these one merges two frames into a feature
def test_a_run_resumes_to_the_bit(checkpoint_folders, tmp_path, family):
    base = checkpoint_folders[family]
    options = {**ALONE, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(base, tmp_path / "whole", PaintedWalls(), **options)
    whole.train()
    resumed = make_trainer(base, tmp_path / "resumed", PaintedWalls(), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    ours, theirs = weights(resumed), weights(whole)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_it_changes_nothing_where_depth_is_measured(base, tmp_path):
    runs = []
    for weight in (0.0, 1.0):
        trainer = make_trainer(base, tmp_path / str(weight), photometric_weight=weight)
        trainer.train()
        runs.append(trainer)
    assert logged(runs[1], "loss_photometric") == [0.0, 0.0]
    plain, with_colour = (weights(trainer) for trainer in runs)
    for name, value in plain.items():
        assert torch.equal(with_colour[name], value), name


def test_only_such_a_run_carries_colours(base, tmp_path):
    rows = [PaintedWalls()[0]]
    assert "frame_colours" not in make_trainer(base, tmp_path).data_collator(rows)
    assert "frame_colours" in make_trainer(base, tmp_path, photometric_weight=0.1).data_collator(rows)


def test_a_run_in_which_nothing_moves_says_so(base, tmp_path, caplog):
    class StandsStill(PaintedWalls):
        def __getitem__(self, row: int) -> SpatialExample:
            example = super().__getitem__(row)
            return dataclasses.replace(example, world_from_camera=np.tile(np.eye(4), (2, 1, 1)))

    trainer = make_trainer(base, tmp_path, StandsStill(), **ALONE)
    trainer.train()
    assert logged(trainer, "photometric_coverage") == [0.0, 0.0]
    assert "loss_photometric has weight 1 and was 0 in the whole run: no row had frames with intrinsics" in caplog.text
