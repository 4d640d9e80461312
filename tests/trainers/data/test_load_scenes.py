"""A recipe's options to tables, from rendered rooms, ScanNet folders and published tables, offline."""

import json
from pathlib import Path

import pytest
from scene_folders import scene_row, write_exported
from transformers import HfArgumentParser

from igep.trainers.data.load_scenes import SceneSource, load_scenes, load_train_and_held_out
from igep.trainers.data.spatial_dataset import SpatialDataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def scannet(tmp_path: Path) -> Path:
    for name in ("desk", "shelf"):
        write_exported(tmp_path / "scans" / name, scene_row(6))
    (tmp_path / "scans" / "desk" / "questions.jsonl").write_text(json.dumps({"question": "Where?", "answer": "left"}))
    return tmp_path / "scans"


def test_rooms_and_held_out_rooms() -> None:
    source = SceneSource(num_rooms=3, eval_rooms=2, room_image_size=32, questions_per_room=1, room_seed=5)
    (scenes, questions), (held_out, held_out_questions) = load_train_and_held_out(source)
    assert (len(scenes), len(questions), len(held_out), len(held_out_questions)) == (3, 3, 2, 2)
    assert not set(scenes["scene_id"]) & set(held_out["scene_id"])
    assert load_scenes(source)[0][0]["intrinsics"] == scenes[0]["intrinsics"]
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(32, 32))
    assert (dataset[0].depth_metres > 0).any()


def test_rooms_of_many_focal_lengths_and_a_camera_that_does_not_turn() -> None:
    source = SceneSource(num_rooms=8, room_image_size=32, room_focal_range=[0.5, 1.5], room_fixed_gaze=True)
    rows = load_scenes(source)[0].to_list()
    focal = [row["intrinsics"][0][0][0] / 32 for row in rows]
    assert 0.5 <= min(focal) < 0.8 < max(focal) <= 1.5
    for row in rows:
        rotations = [[line[:3] for line in pose[:3]] for pose in row["world_from_camera"]]
        assert rotations[0] == rotations[1]
    with pytest.raises(ValueError, match=r"room_focal_range=\[0.8\] must be two numbers"):
        load_scenes(SceneSource(num_rooms=1, room_focal_range=[0.8]))


def test_scannet_scenes_held_out(scannet: Path) -> None:
    source = SceneSource(dataset="scannet", dataset_path=str(scannet), eval_scenes=["desk"])
    (scenes, questions), (held_out, held_out_questions) = load_train_and_held_out(source)
    assert scenes["scene_id"][:] == ["shelf"]
    assert questions is None
    assert held_out["scene_id"][:] == ["desk"]
    assert held_out_questions["scene_id"][:] == ["desk"]


def test_clips_and_held_out_frames(scannet: Path) -> None:
    source = SceneSource(dataset="scannet", dataset_path=str(scannet), clip_frames=2, eval_frame_fraction=0.3)
    (scenes, questions), (held_out, held_out_questions) = load_train_and_held_out(source)
    assert scenes["scene_id"][:] == ["desk", "desk@00000", "desk@00001", "shelf@00000", "shelf@00001"]
    assert [len(row["frame_ids"]) for row in scenes] == [3, 2, 2, 2, 2]
    assert [row["frame_ids"] for row in held_out] == [["00004", "00005"]] * 2
    assert len(questions) == len(held_out_questions) == 1
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8), geometry_only_ratio=0.8)
    assert sorted(dataset[row].scene_id for row in range(5)) == sorted(scenes["scene_id"])


def test_depth_in_another_unit(scannet: Path) -> None:
    source = SceneSource(
        dataset="scannet", dataset_path=str(scannet), metres_per_depth_unit=0.0002, depth_kind="euclidean"
    )
    row = load_scenes(source)[0][0]
    assert (row["metres_per_depth_unit"], row["depth_kind"]) == (0.0002, "euclidean")


def test_nothing_is_held_out_unless_asked(scannet: Path) -> None:
    (scenes, _), held_out = load_train_and_held_out(SceneSource(dataset="scannet", dataset_path=str(scannet)))
    assert len(scenes) == 2
    assert held_out is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dataset": "kitti"}, "dataset='kitti'.*synthetic_rooms, scannet, hub"),
        ({"dataset": "scannet"}, "needs dataset_path"),
        ({"dataset": "hub"}, "needs dataset_path"),
        ({"dataset": "depthlm"}, "needs dataset_path"),
        ({"dataset": "depthlm", "dataset_path": "points.jsonl"}, "no scenes: set task to depth"),
        ({"eval_rooms": 2, "eval_frame_fraction": 0.2}, "not several"),
        ({"dataset": "scannet", "dataset_path": "FOLDER", "eval_rooms": 2}, "eval_rooms=2 is for synthetic_rooms"),
        ({"dataset": "scannet", "dataset_path": "FOLDER", "eval_scenes": ["attic"]}, "'attic', which is not a scene"),
        ({"dataset": "scannet", "dataset_path": "FOLDER", "eval_scenes": ["desk", "shelf"]}, "nothing is left"),
    ],
)
def test_bad_options_are_refused(scannet: Path, options: dict, words: str) -> None:
    if "dataset_path" in options:
        options = {**options, "dataset_path": str(scannet)}
    with pytest.raises(ValueError, match=words):
        load_train_and_held_out(SceneSource(**options))


def test_options_come_from_the_command_line_with_help() -> None:
    parser = HfArgumentParser(SceneSource)
    (source,) = parser.parse_args_into_dataclasses(
        ["--dataset", "scannet", "--dataset_path", "x", "--eval_scenes", "a", "b", "--clip_frames", "4"]
    )
    assert source == SceneSource(dataset="scannet", dataset_path="x", eval_scenes=["a", "b"], clip_frames=4)
    assert all(action.help for action in parser._actions)
