"""What the page says of a model follows the model: what can be asked, what supervised it, what it does not know."""

import re

import numpy as np
import pytest
from example_rooms import EXAMPLES, example_rooms
from model_run import GROUNDING_QUESTION, PAPER_OF_SUPERVISION, PAPER_OF_WRITTEN_TASKS, Training, Usage
from scene_conversation import Conversation
from scene_questions import ask_distance, ask_place
from scene_words import (
    DESCRIBE,
    DISTANCE,
    PLACE,
    QUESTION,
    hint_of,
    ideas_of,
    notice_of,
    tasks_of,
    title_of,
    truth_of,
)
from words_model import WordsModel, clicked, page_of, scene_of, sent, texts


LARGE, TOY = Training(parameters=7_000_000_000), Training(parameters=700_000)
ROOMS = {"name": "rooms", "task": "questions", "dataset": {"kind": "synthetic_rooms", "name": None, "on_hub": False}}
CROSS_ENTROPY, DEPTH = (
    {"name": "cross-entropy of the answers", "weight": 1},
    {"name": "depth, by a verifier", "weight": 1},
)
WHERE = ("Where is the {object}?",)
ROOM_1 = example_rooms()[0]


@pytest.mark.parametrize(
    ("usage", "training", "tasks"),
    [
        (Usage(), LARGE, [QUESTION, DESCRIBE]),
        (Usage(), TOY, [QUESTION]),
        (Usage(where_questions=WHERE), TOY, [QUESTION, PLACE]),
        (Usage(tasks=("depth", "questions"), where_questions=WHERE), LARGE, [QUESTION, DISTANCE, PLACE, DESCRIBE]),
        (Usage(tasks=("depth",), where_questions=WHERE), LARGE, [DISTANCE]),
        (Usage(tasks=("pose",)), LARGE, [QUESTION]),
    ],
)
def test_only_what_a_model_has_learned_is_offered(usage, training, tasks):
    assert tasks_of(usage, training) == tasks


def test_a_base_that_can_locate_is_asked_in_its_makers_words():
    assert Usage.read({}, "qwen3_vl").where_questions == (GROUNDING_QUESTION,)
    assert Usage.read({}, "llava_onevision").where_questions == ()
    assert Usage.read({"where_questions": list(WHERE)}, "qwen3_vl").where_questions == WHERE


@pytest.mark.parametrize(
    ("run", "supervised", "papers"),
    [
        ({}, None, ()),
        ({"losses": [CROSS_ENTROPY]}, False, ()),
        ({"losses": [CROSS_ENTROPY, DEPTH]}, True, (PAPER_OF_SUPERVISION,)),
        ({"losses": [CROSS_ENTROPY], "earlier": [{"losses": [CROSS_ENTROPY, DEPTH]}]}, True, (PAPER_OF_SUPERVISION,)),
        ({"losses": [CROSS_ENTROPY], "usage": {"tasks": ["depth"]}}, False, (PAPER_OF_WRITTEN_TASKS,)),
    ],
)
def test_geometry_is_claimed_only_where_it_supervised(run, supervised, papers):
    training = Training.read(run, 10**9)
    assert training.supervised is supervised
    assert training.papers == papers
    notice = notice_of(Usage(), training)
    assert ("3D geometry supervised its training only" in notice) == (supervised is True)
    assert ("no 3D geometry supervised" in notice) == (supervised is False)


def test_a_toy_and_rendered_rooms_are_called_so():
    notice = notice_of(Usage(), Training.read({"data": [ROOMS]}, 700_000))
    assert "a toy of 0.7 million parameters" in notice
    assert "rendered rooms" in notice
    assert "has never seen a photograph" in notice
    large = notice_of(Usage(), Training.read({"data": [ROOMS]}, 10**9))
    assert "never seen a photograph" not in large, "its base has"
    assert "igep trained it on rendered rooms alone" in large
    own = ROOMS | {"dataset": {"kind": "scannet", "name": "scans", "on_hub": False}}
    assert "rendered" not in notice_of(Usage(), Training.read({"data": [ROOMS, own]}, 10**9))
    assert "toy" not in notice_of(Usage(), Training.read({"data": [ROOMS], "earlier": [{"data": [own]}]}, 10**9))
    assert "(correspondence, pose) cannot be asked here" in notice_of(Usage(tasks=("pose", "correspondence")), LARGE)


