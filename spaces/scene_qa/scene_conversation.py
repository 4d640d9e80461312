"""What a visitor and the model have said, as the chat shows it, and what has been asked and waits for its turn.

It is kept on the server: a request that has waited carries the chat as it was when it was sent.
"""

import html
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from scene_model import Scene
from scene_questions import Outcome


WAITING = "…"
MOST_OPEN = 8  # answers that one visitor can have coming


@dataclass(eq=False)
class Asked:
    """A request of the page.

    Args:
        text (`str`): The question as the chat shows it.
        scene (`Scene`, *optional*): What it is about; without one it is refused.
        outcomes (`Iterator[Outcome]`, *optional*): Its answer as it grows. Nothing is done before the first is taken.
        frame_number (`int`): The frame that is shown with it, from 0.
        accepted (`dict`): What else of the page changes once it is accepted.
        typed (`bool`): Whether it was typed: of those, one is answered at a time.
        truth (`str`, *optional*): The true answer, where it is known.
    """

    text: str
    scene: Scene | None
    outcomes: Iterator[Outcome] | None
    frame_number: int
    accepted: dict
    typed: bool
    truth: str = ""
    answer: dict = field(init=False)

    def __post_init__(self):
        self.answer = _message("assistant", WAITING)


class Conversation:
    """Questions, each with its answer, which is open until it is whole, stopped, or not wanted any more."""

    def __init__(self):
        self._messages: list[dict] = []
        self._open: list[Asked] = []
        self._waiting: deque[Asked] = deque()

    def add(self, asked: Asked) -> bool:
        """Adds a question, whose answer waits for its turn.

        Args:
            asked (`Asked`): What was asked.

        Returns:
            `bool`: `False` where it is refused: it was typed, and what was typed before has no whole answer yet; or
            too many wait already.
        """
        if len(self._open) >= MOST_OPEN or (asked.typed and any(other.typed for other in self._open)):
            return False
        self._messages += [_message("user", asked.text), asked.answer]
        self._open.append(asked)
        self._waiting.append(asked)
        return True

    def next(self) -> Asked | None:
        """Takes the question whose turn it is; `None` where those that waited are not wanted any more."""
        return self._waiting.popleft() if self._waiting else None

    def write(self, asked: Asked, text: str) -> bool:
        """Writes what there is of an answer.

        Args:
            asked (`Asked`): From `next`.
            text (`str`): All of it so far.

        Returns:
            `bool`: Whether it is still wanted: `False` after `stop` and `clear`.
        """
        wanted = asked in self._open
        if wanted:
            asked.answer["content"] = _message("assistant", text.strip() or WAITING)["content"]
        return wanted

    def end(self, asked: Asked) -> bool:
        """The answer is whole; returns whether it was still wanted."""
        wanted = asked in self._open
        if wanted:
            self._open.remove(asked)
        return wanted

    def stop(self) -> None:
        """Ends all open answers, and says so in them."""
        for asked in self._open:
            answer = asked.answer
            answer["content"] = "(Stopped.)" if answer["content"] == WAITING else f"{answer['content']} … (stopped)"
        self._open = []
        self._waiting.clear()

    def clear(self) -> None:
        """Forgets everything; what is still being answered is not wanted any more."""
        self._messages, self._open = [], []
        self._waiting.clear()

    def shown(self) -> list[dict]:
        """Returns copies of the messages, for the chat."""
        return [dict(message) for message in self._messages]


def _message(role: str, text: str) -> dict:
    """Questions and answers are text: without Markdown too, Gradio would take them for HTML."""
    return {"role": role, "content": html.escape(text, quote=False)}
