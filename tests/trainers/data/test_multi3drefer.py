"""Multi3DRefer in its own form and as Video-3D LLM processed it: no, one and several boxes."""

from pathlib import Path

import pytest
from datasets import Dataset
from scannet_tree import OBJECTS, processed, write_json, write_scan

from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.multi3drefer import multi3drefer_references
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.metrics.multi_grounding_f1 import multi_grounding_scores


SCAN = "scene0000_00"
PROMPT = (
    "Identify the object according to the following description.\n{}\n"
    "There may be no corresponding object, or there may be one or more objects."
)


def sentence(object_ids: list[int], eval_type: str, description: str) -> dict:
    return {
        "scene_id": SCAN,
        "object_ids": object_ids,
        "object_name": "chair",
        "ann_id": 0,
        "eval_type": eval_type,
        "description": description,
        "spatial": True,
    }


ORIGINAL = [
    sentence([], "zt_w_d", "A pink chair"),
    sentence([7], "st_wo_d", "the cabinet"),
    sentence([3, 0], "mt", "all Chairs"),
]
PROCESSED = [
    processed(
        number,
        SCAN,
        "<image>" + PROMPT.format(entry["description"].capitalize()),
        "<ground>",
        {
            "dataset": "multi3drefer",
            "question_type": entry["eval_type"],
            "ann_id": entry["ann_id"],
            "object_id": entry["object_ids"],
        },
        box=[list(OBJECTS[object_id][1]) for object_id in entry["object_ids"]],
    )
    for number, entry in enumerate(ORIGINAL)
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path, SCAN)
    return tmp_path


def load(root: Path, annotations: object, **options) -> tuple[Dataset, Dataset]:
    path = write_json(root / "annotations.json", annotations)
    return load_scenes(SceneSource(dataset="multi3drefer", dataset_path=str(root), annotation_file=path, **options))


def test_both_forms_are_the_same_questions(root: Path) -> None:
    _, questions = load(root, ORIGINAL)
    assert questions["question"][2] == PROMPT.format("All chairs")
    assert questions["referred_boxes"][:] == [[], [3], [2, 0]]
    assert questions["question_type"][:] == ["zt_w_d", "st_wo_d", "mt"]
    assert load(root, PROCESSED)[1][:] == questions[:]


def test_references_of_the_metric(root: Path) -> None:
    references = multi3drefer_references(*load(root, ORIGINAL))
    assert [len(reference["boxes"]) for reference in references] == [0, 1, 2]
    predictions = [{"sample_id": row["sample_id"], "boxes": row["boxes"], "scores": None} for row in references]
    scores = multi_grounding_scores(predictions, references, "standard")
    assert (scores["f1_50"], scores["zt_w_d_count"], scores["mt_f1_25"]) == (100, 1, 100)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (sentence([7], "zt_w_d", "a"), "type 'zt_w_d' with 1 objects"),
        (sentence([], "st_w_d", "a"), "type 'st_w_d' with 0 objects"),
        (sentence([1], "mt", "a"), "type 'mt' with 1 objects"),
        (sentence([1], "unique", "a"), "type 'unique' with 1 objects"),
        (sentence([1, 1], "mt", "a"), "an object is named twice"),
        (sentence([1, 5], "mt", "a"), "no box of object 5"),
        ({**PROCESSED[2], "box": PROCESSED[2]["box"][:1]}, "1 boxes for 2 objects"),
        ({**PROCESSED[0], "box": None}, "None is no list of boxes"),
    ],
)
def test_bad_entries(root: Path, entry: dict, words: str) -> None:
    with pytest.raises(
        SpatialDataError, match=rf"{'.' if 'box of' in words else 'annotations.json, entry 0'}.*{words}"
    ):
        load(root, [entry])
