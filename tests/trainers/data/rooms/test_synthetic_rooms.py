import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from igep.trainers.data.rooms.room_questions import (
    PLANAR_QUESTION_TYPES,
    PLANAR_QUESTIONS,
    SPATIAL_QUESTION_TYPES,
    format_length,
)
from igep.trainers.data.rooms.room_renderer import RoomSpec
from igep.trainers.data.rooms.synthetic_rooms import METRES_PER_DEPTH_UNIT, rendered_chunks, synthetic_rooms
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES
from igep.trainers.data.spatial_dataset import SpatialDataset


@pytest.fixture(scope="module")
def tables():
    return synthetic_rooms(96, seed=5, questions_per_room=12)


def camera_xyz(scene, box):
    world_from_camera = np.array(scene["world_from_camera"][0])
    return world_from_camera[:3, :3].T @ (np.array(box["centre_metres"]) - world_from_camera[:3, 3])


def named(scene, words):
    return next(box for box in scene["boxes"] if box["label"] == words)


def test_tables_keep_the_row_schema(tables):
    scenes, questions = tables
    assert scenes.features == SCENE_FEATURES
    assert questions.features == QUESTION_FEATURES
    for scene in scenes:
        validate_scene(scene)
    assert set(questions["question_type"]) == set(SPATIAL_QUESTION_TYPES)
    assert len(set(questions["question_id"])) == len(questions)


def test_answers_follow_from_the_boxes_and_the_first_pose(tables):
    scenes, questions = tables
    by_id = {scene["scene_id"]: scene for scene in scenes}
    checked = Counter()
    for row in questions:
        scene, kind = by_id[row["scene_id"]], row["question_type"]
        asked = row["question"].rstrip("?").split(" the ")
        referred = [scene["boxes"][index] for index in row["referred_boxes"]]
        xyz = [camera_xyz(scene, box) for box in referred]
        if kind == "count":
            assert row["answers"] == [str(len(referred))]
            continue
        for box in referred:
            assert box["label"] in row["question"]
        if kind == "distance":
            expected = format_length(np.linalg.norm(xyz[0]))
        elif kind == "size":
            expected = format_length(referred[0]["size_metres"][2], 0.2)
        elif kind == "centre":
            expected = " ".join(format_length(value) for value in xyz[0])
        elif kind == "object_distance":
            expected = format_length(np.linalg.norm(xyz[0] - xyz[1]))
        elif kind == "left_right":
            expected = "left" if xyz[0][0] / xyz[0][2] < xyz[1][0] / xyz[1][2] else "right"
        else:
            nearer = referred[int(np.argmin([np.linalg.norm(point) for point in xyz]))]
            expected = nearer["label"].split(" in ")[1]
        assert row["answers"] == [expected], (asked, kind)
        checked[kind] += 1
    assert min(checked.values()) > 20


def test_answers_cannot_be_guessed(tables):
    _, questions = tables
    for kind in SPATIAL_QUESTION_TYPES:
        answers = Counter(row["answers"][0] for row in questions if row["question_type"] == kind)
        assert max(answers.values()) / sum(answers.values()) < 0.65, (kind, answers)


def test_stored_depth_is_the_rendered_depth(tables):
    scenes, _ = tables
    rendered = next(rendered_chunks(4, seed=5, spec=RoomSpec()))
    for index in range(4):
        scene = scenes.with_format("arrow")[index].to_pylist()[0]
        for frame, stored in enumerate(scene["depth"]):
            units = np.array(Image.open(io.BytesIO(stored["bytes"])))
            assert units.dtype == np.uint16
            np.testing.assert_allclose(
                units * METRES_PER_DEPTH_UNIT, rendered.depth_metres[index, frame], atol=METRES_PER_DEPTH_UNIT
            )


def test_same_seed_same_bytes_and_more_rooms_extend():
    few = synthetic_rooms(5, seed=9)
    many = synthetic_rooms(40, seed=9)
    for one, two in zip(few, many, strict=True):
        assert one.with_format("arrow")[:].to_pylist() == two.with_format("arrow")[: len(one)].to_pylist()
    other = synthetic_rooms(5, seed=10)[0].with_format("arrow")[0].to_pylist()
    assert other[0]["frames"] != few[0].with_format("arrow")[0].to_pylist()[0]["frames"]


def test_rooms_without_questions_are_valid_rows():
    scenes, questions = synthetic_rooms(3, seed=1, questions_per_room=0)
    assert len(questions) == 0
    rows = SpatialDataset(scenes, None, num_frames=2, geometry_size=(16, 16))
    assert len(rows) == 3
    assert rows[0].conversation == ()


def test_planar_questions_speak_of_the_image_only():
    scenes, questions = synthetic_rooms(48, seed=2, questions_per_room=10, writers=PLANAR_QUESTIONS)
    assert set(questions["question_type"]) == set(PLANAR_QUESTION_TYPES)
    by_id = {scene["scene_id"]: scene for scene in scenes}
    for row in questions:
        assert "metres" not in row["question"]
        if row["question_type"] == "screen_position":
            scene = by_id[row["scene_id"]]
            x, y, z = camera_xyz(scene, scene["boxes"][row["referred_boxes"][0]])
            focal, centre = scene["intrinsics"][0][0][0], scene["intrinsics"][0][0][2]
            column, line = (min(7, max(0, int((tangent / z * focal + centre) // 8))) for tangent in (x, y))
            assert row["answers"] == [f"row {line} column {column}"]
        if row["question_type"] == "colour":
            shape = row["question"].rstrip("?").split()[-1]
            box = by_id[row["scene_id"]]["boxes"][row["referred_boxes"][0]]
            assert box["label"] == f"{shape} in {row['answers'][0]}"


def test_format_length_has_no_negative_zero():
    assert format_length(-0.1) == "0.0"
    assert format_length(-0.3) == "-0.5"
    assert format_length(1.25, 0.2) == "1.2"


def test_no_rooms_is_refused():
    with pytest.raises(ValueError, match="num_rooms=0"):
        synthetic_rooms(0, seed=0)
