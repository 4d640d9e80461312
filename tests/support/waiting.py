"""Waiting for a condition, as long as a busy machine needs."""

import time
from collections.abc import Callable

import pytest


LIMIT_SECONDS = 600  # ends a test that would wait for ever, and measures nothing


def wait_until(condition: Callable[[], bool], what: str, every_seconds: float = 0.05) -> None:
    """Returns once a condition holds.

    Args:
        condition (`Callable[[], bool]`): Asked again and again.
        what (`str`): What is waited for, as the failed test says it.
        every_seconds (`float`, *optional*, defaults to `0.05`): Pause between two questions.
    """
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {LIMIT_SECONDS} s in vain: {what}")
        time.sleep(every_seconds)
