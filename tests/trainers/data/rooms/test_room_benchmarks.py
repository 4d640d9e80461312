import dataclasses
import json
import random
from collections import Counter

import numpy as np
import pytest
from room_scans import room_scan

from igep.trainers.data.multi3drefer import QUESTION_TYPES as REFERRING_TYPES
from igep.trainers.data.multi3drefer import read_multi3drefer
from igep.trainers.data.rooms.family_draws import draw_from_families
from igep.trainers.data.rooms.room_benchmarks import RoomBenchmarkFiles, write_room_benchmarks
from igep.trainers.data.rooms.room_multi3drefer import multi3drefer_entries
from igep.trainers.data.rooms.room_scanqa import scanqa_entries
from igep.trainers.data.rooms.room_scanrefer import scanrefer_entries
from igep.trainers.data.rooms.room_sqa3d import sqa3d_entries
from igep.trainers.data.rooms.room_vsi_bench import vsi_bench_entries
from igep.trainers.data.scan2cap import read_scan2cap
from igep.trainers.data.scanqa import read_scanqa
from igep.trainers.data.scanrefer import read_scanrefer
from igep.trainers.data.scenes.video_frames import read_frames, read_image
from igep.trainers.data.sqa3d import QUESTION_TYPES as SITUATED_TYPES
from igep.trainers.data.sqa3d import read_sqa3d
from igep.trainers.data.vsi_bench import CHOICE_TYPES, NUMBER_TYPES, VSIBenchDataset


TRAIN_ROOMS, HELD_OUT_ROOMS, PER_ROOM = 24, 4, 5
LABELS = "scannetv2-labels.combined.tsv"
EVERYTHING = 10**6


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("rooms")


@pytest.fixture(scope="module")
def counts(root):
    return write_room_benchmarks(
        root, train_rooms=TRAIN_ROOMS, held_out_rooms=HELD_OUT_ROOMS, seed=3, questions_per_room=PER_ROOM
    )


@pytest.fixture(scope="module")
def questions(root, counts):
    """The questions of each file that the benchmarks' own loaders read."""
    read = {}
    for split in ("train", "val"):
        files = RoomBenchmarkFiles(split)
        read[files.scanqa] = read_scanqa(str(root / files.scanqa))
        read[files.sqa3d] = read_sqa3d(str(root / files.sqa3d))
        read[files.scanrefer] = read_scanrefer(str(root / files.scanrefer), root / LABELS)
        read[files.multi3drefer] = read_multi3drefer(str(root / files.multi3drefer))
    return read


def test_loaders_read_every_entry_of_every_file(root, counts, questions):
    for name, read in questions.items():
        assert len(read) == counts[name] > 0
    for split, rooms in (("train", TRAIN_ROOMS), ("val", HELD_OUT_ROOMS)):
        files = RoomBenchmarkFiles(split)
        assert counts[files.sqa3d_answers] == counts[files.sqa3d]
        assert len(VSIBenchDataset(root / files.vsi_bench, num_frames=2)) == counts[files.vsi_bench]
        captions = read_scan2cap(str(root / files.scanrefer), root / LABELS)
        assert len({question.scene_id for question in captions}) == rooms
        assert sum(len(question.answers) for question in captions) == counts[files.scanrefer]


def test_no_room_is_in_both_splits(questions):
    scenes = {
        split: {each.scene_id for name, read in questions.items() if split in name for each in read}
        for split in ("train", "val")
    }
    assert len(scenes["train"]) == TRAIN_ROOMS
    assert len(scenes["val"]) == HELD_OUT_ROOMS
    assert not scenes["train"] & scenes["val"]


def test_every_type_of_the_benchmarks_is_there(root, counts, questions):
    files = RoomBenchmarkFiles("train")
    assert {each.question_type for each in questions[files.sqa3d]} == {*SITUATED_TYPES, "others"}
    assert {each.question_type for each in questions[files.multi3drefer]} == set(REFERRING_TYPES)
    assert {each.question_type for each in questions[files.scanrefer]} == {"unique", "multiple"}
    asked = {each["question_type"] for each in VSIBenchDataset(root / files.vsi_bench, num_frames=2).references}
    assert asked == {*CHOICE_TYPES, *NUMBER_TYPES} - {"route_planning", "obj_appearance_order"}


