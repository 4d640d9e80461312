"""Boxes that questions show in the camera of a frame: questions without one stay, and what cannot be shown is told."""

import pytest
from datasets import Dataset
from scene_folders import question_row, scene_row

from igep.text_boxes import parse_boxes
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.shown_box_dataset import ShownBoxDataset
from igep.trainers.geometry.oriented_boxes import box_iou, transform_box


BOXES = [
    {"label": "box", "centre_metres": [x, 0.0, 2.0], "size_metres": [0.4, 0.5, 0.6], "yaw_radians": 0.3}
    for x in (0.0, 0.5)
]


def rows_of(*questions: dict, **scene) -> ShownBoxDataset:
    return ShownBoxDataset(
        Dataset.from_list([scene_row() | {"boxes": BOXES} | scene], features=SCENE_FEATURES),
        Dataset.from_list(list(questions), features=QUESTION_FEATURES),
        num_frames=3,
        geometry_size=(24, 32),
        questions_per_row=len(questions),
    )


def test_the_last_referred_box_is_shown_and_other_questions_stay():
    shows = question_row(0, question="What is at <coord> ?", referred_boxes=[0, 1])
    example = rows_of(shows, question_row(1))[0]
    (question, answer), other = example.conversation
    assert (answer, other) == ("0.0", ("How far is box 1?", "1.0"))
    (found,) = parse_boxes(question, 3).boxes
    world = transform_box(found.box, example.world_from_camera[found.frame])
    assert box_iou(world, [0.5, 0, 2, 0.4, 0.5, 0.6, 0, 0, 17.19]) > 0.9


@pytest.mark.parametrize("referred", [[], [0, 5]])
def test_a_box_that_is_not_there(referred):
    rows = rows_of(question_row(0, question="What is at <coord> ?", referred_boxes=referred))
    with pytest.raises(SpatialDataError, match=r"referred_boxes"):
        rows[0]


def test_a_scene_without_poses():
    with pytest.raises(SpatialDataError, match="box_prompt: centre"):
        rows_of(question_row(0, question="What is at <coord> ?"), world_from_camera=[])[0]
    assert rows_of(question_row(0), world_from_camera=[])[0].conversation == (("How far is box 0?", "0.0"),)
