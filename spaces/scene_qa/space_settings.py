"""The numbers that whoever runs the Space may set in its environment."""

import math
import os
from dataclasses import dataclass


MOST_AT_ONCE = 64  # answers: each has a thread, and memory of its own
MOST_EVENTS = 256  # of Gradio at once: those that wait for their turn are among them
MOST_WAITING = 92  # in either queue: with those at work, in both lanes, all of them fit
MOST_ANSWER_SECONDS = 24 * 3600
MOST_READING_SECONDS = 1800  # an upload lives an hour
MOST_DIGITS = 9  # of any of them


class SettingError(ValueError):
    """An environment variable that holds no number of its kind; the message says which, and what it may hold."""


def whole_number(name: str, default: int, highest: int) -> int:
    """Reads a whole number of the environment.

    Args:
        name (`str`): The variable.
        default (`int`): What it is where it is not set, or empty.
        highest (`int`): The largest that is allowed; the smallest is 1.

    Returns:
        `int`

    Raises:
        SettingError: It is no such number.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and 1 <= int(text) <= highest):
        raise SettingError(
            f"{name}={shortened(text)} is no whole number from 1 to {highest}: correct it in the environment."
        )
    return int(text)


def seconds(name: str, default: float, highest: float) -> float:
    """Reads a length of time of the environment.

    Args:
        name (`str`): The variable.
        default (`float`): What it is where it is not set, or empty.
        highest (`float`): The longest that is allowed.

    Returns:
        `float`: Positive.

    Raises:
        SettingError: It is no such number.
    """
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value <= highest:
        raise SettingError(
            f"{name}={shortened(text)} is no number of seconds above 0 and up to {highest:g}: correct it in the "
            "environment."
        )
    return value


def shortened(text: str) -> str:
    """A value as a message quotes it, which stays one line whatever it holds."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    Args:
        concurrency (`int`): `CONCURRENCY`: answers that the model writes at once.
        waiting (`int`): `QUEUE_SIZE`: requests that may wait for their turn.
        per_client (`int`): `CLIENT_REQUESTS`: requests that one client may have under way.
        answer_seconds (`float`): `ANSWER_SECONDS`: longest wait for a word, and longest time to write an answer.
        reading_seconds (`int`): `READING_SECONDS`: longest time to read a video.
    """

    concurrency: int
    waiting: int
    per_client: int
    answer_seconds: float
    reading_seconds: int

    @classmethod
    def read(cls) -> "Settings":
        """Reads them all, those of Gradio that are numbers too.

        Raises:
            SettingError: One is no number of its kind.
        """
        whole_number("GRADIO_SERVER_PORT", 7860, 65535)
        whole_number("GRADIO_NUM_PORTS", 100, 65535)
        return cls(
            concurrency=whole_number("CONCURRENCY", 1, MOST_AT_ONCE),
            waiting=whole_number("QUEUE_SIZE", 32, MOST_WAITING),
            per_client=whole_number("CLIENT_REQUESTS", 8, MOST_EVENTS),
            answer_seconds=seconds("ANSWER_SECONDS", 300.0, MOST_ANSWER_SECONDS),
            reading_seconds=whole_number("READING_SECONDS", 20, MOST_READING_SECONDS),
        )
