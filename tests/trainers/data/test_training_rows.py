"""From options to rows: annotated questions, VLM3's tasks, DepthLM's files, and what does not go together."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import scene_row, write_exported
from video_files import write_video

from igep.trainers.data.conversations import ConversationDataset
from igep.trainers.data.depthlm import DepthLMDataset
from igep.trainers.data.load_scenes import SceneSource
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS, VLM3Options
from igep.trainers.data.vsi_bench import VSIBenchDataset


ROOMS = {"num_rooms": 4, "room_image_size": 32, "focal_pixels": None}


@pytest.fixture
def points(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    line = {"image": "a.png", "intrinsics": [30, 30, 20, 15, 40, 30], "pixel_coords": [[0, 0]], "depth": [2.0]}
    (tmp_path / "points.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path / "points.jsonl"


def load(**options):
    return load_rows(RowOptions(**options), (16, 16), 3, SceneTableCache())


def test_options_of_the_parts_come_out_as_they_went_in():
    options = RowOptions(task="pose", focal_pixels=750.0, num_rooms=5, eval_rooms=2, room_focal_range=[0.5, 1.0])
    assert options.vlm3_options() == VLM3Options(task="pose", focal_pixels=750.0)
    assert options.scene_source() == SceneSource(num_rooms=5, eval_rooms=2, room_focal_range=[0.5, 1.0])
    assert all(option.metadata["help"] for option in dataclasses.fields(RowOptions))


def test_annotated_questions_and_held_out_rooms():
    train, held_out = load(**ROOMS, questions_per_row=2, geometry_only_ratio=0.5, eval_rooms=1)
    assert isinstance(train, SpatialDataset)
    assert (len(train), len(held_out)) == (8, 1)
    assert train.example(0, 3).conversation == train[0].conversation


def test_one_limit_of_depth_for_losses_and_questions(tmp_path, caplog):
    row = scene_row(6, "desk")
    for number, depth in enumerate(row["depth"]):
        values = np.asarray(depth).copy()
        values[:8] = 8191
        row["depth"][number] = Image.fromarray(values)
    scene = {"dataset": "scannet", "dataset_path": str(write_exported(tmp_path / "desk", row)), "num_frames": 6}
    assert load(**scene)[0][0].depth_metres.max() == np.float32(8.191)
    assert "largest depth, 8191 (8.191 m)" in caplog.text
    caplog.clear()
    assert load(**scene, max_depth_metres=5.0)[0][0].depth_metres.max() < 5
    asked = load(**scene, task="depth", max_depth_metres=5.0, focal_pixels=None)[0]
    assert max(asked.example(number, 0).depth_metres.max() for number in range(6)) < 5
    assert "largest depth" not in caplog.text
    with pytest.raises(ValueError, match="max_depth_metres=-1.* must be positive"):
        RowOptions(max_depth_metres=-1.0)


def test_held_out_frames_are_evaluated_once_each_whatever_the_questions(tmp_path):
    folder = write_exported(tmp_path / "desk", scene_row(20))
    lines = [json.dumps({"question": f"Where {number}?", "answer": "left"}) for number in range(7)]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    train, held_out = load(dataset="scannet", dataset_path=str(folder), eval_frame_fraction=0.25, num_frames=2)
    assert len(train) == 7
    assert len(held_out) == 3
    rows = [held_out[row] for row in range(3)]
    assert [row.frame_ids for row in rows] == [("00015", "00016"), ("00017", "00018"), ("00018", "00019")]
    assert not any(row.conversation for row in rows)
    assert {name for row in range(7) for name in train[row].frame_ids} <= {f"{number:05d}" for number in range(14)}


@pytest.mark.parametrize("task", VLM3_TASKS)
def test_every_task_of_vlm3(task):
    train, held_out = load(**ROOMS, task=task, eval_rooms=1, questions_per_image=2)
    assert isinstance(train, VLM3Dataset)
    assert (len(train), len(held_out)) == (8, 2)
    example = train.example(0, 0)
    assert example.conversation
    assert example.depth_metres.shape == (train.options.images_per_row, 16, 16)
    assert load(**ROOMS, task=task)[1] is None


def test_depthlm_file(points):
    options = {"dataset": "depthlm", "dataset_path": str(points), "task": "depth", "focal_pixels": None}
    train, held_out = load(**options, depth_kind="z", image_folder=str(points.parent / "images"))
    assert isinstance(train, DepthLMDataset)
    assert held_out is None
    ray = np.linalg.norm([(0.5 - 20) / 30, (0.5 - 15) / 30, 1])
    assert train.example(0, 0).references == pytest.approx([2 * ray])
    with pytest.raises(ValueError, match="needs depth_kind: say whether"):
        load(**options)
    with pytest.raises(ValueError, match=r"eval_frame_fraction=0.2 cannot hold out"):
        load(**options, depth_kind="z", eval_frame_fraction=0.2)
    with pytest.raises(ValueError, match="needs dataset_path"):
        load(dataset="depthlm", task="depth", depth_kind="z")
    with pytest.raises(ValueError, match="no scenes: set task to depth"):
        load(**(options | {"task": "pose"}), depth_kind="z")


def test_files_of_questions_about_videos(tmp_path):
    write_video(tmp_path / "a.mp4", 4)
    turns = [{"role": "user", "content": "<video>Where?"}, {"role": "assistant", "content": "There"}]
    (tmp_path / "talk.jsonl").write_text(json.dumps({"video": "a.mp4", "messages": turns}))
    talk = {"dataset": "conversations", "dataset_path": str(tmp_path / "talk.jsonl")}
    train, held_out = load(**talk, num_frames=3)
    assert isinstance(train, ConversationDataset)
    assert (len(train.example(0, 0).frames), held_out) == (3, None)
    (tmp_path / "scannet").mkdir()
    write_video(tmp_path / "scannet" / "b.mp4", 4)
    asked = {
        "id": 1,
        "dataset": "scannet",
        "scene_name": "b",
        "question_type": "object_counting",
        "question": "How many?",
    }
    (tmp_path / "vsi.jsonl").write_text(json.dumps({**asked, "ground_truth": "2"}))
    vsi = {"dataset": "vsi_bench", "dataset_path": str(tmp_path / "vsi.jsonl"), "image_folder": str(tmp_path)}
    train, _ = load(**vsi, vsi_bench_prompt="bare")
    assert isinstance(train, VSIBenchDataset)
    assert train.example(0, 0).conversation == (("How many?", "2"),)
    with pytest.raises(ValueError, match="eval_rooms=2 cannot hold out rows of a conversations file"):
        load(**talk, eval_rooms=2)
    with pytest.raises(ValueError, match="dataset='vsi_bench' needs dataset_path"):
        load(dataset="vsi_bench")
    with pytest.raises(ValueError, match="dataset='vsi_bench' holds questions and no scenes: set task to questions"):
        load(**vsi, task="depth")


def test_bad_options_fail_before_anything_is_read():
    with pytest.raises(ValueError, match="task='slam' is unknown: use one of questions, depth"):
        RowOptions(task="slam")
    with pytest.raises(ValueError, match="focal_pixels=0"):
        RowOptions(task="depth", focal_pixels=0.0)


def test_a_clip_holds_the_frames_of_a_row(tmp_path):
    write_exported(tmp_path / "desk", scene_row(6))
    options = {"dataset": "scannet", "dataset_path": str(tmp_path), "clip_frames": 2}
    with pytest.raises(ValueError, match=r"clip_frames=2 is fewer than num_frames=3.*raise clip_frames"):
        load(num_frames=3, **options)
    assert len(load(num_frames=2, **options)[0]) == 3


def test_depth_nearer_than_a_sensor_measures_is_not_asked_about(tmp_path):
    """Each dataset has a range of its own, and a recipe's or an entry's own value wins."""
    row = scene_row(2, "near")
    for number, depth in enumerate(row["depth"]):
        values = np.asarray(depth).copy()
        values[:, : values.shape[1] // 2] = 150  # millimetres: no depth camera of a room measures this
        row["depth"][number] = Image.fromarray(values)
    near = write_exported(tmp_path / "near", row)
    options = {"dataset": "scannet", "dataset_path": str(near), "task": "depth", "focal_pixels": None}
    options |= {"questions_per_image": 2000, "distance_kind": "z"}
    least = [
        min(load_rows(RowOptions(**options, **own), (8, 8), 0, SceneTableCache())[0][0].references)
        for own in ({}, {"min_depth_metres": 0.1})
    ]
    assert least[0] > 0.2
    assert least[1] == pytest.approx(0.15)
    assert RowOptions().depth_range == (0.05, 100.0)
    assert RowOptions(dataset="depthlm").depth_range == (0.0, np.inf)
