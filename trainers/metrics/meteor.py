"""METEOR 1.5 of captions, where a user has installed pycocoevalcap and Java.

It needs WordNet and a table of five million paraphrases, which pycocoevalcap brings along with its program (LGPL, 100
MB); nothing on the Python index gives the same number without them (NLTK's METEOR is that of 2005). So it is asked for
by name, and absent otherwise; the scorer prints it where it can be had.
"""

import importlib.util
import shutil
from collections.abc import Sequence


class MeteorMissingError(RuntimeError):
    """METEOR cannot be computed on this machine; the message says why and what to do, in one line."""


def check_meteor() -> None:
    """Raises `MeteorMissingError` where METEOR cannot be computed, before anything else is."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise MeteorMissingError("METEOR needs pycocoevalcap: pip install pycocoevalcap")
    if shutil.which("java") is None:
        raise MeteorMissingError("METEOR needs java on the path: install a Java runtime")


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR of a set of captions, whose statistics are summed before they are scored.

    Args:
        candidates (`Sequence[str]`): One caption per item.
        references (`Sequence[Sequence[str]]`): At least one per item.

    Returns:
        `float`: Times 100.

    Raises:
        MeteorMissingError: pycocoevalcap or Java is missing, or its program ends before it has answered.
    """
    check_meteor()
    from pycocoevalcap.meteor.meteor import Meteor  # pyright: ignore[reportMissingImports]

    # One caption is one line of the program's input.
    lines = {index: [" ".join(text.splitlines())] for index, text in enumerate(candidates)}
    truths = {index: [" ".join(text.splitlines()) for text in item] for index, item in enumerate(references)}
    try:
        score, _ = Meteor().compute_score(truths, lines)
    except (OSError, ValueError) as error:  # a broken pipe, or nothing where a number should be
        raise MeteorMissingError(
            f"METEOR's program (java -Xmx2G) ended before it had scored ({error}): give it 2 GB of memory"
        ) from error
    return 100 * score
