"""Rows whose answers are boxes in a frame's camera: carried back with the true pose they are the scene's boxes."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from scannet_tree import OBJECTS, write_json, write_labels, write_scan
from scene_folders import question_row, scene_row

from igep.text_boxes import parse_boxes
from igep.trainers.data.mixture_options import MixtureOptions, load_mixture, parse_mixture
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.text_box_dataset import TextBoxDataset, world_box
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.geometry.oriented_boxes import box_iou, transform_box


SCAN = "scene0000_00"
ROWS = {"num_frames": 2, "geometry_size": (24, 24)}


def rooms(**changes) -> tuple[Dataset, Dataset]:
    """Three rooms with a question about each of their objects, and none about the others' columns."""
    scenes, _ = synthetic_rooms(3, seed=5, num_frames=3, questions_per_room=0)
    rows = [
        {
            "question_id": f"{scene['scene_id']}/{number}",
            "scene_id": scene["scene_id"],
            "question": f"Where is the {box['label']}?",
            "answers": ["<ground>"],
            "question_type": "unique",
            "referred_boxes": [number],
            **changes,
        }
        for scene in scenes
        for number, box in enumerate(scene["boxes"])
    ]
    return scenes, Dataset.from_list(rows, features=QUESTION_FEATURES)


def in_world(example, text: str) -> list[np.ndarray]:
    """The boxes of an answer in the world."""
    found = parse_boxes(text, len(example.frames))
    assert not found.problems
    return [transform_box(each.box, example.world_from_camera[each.frame]) for each in found.boxes]


def test_answers_are_the_boxes_of_the_scene():
    scenes, questions = rooms()
    rows = TextBoxDataset(scenes, questions, any_number=False, questions_per_row=9, **ROWS)
    true = {scene["scene_id"]: [world_box(box) for box in scene["boxes"]] for scene in scenes}
    assert any(len(box) == 9 for boxes in true.values() for box in boxes), "some stand at an angle"
    assert (rows.task, rows.usage) == ("text_boxes", {})
    count = 0
    for number in range(len(rows)):
        example = rows[number]
        for (question, answer), reference, box in zip(
            example.conversation, example.references, true[example.scene_id], strict=True
        ):
            assert "counted from 0" in question
            assert reference == {"boxes": [box]}
            (found,) = in_world(example, answer)
            assert box_iou(found, box) > 0.9
            angles = json.loads(answer)["bbox_3d"][6:]
            assert abs(angles[1]) < 63
            count += 1
    assert count == len(questions)
    assert rows.example(0, 3).conversation == rows[0].conversation


def test_none_one_and_several():
    scenes, _ = rooms()
    both = question_row(0, scenes[0]["scene_id"], referred_boxes=[1, 0])
    none = question_row(1, scenes[0]["scene_id"], referred_boxes=[])
    questions = Dataset.from_list([both, none], features=QUESTION_FEATURES)
    rows = TextBoxDataset(scenes.select([0]), questions, any_number=True, questions_per_row=2, **ROWS)
    example = rows[0]
    (asked, several), (_, nothing) = example.conversation
    assert asked.endswith("the list is empty: []")
    assert nothing == "[]"
    found = json.loads(several)
    assert [(each["frame"], each["bbox_3d"][0]) for each in found] == sorted(
        (each["frame"], each["bbox_3d"][0]) for each in found
    )
    boxes = [world_box(scenes[0]["boxes"][place]) for place in (0, 1)]
    ious = [[box_iou(one, box) for box in boxes] for one in in_world(example, several)]
    assert np.max(ious, axis=0) == pytest.approx(1, abs=0.1)
    with pytest.raises(SpatialDataError, match="2 of 2 questions do not mean one object; the first, 'q0', has"):
        TextBoxDataset(scenes, questions, any_number=False, **ROWS)


def test_scenes_alone_stay_as_they_are():
    rows = TextBoxDataset(*rooms(), any_number=False, geometry_only_ratio=0.5, **ROWS)
    alone = [number for number, name in enumerate(rows.sample_ids) if "geometry" in name]
    assert rows[alone[0]].conversation == ()


