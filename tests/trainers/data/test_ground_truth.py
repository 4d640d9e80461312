"""Questions that boxes answer, from the tables to rows: objects of any ids, none, many, and boxes that are none."""

import math

import numpy as np
import pytest
from datasets import Dataset
from scannet_tree import OBJECTS, processed, write_json, write_scan
from scene_folders import question_row, scene_row

from igep.trainers.data.ground_truth import axis_aligned_boxes, ground_truth
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scenes.spatial_example import (
    PROPOSAL_LABEL,
    QUESTION_FEATURES,
    SCENE_FEATURES,
    SpatialDataError,
)
from igep.trainers.data.spatial_dataset import SpatialDataset


def box(x: float = 0.0, label: str = "chair", yaw: float = 0.0, size: tuple = (2.0, 1.0, 0.5)) -> dict:
    return {"label": label, "centre_metres": [x, 0.0, 0.0], "size_metres": list(size), "yaw_radians": yaw}


def asked(*referred: int, answer: str = "<ground>") -> dict:
    return question_row(0, answers=[answer], referred_boxes=list(referred))


def test_proposals_are_the_objects_and_targets_their_places_among_them() -> None:
    boxes = [box(0), box(1, PROPOSAL_LABEL), box(2), box(3)]
    proposals, targets = ground_truth("s", boxes, [asked(3), asked(0, answer="2.0"), asked(), asked(0, 2)])
    np.testing.assert_array_equal(proposals[:, 0], [0, 2, 3])
    np.testing.assert_array_equal(proposals[0, 3:], [2, 1, 0.5])
    assert targets == ((2,), None, (), (0, 1))


def test_rows_in_words_have_no_proposals() -> None:
    assert ground_truth("s", [box()], [asked(0, answer="2.0")]) == (None, ())


def test_a_detected_box_cannot_be_meant() -> None:
    with pytest.raises(SpatialDataError, match="'q0'.*'s'.*names box 1, which is no object"):
        ground_truth("s", [box(), box(1, PROPOSAL_LABEL)], [asked(1)])


def test_a_turned_box_is_enclosed() -> None:
    found = axis_aligned_boxes("s", [box(yaw=math.pi / 2), box(yaw=math.pi / 4), box(yaw=-math.pi / 4)], [0, 1, 2])
    np.testing.assert_allclose(found[0, 3:], [1, 2, 0.5])
    np.testing.assert_allclose(found[1, 3:], [3 / math.sqrt(2)] * 2 + [0.5])
    np.testing.assert_allclose(found[2], found[1])


@pytest.mark.parametrize("size", [(math.nan, 1.0, 1.0), (1.0, -0.1, 1.0), (1.0, 1.0), (math.inf, 1.0, 1.0)])
def test_what_is_no_box_names_scene_and_place(size: tuple) -> None:
    with pytest.raises(SpatialDataError, match=r"'s'.*boxes\[1\].*no box"):
        ground_truth("s", [box(), box(size=size)], [asked(0)])


def test_questions_about_scenes_without_boxes_are_counted(caplog) -> None:
    scenes = Dataset.from_list([scene_row(2, "bare") | {"boxes": []}, scene_row(2, "full")], features=SCENE_FEATURES)
    rows = [
        question_row(0, "bare", answers=["<ground>"], referred_boxes=[]),
        question_row(1, "full", answers=["<ground>"]),
        question_row(2, "full"),
    ]
    questions = Dataset.from_list(rows, features=QUESTION_FEATURES)
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(12, 16))
    assert "1 of 2 questions that boxes answer are about 1 scenes without boxes" in caplog.text
    examples = [dataset[row] for row in range(3)]
    assert examples[0].proposals.shape == (0, 6)
    assert examples[0].ground_targets == ((),)
    assert examples[1].proposals.shape == (1, 6)
    assert examples[1].ground_targets == ((0,),)
    assert examples[2].proposals is None
    assert examples[2].ground_targets == ()


@pytest.mark.parametrize("dataset", ["scanrefer", "multi3drefer"])
def test_detected_boxes_are_added_when_they_are_asked_for(tmp_path, dataset) -> None:
    write_scan(tmp_path, "scene0000_00", masks=[[0], [1, 3]])
    one = dataset == "scanrefer"
    entry = processed(
        0,
        "scene0000_00",
        "<image>Identify it.",
        "<ground>",
        {
            "dataset": dataset,
            "question_type": "unique" if one else "st_wo_d",
            "ann_id": "0",
            "object_id": "3" if one else [3],
        },
        box=list(OBJECTS[3][1]) if one else [list(OBJECTS[3][1])],
    )
    file = write_json(tmp_path / "val.json", [entry])
    source = SceneSource(dataset=dataset, dataset_path=str(tmp_path), annotation_file=file)
    labels = [[each["label"] for each in load_scenes(source)[0][0]["boxes"]]]
    source.ground_proposals = "detected"
    scenes, questions = load_scenes(source)
    labels.append([each["label"] for each in scenes[0]["boxes"]])
    assert len(labels[0]) == len(OBJECTS)
    assert labels[1] == labels[0] + [PROPOSAL_LABEL] * 2
    assert SpatialDataset(scenes, questions, num_frames=2, geometry_size=(12, 16))[0].proposals.shape == (4, 6)
    source.ground_proposals = "all"
    with pytest.raises(ValueError, match="ground_proposals='all': choose objects or detected"):
        load_scenes(source)


@pytest.mark.parametrize("unknown", [2, -1])
def test_an_unknown_object_is_named(tmp_path, unknown) -> None:
    write_scan(tmp_path, "scene0000_00")
    entry = {"scene_id": "scene0000_00", "object_ids": [unknown], "description": "x", "eval_type": "st_wo_d"}
    file = write_json(tmp_path / "multi3drefer_val.json", [entry])
    source = SceneSource(
        dataset="multi3drefer", dataset_path=str(tmp_path), annotation_file=file, ground_proposals="detected"
    )
    with pytest.raises(SpatialDataError, match=f"no box of object {unknown}"):
        load_scenes(source)


def test_objects_of_a_scan_whose_ids_leave_numbers_out(tmp_path) -> None:
    """The peers drop such scans."""
    write_scan(tmp_path, "scene0000_00")
    entry = processed(
        0,
        "scene0000_00",
        "<image>Identify it.",
        "<ground>",
        {"dataset": "multi3drefer", "question_type": "mt", "ann_id": "0", "object_id": [7, 1]},
        box=[list(OBJECTS[7][1]), list(OBJECTS[1][1])],
    )
    file = write_json(tmp_path / "multi3drefer_val_llava_style.json", [entry])
    source = SceneSource(dataset="multi3drefer", dataset_path=str(tmp_path), annotation_file=file)
    row = SpatialDataset(*load_scenes(source), num_frames=2, geometry_size=(12, 16))[0]
    assert list(OBJECTS) == [0, 1, 3, 7]
    assert row.ground_targets == ((3, 1),)
    np.testing.assert_allclose(row.proposals, [numbers for _, numbers in OBJECTS.values()], atol=1e-5)
