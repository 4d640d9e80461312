"""When a short answer counts as a true one: LEO's cleaning, which the 3D-VLM papers score with, and a plain one."""

import re
import unicodedata
from collections.abc import Sequence


NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
TENS = "thirty forty fifty sixty seventy eighty ninety"
UP_TO_TWENTY = {word: value for value, word in enumerate(NUMBERS.split())}
WHOLE_TENS = {word: 10 * tens for tens, word in enumerate(TENS.split(), start=3)}
VALUES = UP_TO_TWENTY | WHOLE_TENS
ARTICLES = ("a", "an", "the")

# LEO's words for words: typing errors of SQA3D's annotators, and numbers up to 20 and 23.
LEO_WORDS = {
    "letf": "left",
    "let": "left",
    "tehre": "there",
    "rigth": "right",
    "rght": "right",
    "behine": "behind",
    "tv": "TV",
    "chai": "chair",
    "wasing": "washing",
    "waslked": "walked",
    "oclock": "o'clock",
}
LEO_NUMBERS = {str(value): word for word, value in UP_TO_TWENTY.items()} | {"none": "zero", "23": "twenty-three"}


def leo_clean_answer(text: str) -> str:
    r"""Cleans an answer like `clean_answer` of LEO (embodied-generalist, commit 477dc44), in its order.

    Where it looks wrong: punctuation goes after the ends were stripped, so "yes ." keeps a space; points go before
    numbers are read, so "2.0" is "twenty" and "3.5" is "35"; it is not idempotent; letters that are not ASCII vanish;
    "let" becomes "left".

    Args:
        text (`str`): Answer.

    Returns:
        `str`
    """
    text = re.sub("^ +", "", re.sub(" +$", "", text.lower()))
    text = re.sub(" {2,}", " ", text)
    text = re.sub(r"[^a-zA-Z0-9,'\s\-:]+", "", re.sub(r"\.[ ]{2,}", ". ", text))
    text = _replace_words(text, LEO_WORDS)
    text = _replace_words(re.sub(r"\bo'[ ]+clock\b", "o'clock", text), LEO_NUMBERS)
    text = re.sub(r"\b([a-zA-Z]+)[0-9]\b", r"\1", text)
    for article in ARTICLES:
        text = re.sub(rf"\b{article}\b ([a-zA-Z]+)", r"\1", text)
    return re.sub(r"\bbackwards\b", "backward", text)


def leo_refined_match(answer: str, true_answers: Sequence[str]) -> bool:
    """LEO's refined exact match of cleaned answers: equal, or one within the other when spaces are taken out.

    Where it looks wrong: an empty answer lies within every other, and "no" within "brown nose".

    Args:
        answer (`str`): Cleaned.
        true_answers (`Sequence[str]`): Cleaned.

    Returns:
        `bool`
    """
    solid = "".join(answer.split())
    others = ["".join(true.split()) for true in true_answers]
    return answer in true_answers or any(solid in other or other in solid for other in others)


def normalise_answer(text: str) -> str:
    """Writes an answer plainly: lower case, no punctuation, no articles, numbers in digits, single spaces. Idempotent.

    A point or comma within a number belongs to it (2.0 is 2, 1,000 is 1000); apostrophes vanish; other marks separate
    words. An answer that is nothing but articles keeps them. Letters of any script stay.

    Args:
        text (`str`): Answer.

    Returns:
        `str`: Words separated by single spaces.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", re.sub("['’`]", "", text))
    words = re.findall(r"\d+\.\d+|[^\W_]+", text)
    values, plain = [], []
    for word in words:
        value = VALUES.get(word)
        joins = value is not None and 0 < value < 10 and bool(values) and values[-1] in (20, *WHOLE_TENS.values())
        if joins:
            value += values.pop()
            plain.pop()
        values.append(None if joins else value)
        plain.append(_plain_number(word) if value is None else str(value))
    return " ".join([word for word in plain if word not in ARTICLES] or plain)


def refined_match(answer: str, true_answers: Sequence[str]) -> bool:
    """Refined exact match of normalised answers: equal, or the words of one stand side by side within the other.

    Args:
        answer (`str`): Normalised. An empty one matches nothing but an empty one.
        true_answers (`Sequence[str]`): Normalised.

    Returns:
        `bool`
    """
    if answer in true_answers:
        return True
    padded = f" {answer} "
    return bool(answer) and any(true and (padded in f" {true} " or f" {true} " in padded) for true in true_answers)


def _replace_words(text: str, words: dict[str, str]) -> str:
    return re.sub(rf"\b(?:{'|'.join(words)})\b", lambda match: words[match.group()], text)


def _plain_number(word: str) -> str:
    """Digits without leading zeros and without zeros at the end of a fraction; any other word as it is."""
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", word):
        return word
    whole, _, fraction = word.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
