"""What rows tell of themselves: the same few things, whichever class they are of."""

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import question_row, scene_row
from tiny_training import SlantedWalls

from igep.trainers.data.mixture import MixtureDataset, MixturePart, drawn_rows
from igep.trainers.data.row_source import MapStyleRows, RowSource, as_row_source
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import USAGE_FIELDS, VLM3Options


@pytest.fixture
def scenes() -> Dataset:
    return Dataset.from_list([scene_row(3)], features=SCENE_FEATURES)


def test_questions_of_people_need_no_options(scenes):
    questions = Dataset.from_list([question_row(1)], features=QUESTION_FEATURES)
    rows = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8))
    assert as_row_source(rows) is rows
    assert (rows.task, rows.usage) == ("questions", {})


def test_questions_of_vlm3_tell_how_they_are_written(scenes):
    rows = VLM3Dataset(scenes, VLM3Options(task="pose", canvas_size=(48, 64)), geometry_size=(6, 8))
    assert as_row_source(rows) is rows
    assert rows.task == "pose"
    assert rows.usage.keys() == set(USAGE_FIELDS)
    assert rows.usage["text_pixel_steps"] == 1000, "the task's own, where none is given"
    assert rows.usage["canvas_size"] == [48, 64]
    assert VLM3Options(task="pose", **rows.usage).usage == rows.usage


def test_any_map_style_dataset_is_read_as_it_stands():
    walls = SlantedWalls(rows=3)
    assert not isinstance(walls, RowSource)
    rows = as_row_source(walls)
    assert isinstance(rows, RowSource)
    assert (len(rows), rows.sample_ids, rows.usage) == (3, ("0", "1", "2"), {})
    np.testing.assert_array_equal(rows.example(2, 5).depth_metres, walls[2].depth_metres)


def test_a_row_source_that_leaves_something_out_is_no_plain_dataset():
    class HalfTold(SlantedWalls):
        task = "walls"

        def example(self, row, draw):
            return self[row]

    with pytest.raises(TypeError, match=r"HalfTold has `example` but not `sample_ids`, `usage`: .*RowSource"):
        as_row_source(HalfTold(rows=3))


def test_what_a_run_has_drawn_from():
    one, two = MapStyleRows(SlantedWalls(rows=4)), MapStyleRows(SlantedWalls(rows=8))
    (all_rows,) = drawn_rows(one, 10)
    assert (all_rows.name, all_rows.source, all_rows.num_rows, all_rows.samples) == ("training rows", one, 4, 10)
    mixture = MixtureDataset([MixturePart("one", one), MixturePart("two", two, max_samples=2)], weighting="uniform")
    drawn = drawn_rows(mixture, 64)
    assert [(rows.name, rows.source, rows.num_rows, rows.samples) for rows in drawn] == [
        ("one", one, 4, 32),
        ("two", two, 2, 32),
    ]
