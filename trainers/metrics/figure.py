"""What a figure of a metric is: value, unit, possible range, which way is better, how many stand behind it."""

import math
from dataclasses import dataclass


WITHOUT_LOOKING = "without_looking"  # among the facts of a benchmark: what a guess reaches that sees no frame


def _is_finite_number(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


@dataclass(frozen=True)
class Scale:
    """What values of a figure mean.

    Args:
        unit (`str`): `"share"`, `"metres"`, `"CIDEr-D x 100"` and the like.
        lowest (`float`, *optional*): Smallest possible value; `None` = no bound.
        highest (`float`, *optional*): Largest possible value; `None` = no bound.
        higher_is_better (`bool`): Which way is better.

    Raises:
        ValueError: No unit, or a range that holds nothing.
    """

    unit: str
    lowest: float | None
    highest: float | None
    higher_is_better: bool

    def __post_init__(self):
        if not isinstance(self.unit, str) or not self.unit.strip():
            raise ValueError(f"unit={self.unit!r}: name what the figure is counted in, such as 'share'.")
        for name in ("lowest", "highest"):
            bound = vars(self)[name]
            if bound is not None and not _is_finite_number(bound):
                raise ValueError(
                    f"{name}={bound!r} of a figure in {self.unit} is no finite number: None means no bound."
                )
        if None not in (self.lowest, self.highest) and self.lowest >= self.highest:
            raise ValueError(
                f"lowest={self.lowest} and highest={self.highest} of a figure in {self.unit} leave no range."
            )
        if not isinstance(self.higher_is_better, bool):
            raise ValueError(f"higher_is_better={self.higher_is_better!r} must be true or false.")  # noqa: TRY004

    @property
    def in_words(self) -> str:
        """The range, as an error message says it."""
        if self.lowest is None:
            return "any number" if self.highest is None else f"at most {self.highest:g}"
        return f"at least {self.lowest:g}" if self.highest is None else f"between {self.lowest:g} and {self.highest:g}"


@dataclass(frozen=True)
class Figure:
    """One number that was measured.

    Args:
        value (`float`, *optional*): The number; `None` = nothing was measured, for instance because no answer could be
            read.
        n (`int`): Answers, or of a probe places, that stand behind it; those that could not be read count as well.
            0 = not recorded.
        scale (`Scale`): What it means.

    Raises:
        ValueError: A value that the scale rules out, or a number of answers that cannot be.
    """

    value: float | None
    n: int
    scale: Scale

    def __post_init__(self):
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 0:
            raise ValueError(f"n={self.n!r} is no number of answers")
        if self.value is None:
            return
        low = -math.inf if self.scale.lowest is None else self.scale.lowest
        high = math.inf if self.scale.highest is None else self.scale.highest
        if not _is_finite_number(self.value) or not low <= self.value <= high:
            raise ValueError(f"value={self.value!r} cannot be ({self.scale.in_words})")

    @classmethod
    def measured(cls, value: float, n: int, scale: Scale) -> "Figure":
        """A figure from what a metric computed, which is NaN where nothing was measured."""
        return cls(None if math.isnan(value) else value, n, scale)


SHARE = Scale("share", 0, 1, higher_is_better=True)
SHARE_OF_FAILURES = Scale("share", 0, 1, higher_is_better=False)
R2 = Scale("R2", None, 1, higher_is_better=True)


def error_scale(unit: str) -> Scale:
    """The scale of an error: 0 is perfect, and there is no end to it."""
    return Scale(unit, 0, None, higher_is_better=False)
