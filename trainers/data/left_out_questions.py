"""How many questions of a benchmark's file a table of questions leaves out, and why; the table carries it along.

It is written as JSON into the table's description, which `select` and the like keep, so that whoever holds the table
can say what is missing from it.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from datasets import Dataset


NAMED_REASONS = 10


@dataclass(frozen=True)
class LeftOutQuestions:
    """Questions that cannot be asked.

    Args:
        count (`int`): How many.
        of (`int`): Questions of the file.
        reasons (`dict[str, int]`): How many for which reason, the most frequent first, and the rest together.
    """

    count: int
    of: int
    reasons: dict[str, int]

    @classmethod
    def counted(cls, reasons: Iterable[str], of: int) -> "LeftOutQuestions":
        """Counts the reasons of questions.

        Args:
            reasons (`Iterable[str]`): One for each question that is left out.
            of (`int`): Questions of the file.

        Returns:
            `LeftOutQuestions`
        """
        by_reason = Counter(reasons)
        named = dict(by_reason.most_common(NAMED_REASONS))
        others = by_reason.total() - sum(named.values())
        return cls(by_reason.total(), of, named | ({"other reasons": others} if others else {}))

    def in_words(self) -> str:
        """One sentence, without a point."""
        reasons = "; ".join(f"{count} x {reason}" for reason, count in self.reasons.items())
        return f"{self.count} of {self.of} questions of the file are left out: {reasons}"


def note_left_out(questions: Dataset, left_out: LeftOutQuestions) -> None:
    """Writes into a table of questions what it leaves out."""
    questions.info.description = json.dumps({"left_out_questions": asdict(left_out)})


def left_out_of(questions: Dataset) -> LeftOutQuestions | None:
    """What `note_left_out` wrote into a table of questions, or a part of one; `None` where it leaves nothing out."""
    try:
        found = json.loads(questions.info.description)
    except ValueError:  # empty, or somebody's words
        return None
    if not isinstance(found, dict) or "left_out_questions" not in found:
        return None
    return LeftOutQuestions(**found["left_out_questions"])
