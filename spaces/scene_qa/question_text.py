"""What a visitor typed, as a model may read it: words only, never the tokens by which a conversation is built."""

import re

from transformers import PreTrainedTokenizerBase


MOST_PASSES = 8
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
_WHERE = re.compile(r"(?:where\s+(?:is|are)\s+)?(?:(?:the|a|an)\s+)*", re.IGNORECASE)


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokens that no text of a visitor may become: special ones, and tags such as `<think>`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): That of the model.

    Returns:
        `dict[str, int]`: Text to id. Whole words that training added to a tokenizer are none of them.
    """
    added = tokenizer.added_tokens_decoder.items()
    return {token.content: number for number, token in added if token.special or _TAG.fullmatch(token.content)}


def without_control_tokens(text: str, tokens: dict[str, int]) -> str:
    """A text in which control tokens are words like others: a space parts the first letter of each from the rest.

    Args:
        text (`str`): Anything.
        tokens (`dict[str, int]`): What `control_tokens` returns.

    Returns:
        `str`: The same text where it holds none.
    """
    longest_first = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
    for _ in range(MOST_PASSES):  # parting one may leave another
        before = text
        for token in longest_first:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        if text == before:
            break
    return text


def is_empty(text: str | None) -> bool:
    """Whether a text has nothing that can be seen."""
    return not any(letter.isprintable() and not letter.isspace() for letter in text or "")


def named_thing(text: str | None) -> str:
    """The thing that is looked for: "Where is the chair?" and "the chair" are "chair".

    Args:
        text (`str`): As it was typed.

    Returns:
        `str`: May be empty.
    """
    text = " ".join((text or "").split())
    return text[_WHERE.match(text).end() :].rstrip(" ?!.,;:")
