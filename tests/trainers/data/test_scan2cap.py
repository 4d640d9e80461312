"""Scan2Cap from ScanRefer's sentences and as Video-3D LLM processed it: the object, the box shown, their overlap."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from scannet_tree import OBJECTS, processed, write_json, write_labels, write_scan

from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scan2cap import scan2cap_references, shown_box_ious
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.metrics.caption_at_iou import caption_at_iou_scores


SCAN = "scene0000_00"
SENTENCES = [
    {"scene_id": SCAN, "object_id": object_id, "object_name": name, "ann_id": ann_id, "description": description}
    for object_id, name, ann_id, description in (
        ("3", "chair", "0", "A chair at the window."),
        ("7", "kitchen_cabinet", "0", "A cabinet."),
        ("3", "chair", "1", "The chair near the wall."),
        ("0", "chair", "0", "A red chair."),
    )
]
PROMPT = "Given an object located at {} , describe the object in detail."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Proposals: the first chair exactly, the cabinet too small to stand for it, and nothing for the other chair."""
    write_scan(tmp_path, SCAN)
    write_labels(tmp_path / "scannetv2-labels.combined.tsv")
    chair, cabinet = list(OBJECTS[3][1]), [*OBJECTS[7][1][:5], 0.9]
    write_json(tmp_path / "proposals.json", {f"scannet/{SCAN}": [cabinet, [9, 9, 9, 1, 1, 1], chair]})
    return tmp_path


def load(root: Path, annotations: object = SENTENCES, **options) -> tuple[Dataset, Dataset]:
    path = write_json(root / "annotations.json", annotations)
    return load_scenes(SceneSource(dataset="scan2cap", dataset_path=str(root), annotation_file=path, **options))


def test_an_object_with_all_of_its_descriptions(root: Path) -> None:
    scenes, questions = load(root)
    assert questions[0] == {
        "question_id": "0",
        "scene_id": SCAN,
        "question": PROMPT.format("[1.00, 2.00, 0.50]"),
        "answers": ["A chair at the window.", "The chair near the wall."],
        "question_type": "multiple",
        "referred_boxes": [2, 2],  # the object, and the box that is shown: its own
    }
    assert questions["question_id"][:] == ["0", "1", "3"]
    assert shown_box_ious(scenes, questions) == pytest.approx({"0": 1, "1": 1, "3": 1})
    assert len(scenes[0]["boxes"]) == len(OBJECTS)
    SpatialDataset(scenes, questions, num_frames=2, geometry_size=(12, 16))[0]


def test_a_row_per_sentence_and_the_token(root: Path) -> None:
    _, questions = load(root, one_answer_per_row=True, box_prompt="token")
    assert questions["question_id"][:] == ["0", "1", "2", "3"]
    assert questions["answers"][:] == [[entry["description"]] for entry in SENTENCES]
    assert set(questions["question"]) == {PROMPT.format("<coord>")}


def test_proposals_stand_for_objects_from_half_overlap_on(root: Path) -> None:
    scenes, questions = load(root, shown_boxes="proposals", proposal_box_file=str(root / "proposals.json"))
    assert [len(row) for row in questions["referred_boxes"]] == [2, 1, 1]
    ious = shown_box_ious(scenes, questions)
    assert ious["0"] == pytest.approx(1, abs=1e-4)
    assert (ious["1"], ious["3"]) == (0, 0)
    assert questions["question"][1] == PROMPT.format("an unknown place")
    predictions = [{"sample_id": name, "caption": "A red chair.", "iou": iou} for name, iou in ious.items()]
    scores = caption_at_iou_scores(predictions, scan2cap_references(questions), "standard")
    assert scores["found_50"] == pytest.approx(100 / 3)


def test_the_best_of_several_proposals(root: Path) -> None:
    near, nearer = [*OBJECTS[0][1][:5], 0.7], [*OBJECTS[0][1][:5], 0.9]
    write_json(root / "proposals.json", {f"scannet/{SCAN}": [near, nearer, near]})
    options = {"shown_boxes": "proposals", "proposal_box_file": str(root / "proposals.json")}
    scenes, questions = load(root, SENTENCES[3:], **options)
    np.testing.assert_allclose(scenes[0]["boxes"][questions[0]["referred_boxes"][1]]["size_metres"], nearer[3:])
    write_json(root / "proposals.json", {f"scannet/{SCAN}": []})
    assert load(root, SENTENCES[3:], **options)[1][0]["referred_boxes"] == [0]


def entry(number: int, object_id: int, shown: list[float] | None, **more) -> dict:
    return processed(
        number,
        SCAN,
        "<image> " + PROMPT.format("<coord>"),
        "A chair.",
        {"dataset": "scan2cap", "question_type": "multiple", "ann_id": "0", "object_id": str(object_id)},
        box_input=shown,
        gt_box=list(OBJECTS[object_id][1]),
        **more,
    )


def test_the_processed_file(root: Path) -> None:
    proposal = [*OBJECTS[3][1][:5], 0.8]
    entries = [
        entry(0, 3, proposal, annotations=["A chair.", "One chair."]),
        entry(1, 7, None, annotations=["A cabinet."]),
        entry(2, 0, proposal),
    ]
    scenes, questions = load(root, entries)
    assert questions["answers"][:] == [["A chair.", "One chair."], ["A cabinet."], ["A chair."]]
    assert questions["referred_boxes"][:] == [[2, 4], [3], [0, 4]]
    assert scenes[0]["boxes"][4]["label"] == "proposal"
    assert shown_box_ious(scenes, questions) == pytest.approx({"0": 0.8, "1": 0, "2": 0}, abs=1e-4)
    assert questions["question"][0] == PROMPT.format("[1.00, 2.00, 0.50]")
    for bad in ([0, 0, 0, 1, 1, -1], [0, 0, 0, 1, 1, float("nan")]):
        with pytest.raises(SpatialDataError, match=r"annotations\.json, entry 0"):
            load(root, [entry(0, 3, bad)])


def test_options_that_are_none(root: Path) -> None:
    with pytest.raises(ValueError, match="shown_boxes='masks'"):
        load(root, shown_boxes="masks")
    with pytest.raises(ValueError, match="box_prompt='text'"):
        load(root, box_prompt="text")
    with pytest.raises(SpatialDataError, match="1 of 1 questions.*no box of object 5"):
        load(root, [{**SENTENCES[0], "object_id": "5"}])