def test_the_head_of_the_page_links_to_model_papers_and_code(tmp_path):
    training = Training(papers=(PAPER_OF_SUPERVISION,))
    title = title_of("user/rooms", Usage(), training)
    for link in (
        "[user/rooms](https://huggingface.co/user/rooms)",
        "arxiv.org/abs/2604.03296",
        "github.com/igep/igep",
    ):
        assert link in title
    assert "answers to your questions out" in title
    assert "distances, places and sizes" in title_of("user/rooms", Usage(tasks=("questions", "depth")), training)
    local = title_of(str(tmp_path), Usage(tasks=("depth",)), training)
    assert f"`{tmp_path.name}`" in local
    assert str(tmp_path.parent) not in local
    assert "the distance of any of its points" in local


def test_suggestions_are_about_the_things_of_the_example():
    assert "box in purple" in hint_of(PLACE, ROOM_1)
    assert "in purple" not in hint_of(PLACE, None)
    assert ideas_of(PLACE, ROOM_1, Usage()) == ROOM_1.objects
    assert ideas_of(PLACE, None, Usage()) == ideas_of(DISTANCE, ROOM_1, Usage()) == []
    assert ideas_of(QUESTION, ROOM_1, Usage())[0] == ROOM_1.questions[0]
    assert ideas_of(QUESTION, None, Usage(examples=("a?",))) == ["a?"]
    assert ideas_of(QUESTION, ROOM_1, Usage(tasks=("pose",))) == []


def test_the_truth_stands_beside_the_answer_to_a_suggestion():
    page, talk = page_of(WordsModel()), Conversation()
    scene = scene_of()
    scene.source, scene.frame_numbers, scene.video_size = (str(EXAMPLES / "room_1.mp4"), 2), (0, 71), (384, 384)
    key = page.sessions.add(scene)
    list(sent(page, key, talk, "How many metres away is the sphere in red?"))
    list(sent(page, key, talk, "sphere in red", PLACE))
    list(sent(page, key, talk, "How are you?"))
    list(sent(page, key, talk, "192, 250", DISTANCE))
    list(clicked(page, key, talk, (120, 120)))
    answers = texts(talk)[1::2]
    assert answers[0] == "It is red. (truth: 4.5)"
    assert answers[1].endswith("(truth: 0.1 m to the left, 1.5 m up, 4.4 m ahead)")
    assert answers[2] == "It is red."
    assert all(re.fullmatch(r"2.00 m from the camera. \(truth: \d.\d\d m\)", answer) for answer in answers[3:])
    assert truth_of(QUESTION, "How many metres away is the sphere in red?", None, 0) == ""
    scene.source = ("uploads/room_1.mp4", 2)
    list(sent(page, key, talk, "How many metres away is the sphere in red?"))
    assert texts(talk)[-1] == "It is red.", "another file of the same name"


def test_a_model_of_distances_is_asked_nothing_else():
    class PointsModel(WordsModel):
        usage = Usage(tasks=("depth",))

    page, talk = page_of(PointsModel()), Conversation()
    assert page.view.tasks.visible is False
    list(sent(page, page.sessions.add(scene_of()), talk, "How are you?", DISTANCE))
    assert texts(talk)[1].startswith("⚠ Click a point, or type x, y")


def test_a_model_without_distances_does_not_ask_for_a_click():
    class QuestionsModel(WordsModel):
        usage = Usage(num_frames=2)

    page, talk = page_of(QuestionsModel()), Conversation()
    assert page.view.frame_label(1) == "Frame 2"
    assert page.view.tasks.choices == [(QUESTION, QUESTION), (DESCRIBE, DESCRIBE)]
    assert "click" not in page.view.invitation
    list(sent(page, page.sessions.add(scene_of()), talk, "which?", QUESTION))
    assert texts(talk)[1] == "It is red."


@pytest.mark.parametrize(("kind", "words"), [("euclidean", "from the camera"), ("z", "along the camera's axis")])
def test_a_distance_is_read_as_the_model_was_taught_it(kind, words):
    run = {"tasks": ["questions", "depth"], "task_options": {"depth": {"distance_kind": kind}}}
    model, camera = (
        WordsModel(('[{"bbox_2d": [800, 700, 1000, 1000]}]',)),
        {"field_of_view_degrees": 90.0, "focal_pixels": None, "max_new_tokens": 8},
    )
    model.usage = Usage.read(run, "qwen3_vl")
    *_, told = ask_distance(model, scene_of(), 0, (3.0, 3.0), **camera)
    assert told.text == f"2.00 m {words}."
    *_, found = ask_place(model, scene_of(), "box", **camera)
    centre = np.array(found.place.centre_metres)
    assert (np.linalg.norm(centre) if kind == "euclidean" else centre[2]) == pytest.approx(2.0)
