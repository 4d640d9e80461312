"""METEOR 1.5 of captions, where a user has installed pycocoevalcap and Java.

It needs WordNet and a table of five million paraphrases, which pycocoevalcap brings along with its program (LGPL, 100
MB); nothing on the Python index gives the same number without them (NLTK's METEOR is that of 2005). So it is asked for
by name, and absent otherwise.
"""

import importlib.util
import shutil
from collections.abc import Sequence


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR of a set of captions, whose statistics are summed before they are scored.

    Args:
        candidates (`Sequence[str]`): One caption per item.
        references (`Sequence[Sequence[str]]`): At least one per item.

    Returns:
        `float`: Times 100.

    Raises:
        ModuleNotFoundError: pycocoevalcap is not installed.
        FileNotFoundError: `java` is not on the path.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise ModuleNotFoundError(
            "METEOR needs pycocoevalcap: `pip install pycocoevalcap`, or score without meteor=True."
        )
    if shutil.which("java") is None:
        raise FileNotFoundError("METEOR needs java on the path: install a Java runtime, or score without meteor=True.")
    from pycocoevalcap.meteor.meteor import Meteor  # pyright: ignore[reportMissingImports]

    # One caption is one line of the program's input.
    lines = {index: [" ".join(text.splitlines())] for index, text in enumerate(candidates)}
    truths = {index: [" ".join(text.splitlines()) for text in item] for index, item in enumerate(references)}
    score, _ = Meteor().compute_score(truths, lines)
    return 100 * score
