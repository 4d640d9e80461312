"""Posed scenes without depth are said, and those among them that nothing can tell the scale of."""

import logging
import shutil

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import camera_path, scene_row, write_exported

from igep.trainers.data.scenes.scale_of_depth import STANDS_STILL_METRES, say_unmeasured_scale
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.supervision.photometric_loss import MIN_BASELINE_METRES


def table(*rows: dict) -> SceneTable:
    return SceneTable(Dataset.from_list(list(rows), features=SCENE_FEATURES))


def turning(num_frames: int = 5) -> np.ndarray:
    """Poses of a camera on a tripod."""
    poses = camera_path(num_frames)
    poses[:, :3, 3] = [1.0, 2.0, 3.0]
    return poses


def without_depth(**fields) -> dict:
    return {**scene_row(**fields), "depth": []}


def test_scenes_with_depth_and_scenes_without_poses_are_not_named(caplog: pytest.LogCaptureFixture) -> None:
    say_unmeasured_scale(table(scene_row(), {**without_depth(scene_id="unposed"), "world_from_camera": []}))
    say_unmeasured_scale(table(scene_row(poses=turning())))  # measured: it needs no motion
    assert not caplog.messages


def test_a_posed_scene_without_depth_is_told_what_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        say_unmeasured_scale(table(scene_row(), without_depth(scene_id="walk")))
    (message,) = caplog.messages
    assert message.startswith("1 of 2 scenes or clips have poses and no depth map (walk)")
    assert "photometric_weight" in message


def test_a_camera_that_only_turns_holds_no_scale(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        say_unmeasured_scale(table(without_depth(scene_id="tripod", poses=turning()), scene_row()))
    (message,) = caplog.messages
    assert "does not move (tripod): nothing holds the scale" in message


def test_lost_poses_are_no_motion(caplog: pytest.LogCaptureFixture) -> None:
    row = without_depth(poses=turning())
    row["world_from_camera"][2] = np.full((4, 4), np.nan).tolist()
    with caplog.at_level(logging.WARNING):
        say_unmeasured_scale(table(row))
    assert "does not move" in caplog.text


def test_many_scenes_are_counted_and_a_few_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        say_unmeasured_scale(table(*(without_depth(scene_id=f"walk{number}") for number in range(7))))
    assert "7 of 7" in caplog.text
    assert "walk4 ..." in caplog.text
    assert "walk5" not in caplog.text


def test_it_is_said_when_scenes_are_loaded_for_training(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(write_exported(tmp_path / "desk", scene_row()) / "depth")
    options = RowOptions(dataset="scannet", dataset_path=str(tmp_path / "desk"))
    with caplog.at_level(logging.WARNING):
        load_rows(options, (12, 16), 0, SceneTableCache())
    assert "no depth map (desk)" in caplog.text


def test_it_stands_still_where_the_loss_sees_no_parallax() -> None:
    assert STANDS_STILL_METRES == MIN_BASELINE_METRES
