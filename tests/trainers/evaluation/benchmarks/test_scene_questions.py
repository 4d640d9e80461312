"""Scene questions: grouped by scene, with the frames that training samples, and refused if they cannot be scored."""

import pytest
from datasets import Dataset

from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scanqa import SCANQA
from igep.trainers.evaluation.benchmarks.scene_questions import SceneQuestions


SCENES, QUESTIONS = synthetic_rooms(3, seed=5, num_frames=3, questions_per_room=4)
FIRST = SCENES["scene_id"][0]


def groups_of(questions: Dataset = QUESTIONS, num_frames: int = 2, most: int = 3) -> SceneQuestions:
    return SceneQuestions(
        SCENES,
        questions,
        num_frames=num_frames,
        questions_per_group=most,
        reference_of=lambda row: {"answers": row["answers"]},
    )


def asked(**changes) -> Dataset:
    row = {"question_id": "q", "scene_id": FIRST, "question": "What?", "answers": ["a", "b"], "question_type": None}
    return Dataset.from_list([row | {"referred_boxes": []} | changes], features=QUESTION_FEATURES)


def test_every_question_is_in_one_group_of_its_scene():
    groups = list(groups_of())
    assert sorted(each.sample_id for group in groups for each in group.questions) == sorted(QUESTIONS["question_id"])
    assert {len(group.questions) for group in groups} == {3, 1}
    scene_of = dict(zip(QUESTIONS["question_id"], QUESTIONS["scene_id"], strict=True))
    assert all(scene_of[each.sample_id] == group.group_id for group in groups for each in group.questions)


def test_frames_are_those_of_training():
    rows = SpatialDataset(SCENES, QUESTIONS, num_frames=2, geometry_size=(8, 8), questions_per_row=3)
    for number, group in enumerate(groups_of()):
        assert [frame.tobytes() for frame in group.read_frames()] == [each.tobytes() for each in rows[number].frames]


def test_all_true_answers_go_to_the_metric():
    (group,) = groups_of(asked())
    (question,) = group.questions
    assert (question.answer, question.reference, question.question_type) == ("a", {"answers": ["a", "b"]}, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"answers": []}, "nothing to score"), ({"question": ""}, "Write it"), ({"scene_id": "x"}, "not in the scenes")],
)
def test_what_cannot_be_scored_is_told(changes, message):
    with pytest.raises(SpatialDataError, match=message):
        groups_of(asked(**changes))[0]


def test_a_scene_with_too_few_frames_is_told():
    with pytest.raises(SpatialDataError, match=r"3 of its frames are valid, 9 are asked for"):
        groups_of(num_frames=9)[0].read_frames()


def test_a_dataset_without_questions_is_told():
    options = BenchmarkOptions(num_rooms=2, questions_per_room=0)
    with pytest.raises(SpatialDataError, match="has no questions"):
        SCANQA.groups(options, SceneTableCache())
