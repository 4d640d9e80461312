"""The Space's page without a browser: what comes of requests that fail, are stopped, or meet another video."""

from collections.abc import Iterator

import gradio as gr
import numpy as np
import pytest
from answer_places import Place
from scene_api import SceneApi
from scene_conversation import Conversation
from scene_layout import bounded
from scene_model import ModelError, Report
from scene_questions import Outcome, RequestError, ask, ask_distance, ask_place, checked_intrinsics
from scene_turns import Turns
from scene_words import DESCRIBE, DISTANCE, PLACE, QUESTION
from space_server import SPACE
from words_model import WordsModel, clicked, page_of, scene_of, sent, texts


CAMERA = {"field_of_view_degrees": 60.0, "focal_pixels": None, "max_new_tokens": 8}


def fail() -> None:
    raise RuntimeError("CUDA out of memory in /home/me/model.py")


# ---- What goes wrong


@pytest.mark.parametrize("task", [QUESTION, PLACE, DESCRIBE])
def test_an_error_ends_the_answer_and_is_logged(caplog, task):
    page, talk = page_of(WordsModel(begin=fail)), Conversation()
    *_, shown = sent(page, page.sessions.add(scene_of()), talk, "chair", task)
    assert shown == {page.view.chat: talk.shown()}, "nothing else changes"
    assert texts(talk)[1] == "⚠ Something went wrong here. Ask again, or pick another video."
    assert "CUDA out of memory" in caplog.text


def test_what_zerogpu_says_reaches_the_visitor():
    def refuse() -> None:
        raise gr.Error("You have exceeded your GPU quota.")

    page, talk = page_of(WordsModel(begin=refuse)), Conversation()
    list(sent(page, page.sessions.add(scene_of()), talk, "chair"))
    assert texts(talk)[1] == "⚠ You have exceeded your GPU quota."


def test_an_error_while_a_video_is_opened_is_said(monkeypatch, caplog):
    monkeypatch.setattr("scene_page.open_scene", lambda *_: fail())
    page = page_of(WordsModel())
    (changes,) = page.load("video.mp4", None, 2, None, Conversation())
    assert changes[page.view.status].startswith("⚠ Something went wrong here.")
    assert changes[page.session] is None
    assert "CUDA out of memory" in caplog.text


def test_what_a_model_cannot_do_is_a_message():
    def silent() -> None:
        raise ModelError("The model wrote nothing for 300 s.")

    with pytest.raises(RequestError, match="wrote nothing for 300 s"):
        list(ask(WordsModel(begin=silent), scene_of(), "how?", remember=False, max_new_tokens=8))


def test_a_box_is_drawn_where_its_distance_cannot_be_asked_for():
    """As when the image that depth is asked of is cut to a canvas that does not hold the middle of the box."""

    class CuttingModel(WordsModel):
        def distance(self, *_: object, **__: object) -> Iterator[Report]:
            raise ModelError("outside the canvas")

    *_, outcome = ask_place(CuttingModel(("[100, 100, 300, 300]",)), scene_of(), "chair", **CAMERA)
    assert outcome.place == Place((6.4, 4.8, 19.2, 14.4))
    assert outcome.picture is not None
    assert outcome.figure is None
    assert outcome.text.startswith("Marked on the first frame")


# ---- Answers that are not wanted any more


def test_stop_says_so_and_nothing_comes_after():
    page, talk = page_of(WordsModel()), Conversation()
    key = page.sessions.add(scene_of())
    writing, waiting = sent(page, key, talk, "a"), clicked(page, key, talk, (0, 0))
    next(writing), next(writing)
    next(waiting)
    stopped = ["a", "It is … (stopped)", "How far is pixel (0, 0) of frame 1?", "(Stopped.)"]
    assert [message["content"] for message in page.stop(talk)] == stopped
    assert list(waiting) == list(writing) == [{page.view.chat: talk.shown()}], "the chat as it is, nothing else"
    assert [message["content"] for message in page.stop(talk)] == texts(talk) == stopped


def test_what_was_stopped_or_cleared_before_its_turn_is_not_answered():
    def never() -> None:
        raise AssertionError("nobody wants this answer")

    page, talk = page_of(WordsModel(begin=never)), Conversation()
    key = page.sessions.add(scene_of())
    answer = sent(page, key, talk, "a")
    page.stop(talk)
    assert list(answer) == [{page.view.chat: talk.shown()}]
    assert texts(talk) == ["a", "(Stopped.)"]
    answer = sent(page, key, talk, "b")
    page.forget(key, talk, 0)
    assert list(answer) == [{page.view.chat: []}]


def test_one_typed_question_is_answered_at_a_time():
    page, talk = page_of(WordsModel()), Conversation()
    key = page.sessions.add(scene_of())
    answer = sent(page, key, talk, "a")
    next(answer)
    assert page.send(key, talk, 0, "b", QUESTION, False, 8, 60.0, None, False) == gr.skip()
    list(answer)
    list(sent(page, key, talk, "b"))
    assert texts(talk) == ["a", "It is red.", "b", "It is red."]


