"""Whose turn it is: order, limits for all and for each client, and places that are given up."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import gradio as gr
import pytest
from scene_api import SceneApi
from scene_conversation import Conversation
from scene_model import Report
from scene_questions import Outcome, RequestError
from scene_turns import TOO_MANY, Turns, client_of, in_turn
from waiting import LIMIT_SECONDS, wait_until
from words_model import WordsModel, page_of, scene_of, sent, texts


NOW = 0.0


def test_turns_come_in_the_order_of_the_tickets():
    turns = Turns(2)
    with ExitStack() as first, ExitStack() as rest:
        tickets = [first.enter_context(turns.ticket("a"))]
        tickets += [rest.enter_context(turns.ticket(client)) for client in "bcd"]
        assert [turns.wait(ticket, NOW) for ticket in tickets] == [True, True, False, False]
        first.close()
        assert [turns.wait(ticket, NOW) for ticket in tickets[1:]] == [True, True, False]


def test_too_many_are_refused_and_leave_no_trace():
    turns = Turns(1, waiting=2, per_client=2)
    with turns.ticket("a"), turns.ticket("a"):
        with pytest.raises(RequestError, match="You have 2 requests under way"), turns.ticket("a"):
            pass
        with turns.ticket("b"), pytest.raises(RequestError, match=TOO_MANY), turns.ticket("c"):
            pass
    with turns.ticket("a") as ticket:
        assert turns.wait(ticket, NOW)


def test_a_waiting_request_is_woken_when_its_turn_comes():
    turns, order = Turns(1), []
    with ThreadPoolExecutor(1) as pool:
        with turns.ticket("a"):
            waiting = pool.submit(lambda: order.extend(outcome.text for outcome in in_turn(turns, "b", words())))
            wait_until(lambda: len(turns._tickets) == 2, "the second request waits")
            order.append("first")
        waiting.result(LIMIT_SECONDS)
    assert order.index("first") < order.index("whole")


def words() -> Iterator[Outcome]:
    yield Outcome("", [])
    yield Outcome("whole", [])


def test_an_abandoned_request_leaves_the_queue(monkeypatch):
    monkeypatch.setattr("scene_turns.BEAT_SECONDS", NOW)
    turns = Turns(1)
    with turns.ticket("a"):
        answer = in_turn(turns, "b", words())
        next(answer)
        assert len(turns._tickets) == 2
        answer.close()
        assert len(turns._tickets) == 1


def test_a_visitor_who_leaves_before_a_video_is_read_gives_up_the_place_and_the_reading(monkeypatch):
    monkeypatch.setattr("scene_turns.BEAT_SECONDS", NOW)
    monkeypatch.setattr("work_in_beats.BEAT_SECONDS", NOW)
    ended = threading.Event()

    def open_slowly(path: str, num_frames: int, folder: str, left: threading.Event) -> tuple:
        assert left.wait(LIMIT_SECONDS)
        ended.set()
        return scene_of(), "about"

    monkeypatch.setattr("scene_page.open_scene", open_slowly)
    page = page_of(WordsModel())
    page.reading = Turns(1)
    with page.reading.ticket("another"):
        waiting = page.load("video.mp4", None, 2, None, Conversation())
        assert next(waiting) == gr.skip()
        assert len(page.reading._tickets) == 2
        waiting.close()
        assert len(page.reading._tickets) == 1
    being_read = page.load("video.mp4", None, 2, None, Conversation())
    assert next(being_read) == gr.skip()
    being_read.close()
    assert ended.wait(LIMIT_SECONDS)
    assert page.reading._tickets == []


def test_what_is_refused_does_not_wait():
    def refused() -> Iterator[Outcome]:
        raise RequestError("no")
        yield

    turns = Turns(1)
    with turns.ticket("a"), pytest.raises(RequestError, match="no"):
        list(in_turn(turns, "b", refused()))


def test_clients_are_told_apart_by_address(monkeypatch):
    request = SimpleNamespace(
        client=SimpleNamespace(host="10.0.0.1"), headers={"x-forwarded-for": "1.2.3.4, 10.0.0.9"}
    )
    assert client_of(request) == "10.0.0.1", "a header that anybody may send"
    monkeypatch.setenv("SPACE_ID", "user/rooms-space")
    assert client_of(request) == "1.2.3.4"
    assert client_of(None) == ""


def test_stop_frees_the_place_of_a_model_that_writes_nothing_more():
    class SilentModel(WordsModel):
        def answer(self, *_: object, **__: object) -> Iterator[Report]:
            yield Report(text="It")
            while True:
                yield Report(text="It")  # as at every beat

    page, talk, other = page_of(SilentModel()), Conversation(), Conversation()
    key = page.sessions.add(scene_of())
    stuck, waiting = sent(page, key, talk, "a"), sent(page, key, other, "b")
    next(stuck), next(stuck)
    next(waiting)
    assert len(page.answering._tickets) == 2
    page.stop(talk)
    list(stuck)
    assert len(page.answering._tickets) == 1
    next(waiting), next(waiting)
    assert texts(other)[1] == "It"


def test_a_video_is_read_while_another_is_asked_about(monkeypatch):
    """Six large clips to be decoded do not hold up an answer: they have a queue of their own."""
    read = []

    def open_slowly(*_: object) -> tuple:
        read.append(threading.current_thread())
        assert go_on.wait(LIMIT_SECONDS)
        return scene_of(), "about"

    go_on = threading.Event()
    monkeypatch.setattr("scene_api.open_scene", open_slowly)
    answering, reading = Turns(1), Turns(2, per_client=6)
    api = SceneApi(WordsModel(), "uploads", answering, reading)
    page = page_of(WordsModel())
    page.answering, talk = answering, Conversation()
    with ThreadPoolExecutor(6) as pool, ExitStack() as at_the_end:
        at_the_end.callback(go_on.set)
        asked = [pool.submit(lambda: [*api.ask("video.mp4", "a?", 2, 8)][-1]) for _ in range(6)]
        wait_until(lambda: len(read) == 2 and len(reading._tickets) == 6, "two are read, four wait")
        list(sent(page, page.sessions.add(scene_of()), talk, "b"))
        assert texts(talk)[1] == "It is red."
        with pytest.raises(gr.Error, match="You have 6 requests under way"):
            next(api.ask("video.mp4", "a?", 2, 8))
        go_on.set()
        assert {found.result(LIMIT_SECONDS)["answer"] for found in asked} == {"It is red."}
    assert reading._tickets == answering._tickets == []
