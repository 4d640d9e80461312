"""The Space's page without a browser or model: one that answers with words a test gives it, and visitors' requests."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
from model_run import GROUNDING_QUESTION, Training, Usage
from PIL import Image
from scene_conversation import Conversation
from scene_model import Report, Scene
from scene_page import ScenePage
from scene_sessions import SceneSessions
from scene_turns import Turns
from scene_words import QUESTION


class WordsModel:
    """Answers every question with the same pieces of text, and every point with 2 metres.

    Args:
        pieces (`tuple[str, ...]`): How the answer grows.
        begin (`Callable`): Called before the first piece, of distances too.
    """

    model_id = "user/words"
    usage = Usage(tasks=("questions", "depth"), num_frames=2, where_questions=(GROUNDING_QUESTION,))
    training = Training()
    reconstructs = False
    calibrator = None
    processor = SimpleNamespace(parse_depth_answer=lambda text: float(text) if text else None)

    def __init__(self, pieces: tuple[str, ...] = ("It is", "It is red."), begin: Callable = lambda: None):
        self.pieces = pieces
        self.begin = begin

    def answer(self, scene: Scene, question: str, **_: object) -> Iterator[Report]:
        self.begin()
        for text in self.pieces:
            yield Report(prompt=question, text=text)

    def distance(self, frame: Image.Image, pixel: tuple, intrinsics: np.ndarray, **_: object) -> Iterator[Report]:
        self.begin()
        yield Report(prompt=f"{pixel}", text="2")


def scene_of(size: tuple[int, int] = (64, 48), video_size: tuple[int, int] | None = None) -> Scene:
    return Scene([Image.new("RGB", size, (90, 90, 90)) for _ in range(2)], video_size=video_size)


def page_of(model: WordsModel) -> ScenePage:
    page = ScenePage(model, SceneSessions(4, 60), "uploads", Turns(1), Turns(4))
    page.build()
    return page


def sent(page: ScenePage, key: str | None, talk: Conversation, text: str, task: str = QUESTION) -> Iterator[dict]:
    page.send(key, talk, 0, text, task, False, 8, 60.0, None, False)
    return page.answer(talk)


def clicked(
    page: ScenePage, key: str | None, talk: Conversation, at: tuple[int, int], frame: int = 0
) -> Iterator[dict]:
    page.click(key, talk, frame, 8, 60.0, None, False, SimpleNamespace(index=at))
    return page.answer(talk)


def texts(talk: Conversation) -> list[str]:
    return [message["content"] for message in talk.shown()]