def test_no_visitor_has_more_than_eight_answers_coming():
    page, talk = page_of(WordsModel()), Conversation()
    key = page.sessions.add(scene_of())
    answers = [clicked(page, key, talk, (0, 0)) for _ in range(9)]
    assert len(texts(talk)) == 16
    for answer in answers:
        list(answer)
    assert texts(talk)[1::2] == ["2.00 m from the camera."] * 8
    list(clicked(page, key, talk, (0, 0)))
    assert len(texts(talk)) == 18


def test_a_question_that_the_queue_has_no_room_for_is_turned_away():
    page, talk = page_of(WordsModel()), Conversation()
    key = page.sessions.add(scene_of())
    sent(page, key, talk, "a")
    turned_away = page.turn_away(talk)
    assert [message["content"] for message in turned_away] == [
        "a",
        "⚠ Too many visitors are waiting for an answer: ask again in a while.",
    ]
    list(sent(page, key, talk, "b"))
    assert texts(talk)[2:] == ["b", "It is red."]


def test_a_model_is_told_at_once_that_an_answer_is_not_wanted():
    ended = []

    class EndingModel(WordsModel):
        def answer(self, *_: object, **__: object) -> Iterator[Report]:
            try:
                while True:
                    yield Report(prompt="", text="It is")
            finally:
                ended.append(True)

    page, talk = page_of(EndingModel()), Conversation()
    answer = sent(page, page.sessions.add(scene_of()), talk, "a")
    next(answer), next(answer)
    page.stop(talk)
    assert next(answer) == {page.view.chat: talk.shown()}
    assert ended == [True]


def test_a_whole_answer_is_not_stopped():
    page, talk = page_of(WordsModel()), Conversation()
    list(sent(page, page.sessions.add(scene_of()), talk, "a"))
    assert [message["content"] for message in page.stop(talk)] == ["a", "It is red."]


def test_another_video_and_a_cleared_chat_end_answers(monkeypatch):
    other = scene_of()
    monkeypatch.setattr("scene_page.open_scene", lambda *_: (other, "about"))
    page, talk = page_of(WordsModel()), Conversation()
    scene = scene_of()
    key = page.sessions.add(scene)
    answer = sent(page, key, talk, "a")
    next(answer)
    (changes,) = page.load("other.mp4", None, 2, key, talk)
    assert page.sessions.get(key) is None
    assert page.sessions.get(changes[page.session]) is other
    assert list(answer) == [{page.view.chat: []}]
    assert talk.shown() == []
    answer = sent(page, changes[page.session], talk, "b")
    next(answer), next(answer)
    other.turns = ["b", "It is"]
    cleared = page.forget(changes[page.session], talk, 0)
    assert list(answer) == [{page.view.chat: []}]
    assert talk.shown() == cleared[page.view.chat] == other.turns == []


def test_the_same_video_and_number_of_frames_change_nothing():
    page, talk = page_of(WordsModel()), Conversation()
    scene = scene_of()
    scene.source = ("video.mp4", 2)
    key = page.sessions.add(scene)
    list(sent(page, key, talk, "a"))
    assert list(page.load("video.mp4", None, 2, key, talk)) == [gr.skip()]
    assert page.sessions.get(key) is scene
    assert texts(talk) == ["a", "It is red."]


def test_a_picture_is_read_where_there_is_no_video(monkeypatch):
    monkeypatch.setattr("scene_page.open_scene", lambda path, *_: (scene_of(), f"about {path}"))
    page = page_of(WordsModel())
    (changes,) = page.load(None, "photo.png", 2, None, Conversation())
    assert changes[page.view.status] == "about photo.png"
    assert page.view.picture not in changes
    (changes,) = page.load("video.mp4", "photo.png", 2, None, Conversation())
    assert changes[page.view.status] == "about video.mp4"
    assert changes[page.view.picture] is None, "it does not come back when the video goes"


def test_the_field_of_view_of_examples_is_known():
    page = page_of(WordsModel())
    assert page.field_of_view(str(SPACE / "examples" / "room_1.mp4")) == (64, False)
    assert page.field_of_view("uploads/mine.mp4") == page.field_of_view(None) == (60, False)
    model = WordsModel()
    model.calibrator = lambda frame, unwanted: 47.0
    page = page_of(model)
    assert page.field_of_view(str(SPACE / "examples" / "room_1.mp4")) == (64, False), "known, and not to be estimated"
    assert page.field_of_view("uploads/mine.mp4") == (60, True)


