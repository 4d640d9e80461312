"""The Space's page while answers are being written: by a model that is held so that a test decides when it goes on."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from space_server import SPACE, SpaceServer
from space_visitors import EMPTY
from waiting import wait_until


pytest_plugins = ["space_model", "space_visitors"]
pytestmark = pytest.mark.slow

QUESTION = "How many metres away is the box in red?"
# The Space with a model that writes as many tokens of an answer as the test allows, and notes where it begins, waits
# and ends. Two requests may wait for their turn.
HELD_SPACE = """
import os, runpy, sys, time, transformers
from pathlib import Path
os.environ["QUEUE_SIZE"] = "2"
app, allowed, notes = map(Path, sys.argv[1:])
class HeldStreamer(transformers.TextIteratorStreamer):
    tokens = -1  # what is put first is the prompt
    def note(self, what):
        with notes.open("a") as file:
            file.write(what + "\\n")
    def put(self, value):
        if self.tokens < 0:
            self.note("begins")
        if self.tokens == int(allowed.read_text()):
            self.note("waits")
        while self.tokens >= int(allowed.read_text()):
            time.sleep(0.01)
        self.tokens += 1
        super().put(value)
    def end(self):
        super().end()
        self.note("ends")
transformers.TextIteratorStreamer = HeldStreamer
sys.path.insert(0, str(app.parent))
runpy.run_path(str(app), run_name="__main__")
"""
FIRST_WORDS, WHOLE = 8, 1000


class HeldServer(SpaceServer):
    """The Space with a model that waits for the test, and answers that never end by themselves.

    Args:
        model (`Path`): Folder of the model.
        folder (`Path`): Where its uploads, its log and its notes go.
    """

    def __init__(self, model: Path, folder: Path):
        self.allowed, self.notes = folder / "allowed", folder / "notes"
        self.notes.touch()
        self.allow(FIRST_WORDS)
        super().__init__(model, folder, ["-c", HELD_SPACE, *map(str, (SPACE / "app.py", self.allowed, self.notes))])

    def allow(self, tokens: int) -> None:
        """How many tokens of each answer are written, also of one that waits."""
        part = self.allowed.with_suffix(".part")
        part.write_text(str(tokens))
        part.rename(self.allowed)  # at once: never half written when it is read

    def noted(self, what: str) -> int:
        """How many answers began (`begins`) or are at their end (`ends`), and how often one had to wait (`waits`)."""
        return self.notes.read_text().split().count(what)

    @contextmanager
    def followed_by(self, what: str) -> Iterator[None]:
        """At the end of the block, waits until one answer more waits or ends."""
        before = self.noted(what)
        yield
        wait_until(lambda: self.noted(what) > before, f"an answer {what}")


@pytest.fixture(scope="module")
def started_held_server(space_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldServer]:
    """A model that was trained on room questions only, held."""
    folder = tmp_path_factory.mktemp("held_space")
    shutil.copytree(space_model, folder / "model")
    for name, changes in (("generation_config.json", {"eos_token_id": None}), ("training_run.json", {})):
        file = folder / "model" / name
        fields = json.loads(file.read_text()) | changes
        if name == "training_run.json":
            fields["usage"]["tasks"] = ["questions"]
        file.write_text(json.dumps(fields))
    with HeldServer(folder / "model", folder) as server:
        yield server


@pytest.fixture
def held_server(started_held_server: HeldServer) -> Iterator[HeldServer]:
    """The same server for each test, with no answer left from the one before."""
    started_held_server.allow(FIRST_WORDS)
    yield started_held_server
    started_held_server.allow(WHOLE)
    wait_until(lambda: started_held_server.noted("ends") == started_held_server.noted("begins"), "all answers end")


def test_stop_ends_an_answer(visitors, held_server):
    visitor = visitors(held_server)
    visitor.pick_example(0)
    visitor.ask(QUESTION)
    expect(visitor.answers).to_have_text(re.compile(r"\w"))
    visitor.page.locator("#stop").click()
    expect(visitor.answers).to_have_text(re.compile(r"\w.* … \(stopped\)$", re.DOTALL))
    stopped = visitor.answers.inner_text()
    held_server.allow(2 * FIRST_WORDS)  # its next words are written, and unwanted
    expect(visitor.at_work).to_have_count(0)
    # Only one answer is written at once: were the first not ended, this one would wait for it.
    other = visitors(held_server)
    other.pick_example(1)
    with held_server.followed_by("waits"):
        other.ask("How many spheres are there?")
    expect(other.answers).to_have_text(re.compile(r"\w"))
    visitor.ask("How many boxes are there?")
    other.page.locator("#stop").click()
    expect(other.answers).to_have_text(re.compile(r"\(stopped\)$"))
    held_server.allow(3 * FIRST_WORDS)
    expect(visitor.answers.nth(1)).to_have_text(re.compile(r"\w"))
    assert visitor.answers.nth(0).inner_text() == stopped
    visitor.page.locator("#stop").click()


@pytest.mark.parametrize("words", [0, FIRST_WORDS], ids=["before its first word", "within its words"])
@pytest.mark.parametrize("change", ["another video", "no video", "another number of frames", "chat cleared"])
def test_an_answer_does_not_come_back(visitors, held_server, change, words):
    held_server.allow(words)
    visitor = visitors(held_server)
    visitor.pick_example(0)
    with held_server.followed_by("waits"):
        visitor.ask(QUESTION)
    if words:
        expect(visitor.answers).to_have_text(re.compile(r"\w"))
    if change == "another video":
        visitor.page.locator("#examples button").nth(1).click()
        expect(visitor.page.get_by_label("Example video 2")).to_be_visible()
    elif change == "no video":
        visitor.page.locator("#video button[aria-label=Clear]").last.click()
        expect(visitor.status).to_have_text(EMPTY)
    elif change == "another number of frames":
        visitor.set_number("Frames that the model sees", "3")
        expect(visitor.status).to_contain_text("3 of 72 frames")
    else:
        visitor.page.locator("#chat button[aria-label=Clear]").click()
    expect(visitor.answers).to_have_count(0)
    with held_server.followed_by("ends"):
        held_server.allow(WHOLE)  # its next word is written, and unwanted
    expect(visitor.at_work).to_have_count(0)
    expect(visitor.answers).to_have_count(0)
    assert visitor.figures.input_value() == ""
    visitor.ask("How many boxes are there?")
    expect(visitor.answers).to_have_text(re.compile("^⚠ There is no video" if change == "no video" else r"\w"))
    expect(visitor.asked).to_have_text("How many boxes are there?")


def test_requests_during_an_answer_leave_it_whole(visitors, held_server):
    visitor = visitors(held_server)
    visitor.pick_example(0)
    visitor.set_number("Longest answer in tokens", "24")
    visitor.page.locator("#settings button").first.click()
    visitor.ask(QUESTION)
    expect(visitor.answers).to_have_text(re.compile(r"\w"))
    visitor.page.locator("#settings button").first.click()
    visitor.question.fill("How many boxes are there?")
    visitor.question.press("Enter")  # refused: one question at a time, and this one stays in its box
    visitor.press(visitor.frame, 0.5, 0.5)  # waits for its turn
    expect(visitor.asked).to_have_text([QUESTION, re.compile("^How far is pixel")])
    expect(visitor.answers.nth(1)).to_have_text("…")
    held_server.allow(WHOLE)
    expect(visitor.answers.nth(1)).to_have_text(re.compile("^⚠ This model was not trained"))
    expect(visitor.question).to_have_value("How many boxes are there?")
    expect(visitor.figures).to_have_value(re.compile("24 answer tokens"))
    whole = visitor.answers.nth(0).inner_text()
    visitor.ask(QUESTION)
    expect(visitor.asked).to_have_count(3)
    expect(visitor.answers.nth(2)).to_have_text(whole)
    assert whole == visitor.answers.nth(0).inner_text()


def test_a_question_for_which_there_is_no_room_is_turned_away(visitors, held_server):
    windows = [visitors(held_server) for _ in range(4)]
    for window in windows:
        window.pick_example(0)
    for number, window in enumerate(windows):
        with window.page.expect_response("**/queue/join*"):
            window.ask(QUESTION)
        expect(window.answers).to_have_text(re.compile((r"\w", "…", "…", "^⚠ Too many visitors")[number]))
    expect(windows[3].question).to_have_value(QUESTION)
    held_server.allow(WHOLE)
    for window in windows[:3]:
        expect(window.answers).to_have_text(re.compile(r"\w"))
    windows[3].ask(QUESTION)
    expect(windows[3].answers.nth(1)).to_have_text(re.compile(r"\w"))
    windows[3].errors.clear()  # what the browser itself says of the refusal


def test_what_the_model_was_not_trained_on_is_said(visitors, held_server):
    visitor = visitors(held_server)
    visitor.pick_example(0)
    visitor.press(visitor.frame, 0.5, 0.5)
    expect(visitor.answers).to_have_text(re.compile("^⚠ This model was not trained on how far a pixel is"))
