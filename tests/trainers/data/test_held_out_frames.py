"""Held-out frames as rows: each once, those of a lost pose never."""

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import camera_path, scene_row

from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.data.row_source import as_row_source
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


def rows_of(*scenes: dict, num_frames: int = 2) -> HeldOutFrames:
    table = Dataset.from_list(list(scenes), features=SCENE_FEATURES)
    return HeldOutFrames(table, num_frames=num_frames, geometry_size=(12, 16))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5])
def test_depth_of_every_frame_counts_once(num_frames: int) -> None:
    rows = rows_of(scene_row(7, "a"), scene_row(5, "b"), num_frames=num_frames)
    counted = [
        (rows[row].scene_id, name)
        for row in range(len(rows))
        for name, depth in zip(rows[row].frame_ids, rows[row].depth_metres, strict=True)
        if depth.any()
    ]
    wanted = [("a", f"{number:05d}") for number in range(7)] + [("b", f"{number:05d}") for number in range(5)]
    assert counted == wanted
    assert all(len(rows[row].frames) == num_frames for row in range(len(rows)))
    assert len(set(rows.sample_ids)) == len(rows)
    assert as_row_source(rows) is rows
    assert rows.example(0, 3).frame_ids == rows[0].frame_ids


def test_lost_frames_are_left_out() -> None:
    poses = camera_path(5)
    poses[1:3] = 0
    rows = rows_of({**scene_row(5), "world_from_camera": poses.tolist()}, num_frames=3)
    assert [rows[row].frame_ids for row in range(len(rows))] == [("00000", "00003", "00004")]
    assert np.isfinite(rows[0].world_from_camera).all()
    assert rows_of({**scene_row(4), "depth": []})[0].depth_metres is None


def test_too_few_frames_are_told_with_the_option() -> None:
    with pytest.raises(
        SpatialDataError, match=r"'desk': 2 of its frames are held out.*3 of a row.*eval_frame_fraction"
    ):
        rows_of(scene_row(2), num_frames=3)
