"""The numbers that whoever runs the Space may set in its environment."""

import math
import os
from dataclasses import dataclass


class SettingError(ValueError):
    """An environment variable that holds no number of its kind; the message says which, and what it may hold."""


def whole_number(name: str, default: int, lowest: int = 1) -> int:
    """Reads a whole number of the environment.

    Args:
        name (`str`): The variable.
        default (`int`): What it is where it is not set, or empty.
        lowest (`int`, *optional*, defaults to `1`): The smallest that is allowed.

    Returns:
        `int`

    Raises:
        SettingError: It is no such number.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and lowest <= int(text)):
        raise SettingError(f"{name}={text!r} is no whole number from {lowest} on: correct it in the environment.")
    return int(text)


def seconds(name: str, default: float) -> float:
    """Reads a length of time of the environment.

    Args:
        name (`str`): The variable.
        default (`float`): What it is where it is not set, or empty.

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
    if not 0 < value < math.inf:
        raise SettingError(f"{name}={text!r} is no number of seconds above 0: correct it in the environment.")
    return value


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
        whole_number("GRADIO_SERVER_PORT", 7860)
        whole_number("GRADIO_NUM_PORTS", 100)
        return cls(
            concurrency=whole_number("CONCURRENCY", 1),
            waiting=whole_number("QUEUE_SIZE", 32),
            per_client=whole_number("CLIENT_REQUESTS", 8),
            answer_seconds=seconds("ANSWER_SECONDS", 300.0),
            reading_seconds=whole_number("READING_SECONDS", 20),
        )
