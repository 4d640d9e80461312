"""Baselines that look at no pixel, against depth whose figures are known."""

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import depth_image, scene_row

from igep.trainers.data.scenes.scene_frames import hold_out_block, split_into_clips
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.evaluation.depth_baselines import CONSTANT, COPIED, baselines_of_rows, depth_baselines


SIZE = (12, 16)


def scene(name: str, metres: list[float], positions: list[float] | None = None) -> dict:
    """A scene that faces walls; the camera moves to the side."""
    poses = np.stack([np.eye(4)] * len(metres))
    poses[:, 0, 3] = np.arange(len(metres)) if positions is None else positions
    row = scene_row(len(metres), name, poses=poses)
    return {**row, "depth": [depth_image(np.full((48, 64), depth)) for depth in metres]}


def table(*scenes: dict) -> SceneTable:
    return SceneTable(Dataset.from_list(list(scenes), features=SCENE_FEATURES))


def test_the_nearest_view_is_copied_not_the_nearest_in_time() -> None:
    train = table(scene("a", [2.0, 3.0, 5.0], positions=[0.0, 1.0, 2.0]))
    held_out = table(scene("a", [2.2, 4.0], positions=[0.1, 1.9]))
    figures = depth_baselines(train, held_out, SIZE, 100.0)
    assert list(figures) == [COPIED, CONSTANT]
    assert figures[COPIED]["depth_abs_rel"] == pytest.approx((0.2 / 2.2 + 1.0 / 4.0) / 2, abs=1e-6)
    assert figures[COPIED]["depth_delta_1"] == 0.5
    assert figures[CONSTANT]["depth_abs_rel"] == pytest.approx((0.8 / 2.2 + 1.0 / 4.0) / 2, abs=1e-6)


def test_turning_counts_as_moving() -> None:
    train, held_out = scene("a", [2.0, 4.0], positions=[0.0, 0.5]), scene("a", [2.0], positions=[0.3])
    turn = np.array(train["world_from_camera"][1])
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    train["world_from_camera"][1] = turn.tolist()
    assert depth_baselines(table(train), table(held_out), SIZE, 100.0)[COPIED]["depth_abs_rel"] == pytest.approx(0)


def test_clips_of_a_scene_are_its_frames() -> None:
    scenes = Dataset.from_list([scene("a", [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])], features=SCENE_FEATURES)
    kept, held_out = hold_out_block(scenes, 0.2, 0.2)
    train = SpatialDataset(split_into_clips(kept, 2), None, num_frames=2, geometry_size=SIZE)
    figures = baselines_of_rows(train, SpatialDataset(held_out, None, num_frames=2, geometry_size=SIZE))
    assert figures[COPIED]["depth_abs_rel"] == pytest.approx((3 / 9 + 4 / 10) / 2, abs=1e-6)
    assert figures[CONSTANT]["depth_abs_rel"] == pytest.approx((5.5 / 9 + 6.5 / 10) / 2, abs=1e-6)
    assert baselines_of_rows(train, [train[0]]) == {}


def test_scenes_that_were_not_trained_on_have_no_copy() -> None:
    figures = depth_baselines(table(scene("a", [2.0, 2.0])), table(scene("b", [4.0])), SIZE, 100.0)
    assert list(figures) == [CONSTANT]
    assert figures[CONSTANT]["depth_abs_rel"] == pytest.approx(0.5)
    assert depth_baselines(table(scene("a", [2.0])), table({**scene("b", [4.0]), "depth": []}), SIZE, 100.0) == {}


def test_without_poses_the_last_frame_is_copied() -> None:
    train, held_out = ({**scene("a", metres), "world_from_camera": []} for metres in ([2.0, 3.0], [3.0]))
    assert depth_baselines(table(train), table(held_out), SIZE, 100.0)[COPIED]["depth_abs_rel"] == pytest.approx(0)
