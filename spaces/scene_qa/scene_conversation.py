"""What a visitor and the model have said, as the chat shows it.

It is kept on the server: a request that has waited carries the chat as it was when it was sent.
"""

import html


WAITING = "…"


class Conversation:
    """Questions, each with its answer, which is open until it is whole, stopped, or not wanted any more."""

    def __init__(self):
        self._messages: list[dict] = []
        self._open: list[dict] = []

    def begin(self, asked: str) -> dict:
        """Adds a question.

        Args:
            asked (`str`): What was asked.

        Returns:
            `dict`: Its answer, to be written.
        """
        answer = _message("assistant", WAITING)
        self._messages += [_message("user", asked), answer]
        self._open.append(answer)
        return answer

    def write(self, answer: dict, text: str) -> bool:
        """Writes what there is of an answer.

        Args:
            answer (`dict`): From `begin`.
            text (`str`): All of it so far.

        Returns:
            `bool`: Whether it is still wanted: `False` after `stop` and `clear`.
        """
        wanted = any(answer is other for other in self._open)
        if wanted:
            answer["content"] = _message("assistant", text or WAITING)["content"]
        return wanted

    def end(self, answer: dict) -> bool:
        """The answer is whole; returns whether it was still wanted."""
        wanted = len(self._open)
        self._open = [other for other in self._open if other is not answer]
        return len(self._open) < wanted

    def stop(self) -> None:
        """Ends all open answers, and says so in them."""
        for answer in self._open:
            answer["content"] = "(Stopped.)" if answer["content"] == WAITING else f"{answer['content']} … (stopped)"
        self._open = []

    def clear(self) -> None:
        """Forgets everything; what is still being answered is not wanted any more."""
        self._messages, self._open = [], []

    def shown(self) -> list[dict]:
        """Returns copies of the messages, for the chat."""
        return [dict(message) for message in self._messages]


def _message(role: str, text: str) -> dict:
    """Questions and answers are text: without Markdown too, Gradio would take them for HTML."""
    return {"role": role, "content": html.escape(text, quote=False)}