def test_answers_at_once_are_both_shown():
    page, talk = page_of(WordsModel()), Conversation()
    key = page.sessions.add(scene_of())
    first, second = sent(page, key, talk, "a"), clicked(page, key, talk, (0, 0))
    next(first)
    next(second)
    *_, whole = first
    point = "How far is pixel (0, 0) of frame 1?"
    assert [message["content"] for message in whole[page.view.chat]] == ["a", "It is red.", point, "…"]
    list(second)
    assert texts(talk) == ["a", "It is red.", point, "2.00 m from the camera."]


# ---- Text and points


@pytest.mark.parametrize(
    ("text", "task", "asked", "box"),
    [
        ("which?", QUESTION, "which?", ""),
        ("which?", DISTANCE, "which?", ""),
        ("chair", PLACE, "Where is the chair?", ""),
        ("chair", DESCRIBE, "Describe the scene.", None),
        ("12, 30", DISTANCE, "How far is pixel (12, 30) of frame 1?", ""),
        (" (12 30.7) ", DISTANCE, "How far is pixel (12, 30) of frame 1?", ""),
        ("12, 30", QUESTION, "12, 30", ""),
    ],
)
def test_text_leaves_its_box_once_it_is_accepted(text, task, asked, box):
    page, talk = page_of(WordsModel()), Conversation()
    changes = list(sent(page, page.sessions.add(scene_of()), talk, text, task))
    assert texts(talk)[0] == asked
    assert changes[0].get(page.view.question) == box
    assert not any(page.view.question in later for later in changes[1:])
    assert changes[0].get(page.view.tasks) == (QUESTION if text == "which?" and task == DISTANCE else None)


@pytest.mark.parametrize(
    ("text", "task", "known"),
    [("which?", QUESTION, False), ("64, 0", DISTANCE, True), ("", DISTANCE, True), ("x" * 1001, PLACE, True)],
)
def test_text_that_is_refused_stays_in_its_box(text, task, known):
    page, talk = page_of(WordsModel()), Conversation()
    changes = list(sent(page, page.sessions.add(scene_of()) if known else None, talk, text, task))
    assert texts(talk)[1].startswith("⚠ ")
    assert not any(page.view.question in later for later in changes)


def test_pixels_are_those_of_the_video():
    """Frames are made smaller where a video is large, and enlarged where it is small; a visitor is told of neither."""
    page, talk = page_of(WordsModel()), Conversation()
    large = scene_of((1280, 720), (1920, 1080))
    key = page.sessions.add(large)
    list(sent(page, key, talk, "1919, 1079", DISTANCE))
    list(clicked(page, key, talk, (639, 359), frame=1))
    small = page.sessions.add(scene_of((64, 48)))
    list(clicked(page, small, talk, (511, 383)))
    points = ["pixel (1919, 1079) of frame 1", "pixel (959, 539) of frame 2", "pixel (63, 47) of frame 1"]
    assert texts(talk)[::2] == [f"How far is {point}?" for point in points]
    *_, outcome = ask_distance(page.model, large, 0, (1279.5, 719.5), **CAMERA)
    assert outcome.reports[0].prompt == "(1279.5, 719.5)"
    with pytest.raises(RequestError, match="outside the frame of 1920 x 1080 pixels"):
        list(ask_distance(page.model, large, 0, (1281, 0), **CAMERA))
    np.testing.assert_allclose(checked_intrinsics(large, 60, 1500)[0], (1000, 0, 640))


def test_boxes_of_the_endpoint_are_in_pixels_of_the_video(monkeypatch):
    monkeypatch.setattr("scene_api.open_scene", lambda *_: (scene_of((1280, 720), (1920, 1080)), "about"))
    api = SceneApi(WordsModel(("[100, 100, 500, 1000]",)), "uploads", Turns(1), Turns(1))
    *_, found = api.locate("video.mp4", "chair", 2, 60, None, 8)
    assert found["box"] == pytest.approx([192, 108, 960, 1080])
    assert np.linalg.norm(found["centre_metres"]) == pytest.approx(2)  # from the camera, as the model was taught


def test_the_point_is_marked_before_it_is_answered():
    first, *_ = ask_distance(WordsModel(), scene_of(), 1, (32, 24), **CAMERA)
    assert isinstance(first, Outcome)
    assert (first.text, first.frame_number) == ("", 1)
    assert (np.asarray(first.picture) == (255, 176, 0)).all(2).any()


def test_what_is_level_with_the_camera_is_not_said_to_be_above_it():
    model = WordsModel(("0.01 -0.02 3.5",))
    *_, outcome = ask_place(model, scene_of(), "chair", **CAMERA)
    assert outcome.text == "3.5 m ahead of the first camera."


@pytest.mark.parametrize(
    ("typed", "used"),
    [(2, 2), (100, 32), (0, 1), (-5, 1), (2.6, 3), (None, 8), (float("nan"), 8), (float("inf"), 32), ("2", 8)],
)
def test_what_is_typed_beside_a_slider_is_brought_to_its_steps(typed, used):
    slider = gr.Slider(1, 32, value=8, step=1)
    assert bounded(typed, slider) == used
