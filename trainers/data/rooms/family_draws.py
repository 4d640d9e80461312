"""Draws from everything that could be asked about a room, so that no kind of question crowds out the others."""

import random
from collections.abc import Iterable
from typing import TypeVar


Entry = TypeVar("Entry")


def draw_from_families(families: Iterable[list[Entry]], count: int, rng: random.Random) -> list[Entry]:
    """Draws entries, families equally likely, none twice.

    Args:
        families (`Iterable[list]`): All that each kind of question offers.
        count (`int`): How many; fewer come back where there are no more.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list`: In the order of drawing.
    """
    left = [rng.sample(family, len(family)) for family in families if family]
    drawn: list[Entry] = []
    while left and len(drawn) < count:
        family = rng.choice(left)
        drawn.append(family.pop())
        if not family:
            left.remove(family)
    return drawn
