"""Draws from all that could be asked about a room, so that no kind of question and no answer crowds out the others."""

import random
from collections.abc import Callable, Iterable
from typing import TypeVar


Entry = TypeVar("Entry")


def draw_from_families(
    families: Iterable[list[Entry]], count: int, rng: random.Random, group_of: Callable[[Entry], str | int]
) -> list[Entry]:
    """Draws entries, none twice: families equally likely, in one its groups equally likely, in one its entries.

    Args:
        families (`Iterable[list]`): All that each kind of question offers.
        count (`int`): How many; fewer come back where there are no more.
        rng (`random.Random`): Source of randomness.
        group_of (`Callable`): The group of an entry within its family. With the answer, a room that offers two answers
            to a kind of question is asked for either equally often, whatever the number of questions with each.

    Returns:
        `list`: In the order of drawing.
    """
    left: list[dict[str | int, list[Entry]]] = []
    for family in families:
        groups: dict[str | int, list[Entry]] = {}
        for entry in rng.sample(family, len(family)):
            groups.setdefault(group_of(entry), []).append(entry)
        if groups:
            left.append(groups)
    drawn: list[Entry] = []
    while left and len(drawn) < count:
        groups = rng.choice(left)
        group = rng.choice(list(groups))
        drawn.append(groups[group].pop())
        if not groups[group]:
            del groups[group]
        if not groups:
            left.remove(groups)
    return drawn
