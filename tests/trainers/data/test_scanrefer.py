"""ScanRefer in its own form and as Video-3D LLM processed it: one box each, unique or multiple, ids with gaps."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from scannet_tree import OBJECTS, processed, write_json, write_labels, write_scan
from scene_folders import scene_row, write_exported

from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scanrefer import read_scanrefer, scanrefer_references
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.metrics.grounding_accuracy import grounding_scores


SCAN = "scene0000_00"


def sentence(object_id: int, name: str, description: str, ann_id: int = 0) -> dict:
    return {
        "scene_id": SCAN,
        "object_id": str(object_id),
        "object_name": name,
        "ann_id": str(ann_id),
        "description": description,
        "token": description.lower().split(),
    }


ORIGINAL = [
    sentence(0, "chair", "this is a Brown chair. It is left of the TV."),
    sentence(3, "sofa_chair", "a chair at the window"),  # another name of the class of `chair`
    sentence(7, "kitchen_cabinet", "the cabinet"),
    sentence(7, "kitchen_cabinet", "a white cabinet", 1),
]
TYPES = ["multiple", "multiple", "unique", "unique"]
PROMPT = "Identify the object according to the following description.\n"
PROCESSED = [
    processed(
        number,
        SCAN,
        f"<image>{PROMPT}{entry['description'].capitalize()}",
        "<ground>",
        {"dataset": "scanrefer", "question_type": kind, "ann_id": entry["ann_id"], "object_id": entry["object_id"]},
        box=list(OBJECTS[int(entry["object_id"])][1]),
    )
    for number, (entry, kind) in enumerate(zip(ORIGINAL, TYPES, strict=True))
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scannet", SCAN)
    write_labels(tmp_path / "scannet" / "scannetv2-labels.combined.tsv")
    return tmp_path / "scannet"


def load(root: Path, annotations: object, **options) -> tuple[Dataset, Dataset]:
    path = write_json(root / "annotations.json", annotations)
    return load_scenes(SceneSource(dataset="scanrefer", dataset_path=str(root), annotation_file=path, **options))


def test_the_benchmarks_own_file(root: Path) -> None:
    scenes, questions = load(root, ORIGINAL)
    assert questions[0] == {
        "question_id": "0",
        "scene_id": SCAN,
        "question": PROMPT + "This is a brown chair. it is left of the tv.",
        "answers": ["<ground>"],
        "question_type": "multiple",
        "referred_boxes": [0],
    }
    assert questions["question_type"][:] == TYPES
    assert questions["referred_boxes"][:] == [[0], [2], [3], [3]]
    assert SpatialDataset(scenes, questions, num_frames=2, geometry_size=(12, 16))[1].question_types == ("multiple",)


def test_both_forms_are_the_same_questions(root: Path) -> None:
    own, peers = load(root, ORIGINAL), load(root, PROCESSED)
    assert own[1][:] == peers[1][:]
    assert own[0]["boxes"][:] == peers[0]["boxes"][:]


def test_references_of_the_metric(root: Path) -> None:
    references = scanrefer_references(*load(root, ORIGINAL))
    for reference, entry in zip(references, ORIGINAL, strict=True):
        np.testing.assert_allclose(reference["box"], OBJECTS[int(entry["object_id"])][1], atol=1e-5)
    scores = grounding_scores([{"sample_id": "2", "box": references[2]["box"]}], references, "peer")
    assert (scores["accuracy_25"], scores["unique_accuracy_25"], scores["unique_count"]) == (25, 50, 2)


def test_processed_boxes_serve_where_the_scene_has_none(tmp_path: Path) -> None:
    write_exported(tmp_path / "posed_images" / SCAN, scene_row(3))
    scenes, questions = load(tmp_path, PROCESSED)
    assert questions["referred_boxes"][:] == [[0], [1], [2], [2]]
    references = scanrefer_references(scenes, questions)
    np.testing.assert_allclose(references[3]["box"], OBJECTS[7][1])
    with pytest.raises(SpatialDataError, match=r"4 of 4 questions.*no box of object 0 \(it has 0 boxes\)"):
        load(tmp_path, ORIGINAL, label_file=str(write_labels(tmp_path / "labels.tsv")))


@pytest.mark.parametrize("bad", [[0, 0, float("nan"), 1, 1, 1], [0, 0, 0, 1, 1, -1], [1, 2], None])
def test_processed_boxes_that_are_none(root: Path, bad: object) -> None:
    with pytest.raises(SpatialDataError, match=r"annotations\.json, entry 1"):
        load(root, [PROCESSED[0], {**PROCESSED[1], "box": bad}])


def test_an_unknown_object_and_the_same_id_twice(root: Path) -> None:
    with pytest.raises(SpatialDataError, match="no box of object 2 .*of the ids 0, 1, 3, 7"):
        load(root, [sentence(2, "chair", "a chair")])
    with pytest.raises(SpatialDataError, match="the id '0' was used at .*entry 0"):
        load(root, [PROCESSED[0], PROCESSED[0]])


def test_classes_come_from_a_label_file(root: Path) -> None:
    (root / "scannetv2-labels.combined.tsv").rename(root / "labels.tsv")
    with pytest.raises(SpatialDataError, match=r"give label_file, ScanNet's scannetv2-labels\.combined\.tsv"):
        load(root, ORIGINAL)
    assert load(root, ORIGINAL, label_file=str(root / "labels.tsv"))[1]["question_type"][:] == TYPES
    (root / "labels.tsv").write_text("id\traw_category\n1\tchair\n")
    with pytest.raises(SpatialDataError, match="no columns raw_category and nyu40id"):
        load(root, ORIGINAL, label_file=str(root / "labels.tsv"))
    with pytest.raises(SpatialDataError, match=r"none\.tsv: not readable"):
        load(root, ORIGINAL, label_file=str(root / "none.tsv"))


def test_classes_beyond_the_twenty_are_one(tmp_path: Path) -> None:
    """An unknown name and NYU40's class 40 both count as other furniture."""
    entries = [sentence(0, "bucket", "a bucket"), sentence(1, "thingamajig", "a thing"), sentence(3, "door", "a door")]
    questions = read_scanrefer(write_json(tmp_path / "a.json", entries), write_labels(tmp_path / "labels.tsv"))
    assert [question.question_type for question in questions] == ["multiple", "multiple", "unique"]
