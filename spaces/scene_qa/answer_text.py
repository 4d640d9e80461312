"""What a model wrote, as a visitor reads it: thoughts apart from its answer, and no tags, also while it is written."""

from dataclasses import dataclass

from answer_stream import TAGS


@dataclass(frozen=True)
class Said:
    """An answer as it grows.

    Args:
        thought (`str`): What stands in `<think>`.
        answer (`str`): What stands in `<answer>`, or all the rest where there is no such tag.
    """

    thought: str
    answer: str

    def shown(self) -> str:
        """What the chat shows while more may come."""
        return self.answer or (f"(Thinking: {self.thought})" if self.thought else "")

    def whole(self) -> str:
        """What the chat shows at the end."""
        if not self.answer and self.thought:
            return f"(The model thought, and gave no answer: {self.thought})"
        return self.answer or "(The model gave an empty answer.)"


def said(text: str, *, is_whole: bool) -> Said:
    """Reads what a model wrote.

    Args:
        text (`str`): All of it so far.
        is_whole (`bool`): Nothing more comes: what looks like the beginning of a tag is none.

    Returns:
        `Said`
    """
    if not is_whole:
        text = text[: len(text) - _begun_tag(text)]
    thought, closing, rest = text.rpartition("</think>")
    if not closing and "<think>" in text:
        rest, _, thought = text.partition("<think>")
    if "<answer>" in rest:
        rest = rest.rpartition("<answer>")[2].partition("</answer>")[0]
    return Said(_without_tags(thought), _without_tags(rest))


def _begun_tag(text: str) -> int:
    """Length of what may become a tag, at the end."""
    lengths = (length for tag in TAGS for length in range(1, len(tag)) if text.endswith(tag[:length]))
    return max(lengths, default=0)


def _without_tags(text: str) -> str:
    for tag in TAGS:
        text = text.replace(tag, " ")
    return text.strip()
