"""The row schema goes to Parquet and back, images included."""

from pathlib import Path

import numpy as np
from datasets import Dataset
from scene_folders import question_row, scene_row

from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError


def test_scene_survives_parquet(tmp_path: Path) -> None:
    row = scene_row(3)
    row["depth"][1] = None
    Dataset.from_list([row], features=SCENE_FEATURES).to_parquet(tmp_path / "scenes.parquet")
    table = Dataset.from_parquet(str(tmp_path / "scenes.parquet"), cache_dir=str(tmp_path))
    assert table.features == SCENE_FEATURES
    read = table[0]
    np.testing.assert_array_equal(np.asarray(read["depth"][2]), np.asarray(row["depth"][2]))
    assert np.asarray(read["depth"][2]).dtype == np.uint16
    assert read["depth"][1] is None
    assert read["world_from_camera"] == row["world_from_camera"]
    assert read["boxes"] == row["boxes"]


def test_question_keeps_every_answer() -> None:
    table = Dataset.from_list([question_row(1)], features=QUESTION_FEATURES)
    assert table[0] == question_row(1)


def test_data_errors_are_value_errors() -> None:
    assert issubclass(SpatialDataError, ValueError)
