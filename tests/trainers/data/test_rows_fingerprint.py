"""Rows that changed since a checkpoint was written are noticed: others, and the same ones with other words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import question_row, scene_row, write_exported
from tiny_training import SlantedWalls

from igep.trainers.data.rows_fingerprint import rows_fingerprint
from igep.trainers.data.scannet import load_scannet
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


def scenes_of(row: dict[str, Any]) -> str:
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    found = rows_fingerprint(SpatialDataset(scenes, None, num_frames=2, geometry_size=(6, 8)))
    return found["data: scenes of training rows"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["world_from_camera"][1][0].__setitem__(3, 0.5),
        lambda row: row["intrinsics"][0][0].__setitem__(0, 61.0),
        lambda row: row.update(metres_per_depth_unit=0.002),
        lambda row: row["boxes"][0].update(label="chair"),
        lambda row: row.update(depth=[]),
        lambda row: row["depth"].__setitem__(0, row["depth"][0].resize((32, 24))),
        lambda row: row["frame_ids"].__setitem__(2, "other"),
    ],
)
def test_other_geometry_of_a_scene_of_the_same_name_is_noticed(change) -> None:
    row = scene_row(3)
    change(row)
    assert scenes_of(scene_row(3)) == scenes_of(scene_row(3)) != scenes_of(row)


def test_where_the_files_lie_changes_nothing(tmp_path: Path) -> None:
    """And what they hold does: as another export under the same path."""
    found = []
    for place in ("one", "two"):
        folder = write_exported(tmp_path / place / "desk", scene_row(3))
        found.append(scenes_of(load_scannet(folder)[0].with_format("arrow")[:].to_pylist()[0]))
    assert found[0] == found[1]
    np.savetxt(folder / "pose" / "00001.txt", np.eye(4))
    assert scenes_of(load_scannet(folder)[0].with_format("arrow")[:].to_pylist()[0]) != found[0]


def test_rows_of_any_class_are_counted():
    assert rows_fingerprint(SlantedWalls(8))["data: training rows"].startswith("8 rows")
