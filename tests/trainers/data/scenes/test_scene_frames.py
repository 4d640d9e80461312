"""Clips and held-out frames: every frame is where it should be, with its own depth, pose and intrinsics."""

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import camera_path, scene_row

from igep.trainers.data.scenes.scene_frames import hold_out_block, split_into_clips, take_frames
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


def table(*num_frames: int) -> Dataset:
    rows = [scene_row(count, f"scene{number}") for number, count in enumerate(num_frames)]
    return Dataset.from_list(rows, features=SCENE_FEATURES)


def test_taken_frames_keep_their_own_fields() -> None:
    row = {**scene_row(4), "depth_intrinsics": []}
    taken = take_frames(row, [3, 1])
    assert taken["frame_ids"] == ["00003", "00001"]
    assert taken["depth"] == [row["depth"][3], row["depth"][1]]
    assert taken["depth_intrinsics"] == []
    assert taken["boxes"] == row["boxes"]


def test_clips_cover_every_frame_and_the_last_reaches_back() -> None:
    clips = split_into_clips(table(5, 4), 2)
    assert clips.features == SCENE_FEATURES
    assert clips["scene_id"][:] == ["scene0@00000", "scene0@00002", "scene0@00003", "scene1@00000", "scene1@00002"]
    assert [row["frame_ids"] for row in clips][2] == ["00003", "00004"]
    np.testing.assert_allclose(clips[2]["world_from_camera"], camera_path(5)[3:])
    assert clips[2]["frames"][1].getpixel((0, 0)) == (40, 40, 40)


def test_the_end_of_a_scene_is_held_out_with_a_margin_before_it() -> None:
    kept, held_out = hold_out_block(table(7, 20), 0.3, 0.05)
    assert kept[0]["frame_ids"] == ["00000", "00001", "00002", "00003"]
    assert held_out[0]["frame_ids"] == ["00005", "00006"]
    np.testing.assert_allclose(held_out[0]["world_from_camera"], camera_path(7)[5:])
    assert held_out.features == kept.features == SCENE_FEATURES
    assert (len(kept[1]["frame_ids"]), held_out[1]["frame_ids"][0]) == (13, "00014")
    wide, _ = hold_out_block(table(20), 0.3, 0.2)
    assert len(wide[0]["frame_ids"]) == 10


def test_scenes_that_are_too_short_are_refused() -> None:
    with pytest.raises(SpatialDataError, match="'scene1' has 2 frames, fewer than a clip of 3"):
        split_into_clips(table(3, 2), 3)
    with pytest.raises(
        SpatialDataError, match=r"'scene0' has 2 frames, too few for eval_frame_fraction=0.2.*eval_scenes"
    ):
        hold_out_block(table(2), 0.2, 0.05)
    with pytest.raises(SpatialDataError, match=r"'scene0' has 4 frames.*2 are left to train on and 3 are needed"):
        hold_out_block(table(4), 0.2, 0.05, fewest_kept=3)
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match=f"eval_frame_fraction={fraction}"):
            hold_out_block(table(9), fraction, 0.05)
    with pytest.raises(ValueError, match="eval_margin_fraction=0.8"):
        hold_out_block(table(9), 0.2, 0.8)
    with pytest.raises(ValueError, match="frames_per_clip=0"):
        split_into_clips(table(2), 0)
