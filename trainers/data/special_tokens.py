"""Tokens that mean something to a model, found in texts meant as words: placeholders of media, marks of turns.

A placeholder in a question would be filled with frames that are not there, and a mark would end a turn in its middle.
Files of questions in LLaVA's form begin with one: there it says that the frames come first, as they do here.
"""

import re
from typing import NoReturn

from transformers import PreTrainedTokenizerBase

from igep.trainers.data.scenes.spatial_example import SpatialDataError


PLACEHOLDER = re.compile(r"<image>|<video>")
LEADING_PLACEHOLDERS = re.compile(r"(?:\s*(?:<image>|<video>))+\s*")
TRAILING_PLACEHOLDERS = re.compile(r"\s*(?:(?:<image>|<video>)\s*)+\Z")
CHAT_TOKEN = re.compile(r"<\|[^<>|\s]+\|>|</s>")  # of Qwen, Llama 3 and 2, and their kin
ANY_TOKEN = re.compile(f"{PLACEHOLDER.pattern}|{CHAT_TOKEN.pattern}")


def plain_question(where: str, text: str) -> str:
    """Understands the placeholders of a question that is asked about all frames of its row, as LLaVA's files write it.

    Args:
        where (`str`): Place of the question, for messages.
        text (`str`): The question.

    Returns:
        `str`: Without the placeholders before its first word and behind its last: the frames stand before it.

    Raises:
        SpatialDataError: A placeholder stands between words, nothing else is there, or the text holds a token of chat
            templates.
    """
    if not PLACEHOLDER.search(text):
        return plain_text(where, "question", text)
    words = TRAILING_PLACEHOLDERS.sub("", LEADING_PLACEHOLDERS.sub("", text, count=1) if _leads(text) else text)
    if not words.strip():
        raise SpatialDataError(f"{where}: the question is {text!r}, a placeholder alone. Write what is asked.")
    return plain_text(where, "question", words)


def plain_text(where: str, kind: str, text: str) -> str:
    """Makes sure that a text is words alone.

    Args:
        where (`str`): Place of the text, for messages.
        kind (`str`): What it is, such as `"answer"`.
        text (`str`): The text.

    Returns:
        `str`: The text.

    Raises:
        SpatialDataError: It holds a placeholder or a token of chat templates.
    """
    token = ANY_TOKEN.search(text)
    if token is not None:
        refuse_token(where, kind, text, token.group())
    return text


def refuse_token(where: str, kind: str, text: str, token: str) -> NoReturn:
    """Raises for a token that was found in a text.

    Args:
        where (`str`): Place of the text.
        kind (`str`): What it is.
        text (`str`): The text.
        token (`str`): What was found.

    Raises:
        SpatialDataError: Always.
    """
    what = "a placeholder of frames" if PLACEHOLDER.fullmatch(token) else "a token with a meaning of its own to models"
    remedy = (
        "The frames come before the question by themselves: take it out"
        if PLACEHOLDER.fullmatch(token)
        else "Take it out, or write it in other characters"
    )
    raise SpatialDataError(f"{where}: the {kind} {_around(text, token)} holds {token!r}, {what}. {remedy}.")


def special_token_pattern(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """What finds the special tokens of a tokenizer in a text; `None` if it has none.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.

    Returns:
        `re.Pattern`, *optional*
    """
    tokens = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special and str(token).strip()]
    return (
        re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))) if tokens else None
    )


def _leads(text: str) -> bool:
    return LEADING_PLACEHOLDERS.match(text) is not None


def _around(text: str, token: str) -> str:
    """The text in quotes, of a long one what stands around the token."""
    place = text.index(token)
    start, end = max(0, place - 30), place + len(token) + 30
    return repr(("... " if start else "") + text[start:end] + (" ..." if end < len(text) else ""))
