"""Work that gives the control back at every beat, so that Gradio can end what a visitor who has left had asked for."""

import contextvars
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from typing import TypeVar


BEAT_SECONDS = 1.0  # how often whoever waits is told that there is nothing yet
Beat, Result = TypeVar("Beat"), TypeVar("Result")


def in_beats(work: Callable[[threading.Event], Result], beat: Beat = None) -> Generator[Beat, None, Result]:
    """Does some work in a thread of its own.

    Args:
        work (`Callable`): Is given an event that is set once nobody waits for its result any more.
        beat (*optional*): What is yielded.

    Yields:
        `beat`, until it is done. Closed before, it sets the event.

    Returns:
        What `work` returns; what it raises is raised here.
    """
    unwanted, result = threading.Event(), Future()

    def run() -> None:
        try:
            result.set_result(work(unwanted))
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits
            result.set_exception(error)

    # ZeroGPU tells by the context whose request it is.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    try:
        while not wait([result], BEAT_SECONDS).done:
            yield beat
        return result.result()
    finally:
        unwanted.set()