def test_what_no_frame_shows_is_said_once_and_still_answered(caplog):
    row = scene_row() | {
        "boxes": [{"label": "lamp", "centre_metres": [0, 0, -9], "size_metres": [1] * 3, "yaw_radians": 0}]
    }
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    questions = Dataset.from_list([question_row(number) for number in range(2)], features=QUESTION_FEATURES)
    rows = TextBoxDataset(scenes, questions, any_number=False, **ROWS)
    with caplog.at_level(logging.WARNING):
        example, _ = rows[0], rows[1]
    assert box_iou(in_world(example, example.conversation[0][1])[0], [0, 0, -9, 1, 1, 1]) > 0.9
    assert (
        len([each for each in caplog.records if "No sampled frame shows an object of question 'q0'" in each.message])
        == 1
    )


@pytest.mark.parametrize("field", ["world_from_camera", "intrinsics"])
def test_scenes_without_cameras_are_told(field):
    row = scene_row() | {field: []} | ({"depth_kind": "z"} if field == "intrinsics" else {})
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    questions = Dataset.from_list([question_row(0)], features=QUESTION_FEATURES)
    with pytest.raises(SpatialDataError, match=f"Scene 'desk' has no `{field}`: boxes are written in a camera"):
        TextBoxDataset(scenes, questions, any_number=False, **ROWS)


def test_a_box_that_is_not_there_and_questions_that_are_not():
    scenes = Dataset.from_list([scene_row()], features=SCENE_FEATURES)
    questions = Dataset.from_list([question_row(0, referred_boxes=[4])], features=QUESTION_FEATURES)
    with pytest.raises(SpatialDataError, match="names box 4, the scene has 1"):
        TextBoxDataset(scenes, questions, any_number=False, **ROWS)[0]
    with pytest.raises(SpatialDataError, match="have no questions"):
        TextBoxDataset(scenes, None, any_number=False, **ROWS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path, SCAN)
    write_labels(tmp_path / "scannetv2-labels.combined.tsv")
    entry = {"scene_id": SCAN, "object_name": "chair", "ann_id": "0", "description": "A chair at the window."}
    write_json(tmp_path / "scanrefer.json", [{**entry, "object_id": "3"}])
    entry |= {"eval_type": "mt", "object_ids": [3, 0]}
    nothing = {**entry, "eval_type": "zt_w_d", "object_ids": []}
    write_json(tmp_path / "multi3drefer.json", [entry, nothing])
    return tmp_path


def options(root: Path, name: str, **changes) -> dict:
    given = {"dataset": name, "dataset_path": str(root), "annotation_file": str(root / f"{name}.json")}
    return given | {"task": "text_boxes", "num_frames": 4} | changes


def test_scanrefer_and_multi3drefer_by_their_options(root):
    one, held_out = load_rows(RowOptions(**options(root, "scanrefer")), (24, 32), 0, SceneTableCache())
    assert held_out is None
    ((question, answer),) = one[0].conversation
    assert (one[0].proposals, one[0].ground_targets) == (None, ())
    assert question.startswith("Identify the object according to the following description.\nA chair at the window.\n")
    assert box_iou(in_world(one[0], answer)[0], OBJECTS[3][1]) > 0.95
    several, _ = load_rows(RowOptions(**options(root, "multi3drefer")), (24, 32), 0, SceneTableCache())
    assert [len(in_world(several[row], several[row].conversation[0][1])) for row in range(2)] == [2, 0]
    listed, _ = load_rows(
        RowOptions(**options(root, "scanrefer", boxes_per_answer="any")), (24, 32), 0, SceneTableCache()
    )
    assert listed[0].conversation[0][1].startswith("[{")
    with pytest.raises(ValueError, match="boxes_per_answer='some' must be one or any"):
        RowOptions(boxes_per_answer="some")


def test_a_member_of_a_mixture_beside_words(root):
    entries = [options(root, name) | {"name": name} for name in ("scanrefer", "multi3drefer")]
    entries.append(options(root, "scanrefer", task="questions") | {"name": "words"})
    parsed = parse_mixture(entries, RowOptions())
    mixture, _ = load_mixture(
        parsed, MixtureOptions(mixture_samples_per_epoch=20), geometry_size=(24, 32), samples_per_step=1, seed=0
    )
    answers = {mixture[row].conversation[0][1][:3] for row in range(len(mixture))}
    assert answers == {'{"f', '[{"', "[]", "<gr"}
