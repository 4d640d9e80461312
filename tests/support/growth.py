"""How the work of a function grows with its input."""

import time
from collections.abc import Callable


SHORT, LONG = 1_000, 16_000


def grows_linearly(work: Callable[[str], object], piece: str) -> bool:
    """Whether work on a long text takes about as much more time as the text is longer.

    It is this thread's own time, which others who use the processor do not lengthen, and the best of some tries.
    Quadratic work grows by the square of the factor; the limit lies half way between, as factors go.

    Args:
        work (`Callable[[str], object]`): What is done with a text.
        piece (`str`): What the texts consist of.

    Returns:
        `bool`
    """
    factor = LONG / SHORT
    short, long = (min(_seconds(work, piece * count) for _ in range(5)) for count in (SHORT, LONG))
    return long < short * factor * factor**0.5


def _seconds(work: Callable[[str], object], text: str) -> float:
    begin = time.thread_time()
    work(text)
    return time.thread_time() - begin