def test_the_video_of_a_room_shows_its_frames(root, counts):
    video = read_frames(root / "rooms" / "room00003_00.mp4")
    files = sorted((root / "posed_images" / "room00003_00").glob("*.jpg"))
    assert len(video) == len(files)
    for frame, file in zip(video, files, strict=True):
        assert (
            np.abs(np.asarray(frame).astype(int) - np.asarray(read_image(file))).mean() < 6
        )  # of 255: both are lossy


def test_what_does_not_fit_is_told(tmp_path):
    for wrong in ({"train_rooms": 0}, {"held_out_rooms": 0}, {"questions_per_room": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            write_room_benchmarks(tmp_path, **{"train_rooms": 1, "held_out_rooms": 1, "seed": 0, **wrong})


# `room_scan` from above, in metres, the camera at (0, 0) looking up the page:
#
#   6            green box (0.86)
#   4    blue sphere (-1)
#   2    red box (-1)


def answers_of(entries):
    return {entry["question"]: entry["answers"][0] for entry in entries}


def test_scanqa_answers_of_a_room_by_hand():
    entries = scanqa_entries(room_scan(), "val", EVERYTHING, random.Random(0))
    found = answers_of(entries)
    assert found["What colour is the sphere?"] == "blue"
    assert "What colour is the box?" not in found  # there are two
    assert found["What shape is in green?"] == "box"
    assert found["How many boxes are there?"] == "2"
    assert "How many cylinders are there?" not in found  # an answer is about some object
    assert found["What is closest to the box in green?"] == "sphere in blue"
    assert found["Which is taller, the box in red or the box in green?"] == "box in red"
    by_question = {entry["question"]: entry for entry in entries}
    assert by_question["How many boxes are there?"]["object_ids"] == [0, 3]
    assert len({entry["question_id"] for entry in entries}) == len(entries)


def test_sqa3d_answers_of_a_room_by_hand():
    questions, annotations = sqa3d_entries(room_scan(), 7, EVERYTHING, random.Random(0))
    answers = {each["question_id"]: each["answers"][0]["answer"] for each in annotations}
    found = {(each["situation"], each["question"]): answers[each["question_id"]] for each in questions}
    assert sorted(answers) == list(range(7, 7 + len(questions)))
    at_box = "I am standing by the box in red facing the sphere in blue."
    assert found[at_box, "Where is the box in green?"] == "in front"  # 25 degrees to the right
    assert found[at_box, "Is the box in green on my left or on my right?"] == "right"
    assert found[at_box, "Can I see the box in green without turning?"] == "yes"
    assert found[at_box, "How many objects are on my right?"] == "0"
    assert found[at_box, "Which is closer to me, the sphere in blue or the box in green?"] == "sphere in blue"
    at_sphere = "I am standing by the sphere in blue facing the box in red."
    assert found[at_sphere, "What is behind me?"] == "box in green"
    assert found[at_sphere, "Can I see the box in green without turning?"] == "no"


def test_descriptions_mean_one_object_of_a_room_by_hand():
    found = {
        each["description"]: int(each["object_id"])
        for each in scanrefer_entries(room_scan(), EVERYTHING, random.Random(0))
    }
    assert found["this is the box in red"] == 0
    assert found["this is the box left of the sphere in blue"] == 0
    assert found["this is the box right of the sphere in blue"] == 3
    assert found["this is the sphere closest to the box in red"] == 1  # the only one


def test_multi3drefer_of_a_room_by_hand():
    entries = multi3drefer_entries(room_scan(), EVERYTHING, random.Random(0))
    found = {each["description"]: (each["eval_type"], each["object_ids"]) for each in entries}
    assert found["this is the box in red"] == ("st_w_d", [0])
    assert found["this is the sphere in blue"] == ("st_wo_d", [1])
    assert found["this is the sphere in red"] == ("zt_w_d", [])
    assert found["this is the cylinder in red"] == ("zt_wo_d", [])
    assert found["these are all boxes"] == ("mt", [0, 3])
    assert found["these are all cylinders"] == ("zt_wo_d", [])
    assert found["these are all objects left of the box in green"] == ("mt", [0, 1])
    assert found["these are all objects left of the box in red"] == ("zt_w_d", [])
    assert found["these are all objects right of the sphere in blue"] == ("st_w_d", [3])


def test_vsi_bench_of_a_room_by_hand():
    entries = vsi_bench_entries(room_scan(), 0, EVERYTHING, random.Random(0))
    found = {}
    for entry in entries:
        truth = entry["ground_truth"]
        if entry["options"] is not None:
            truth = next(option for option in entry["options"] if option[0] == truth)[3:]
        found[entry["question_type"], entry["question"]] = truth
    assert found["object_counting", "How many boxes are in this room?"] == "2"
    assert found["room_size_estimation", "What is the size of this room in square metres?"] == "30"
    size = "What is the length of the longest dimension of the box in red, measured in centimetres?"
    assert found["object_size_estimation", size] == "120"
    far = "Measuring from the closest point of each object, what is the distance between"
    assert found["object_abs_distance", f"{far} the box in red and the sphere in blue in metres?"] == "1.5"
    start = "If I am standing by the box in red and facing the sphere in blue, is the box in green to my"
    assert found["object_rel_direction_easy", f"{start} left or right?"] == "right"
    assert found["object_rel_direction_hard", f"{start} front or back, left or right?"] == "front right"
    start = "If I am standing by the sphere in blue and facing the box in red, is the box in green to my"
    assert found["object_rel_direction_medium", f"{start} left, right or back?"] == "back"
    near = "Measuring from the closest point of each object, which is the closest to the box in green?"
    assert found["object_rel_distance", near] == "sphere in blue"


def test_letters_of_choices_are_shuffled(root, counts):
    files = RoomBenchmarkFiles("train")
    lines = [json.loads(line) for line in (root / files.vsi_bench).read_text().splitlines()]
    letters = Counter(line["ground_truth"] for line in lines if line["question_type"] == "object_rel_direction_easy")
    assert set(letters) == {"A", "B"}
    assert all(line["ground_truth"] in "ABCD"[: len(line["options"])] for line in lines if line["options"])


def test_draws_take_families_in_turn_and_nothing_twice():
    drawn = draw_from_families([[1, 2, 3], [], [10] * 1, list(range(100, 200))], 8, random.Random(1), int)
    assert len(drawn) == len(set(drawn)) == 8
    assert {1, 2, 3, 10} & set(drawn)
    assert sorted(draw_from_families([[1], [2, 3]], 9, random.Random(0), int)) == [1, 2, 3]
    assert draw_from_families([[], []], 3, random.Random(0), int) == []


def test_a_rare_answer_is_drawn_as_often_as_a_frequent_one():
    asked = ["no"] * 9 + ["yes"]
    first = Counter(draw_from_families([asked], 1, random.Random(seed), str)[0] for seed in range(400))
    assert first["yes"] == pytest.approx(200, abs=40)


def test_none_one_and_several_objects_are_meant_equally_often_where_a_room_has_them():
    meant = Counter()
    for seed in range(200):
        (entry,) = multi3drefer_entries(room_scan(), 1, random.Random(seed))
        meant[min(len(entry["object_ids"]), 2)] += 1
    assert [meant[number] for number in range(3)] == pytest.approx([200 / 3] * 3, abs=25)


def test_a_room_with_two_objects_offers_no_question_that_needs_three():
    pair = dataclasses.replace(room_scan(), objects=room_scan().objects[:2])
    kinds = {each["question_type"] for each in vsi_bench_entries(pair, 0, EVERYTHING, random.Random(0))}
    assert kinds == {*NUMBER_TYPES}
    questions, _ = sqa3d_entries(pair, 0, EVERYTHING, random.Random(0))
    assert questions == []
