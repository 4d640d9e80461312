"""Rows that changed since a checkpoint was written are noticed: others, and the same ones with other words."""

from typing import Any

from datasets import Dataset
from scene_folders import question_row, scene_row
from tiny_training import SlantedWalls

from igep.trainers.data.rows_fingerprint import rows_fingerprint
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES
from igep.trainers.data.spatial_dataset import SpatialDataset


def fingerprint(*questions: dict) -> dict[str, Any]:
    scenes = Dataset.from_list([scene_row(3)], features=SCENE_FEATURES)
    asked = Dataset.from_list(list(questions), features=QUESTION_FEATURES)
    return rows_fingerprint(SpatialDataset(scenes, asked, num_frames=2, geometry_size=(6, 8)))


def test_another_answer_in_the_same_row_is_noticed():
    first = fingerprint(question_row(1))
    assert first == fingerprint(question_row(1))
    for changed in ({"answers": ["2.0"]}, {"question": "How far is the door?"}):
        second = fingerprint(question_row(1, **changed))
        assert [name for name in first if first[name] != second[name]] == ["data: texts of training rows"]


def test_texts_do_not_run_into_each_other():
    one = fingerprint(question_row(1, question="a", answers=["b c"]))
    assert one != fingerprint(question_row(1, question="a b", answers=["c"]))


def test_another_row_is_noticed():
    first, second = fingerprint(question_row(1)), fingerprint(question_row(1), question_row(2))
    assert first["data: training rows"] != second["data: training rows"]
    assert first["data: training rows"].startswith("1 row")


def test_rows_of_any_class_are_counted():
    assert rows_fingerprint(SlantedWalls(8))["data: training rows"].startswith("8 rows")
