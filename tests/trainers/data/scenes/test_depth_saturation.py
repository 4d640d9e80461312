"""A largest number that is no distance is said; walls, tables and sensors' noise are not."""

import logging

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from scene_folders import camera_path, scene_row

from igep.trainers.data.scenes.depth_saturation import constant_top, say_odd_depths
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES


def noisy_maps(count: int, top: int | None = None, share: float = 0.1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    maps = [rng.integers(500, 4000, (48, 64)).astype(np.uint16) for _ in range(count)]
    for depth in maps:
        depth[:4] = 0
        if top is not None:
            depth[rng.random(depth.shape) < share] = top
    return maps


def test_distances_have_no_constant_top() -> None:
    assert constant_top(noisy_maps(6)) is None
    assert constant_top([np.zeros((4, 5), np.uint16)] * 6) is None
    assert constant_top([]) is None


@pytest.mark.parametrize("top", [4095, 8191, 10000, 32767, 65000])
def test_a_constant_top_is_found(top: int) -> None:
    found = constant_top(noisy_maps(6, top), camera_path(6))
    assert (found.value, found.num_maps) == (top, 6)
    assert found.share == pytest.approx(0.1, abs=0.02)
    assert constant_top(noisy_maps(6, top, share=5e-4)) is None  # a sliver
    assert constant_top(noisy_maps(2, top)) is None


def test_a_wall_that_faces_the_camera_is_no_constant_top() -> None:
    maps = noisy_maps(6, 4200)
    beside = np.stack([np.eye(4)] * 6)
    beside[:, 0, 3] = np.linspace(0, 1, 6)
    assert constant_top(maps, beside) is None
    nearer = beside.copy()
    nearer[:, 2, 3] = np.linspace(0, 0.1, 6)
    assert constant_top(maps, nearer) is not None


def test_it_is_said_once_for_all_scenes(caplog: pytest.LogCaptureFixture) -> None:
    rows = [scene_row(6, name) for name in "abc"]
    say_odd_depths(SceneTable(Dataset.from_list(rows, features=SCENE_FEATURES)), 100.0)
    assert not caplog.records
    for row in rows[:2]:
        row["depth"] = [Image.fromarray(depth) for depth in noisy_maps(6, 8191)]
    table = SceneTable(Dataset.from_list(rows, features=SCENE_FEATURES))
    say_odd_depths(table, 8.0)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        say_odd_depths(table, 100.0)
    (record,) = caplog.records
    for words in ("Scene 'a'", "8191 (8.191 m)", "6 of 6 maps", "2 of 3 scenes", "max_depth_metres below 8.191"):
        assert words in record.getMessage()


def test_tops_of_short_clips_are_found(caplog: pytest.LogCaptureFixture) -> None:
    """Scenes without questions are cut into clips of two frames before anything looks at them."""
    rows = [scene_row(2, f"clip{number}") for number in range(4)]
    for row in rows:
        row["depth"] = [Image.fromarray(depth) for depth in noisy_maps(2, 8191)]
    with caplog.at_level(logging.WARNING):
        say_odd_depths(SceneTable(Dataset.from_list(rows, features=SCENE_FEATURES)), 100.0)
    assert "is that of 8 of 8 maps" in caplog.text


def test_depth_that_is_all_too_far_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = [scene_row(3, "right"), {**scene_row(3, "wrong"), "metres_per_depth_unit": 1.0}]
    with caplog.at_level(logging.WARNING):
        say_odd_depths(SceneTable(Dataset.from_list(rows, features=SCENE_FEATURES)), 100.0)
    assert "Scene 'wrong': most of its depth lies beyond max_depth_metres=100" in caplog.text
    assert "1 of 2 scenes" in caplog.text
    assert "metres_per_depth_unit (it is 1)" in caplog.text
