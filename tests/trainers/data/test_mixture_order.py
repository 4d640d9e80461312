"""A function of the seed alone, in which every part has its share and goes through its own epochs."""

import itertools
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from igep.trainers.data.mixture_order import BLOCK, MixtureOrder


def order_of(sizes: list[int], shares: list[float], seed: int = 0, group_size: int = 1) -> MixtureOrder:
    names = [f"part-{number}" for number in range(len(sizes))]
    return MixtureOrder(names, sizes, sizes, np.array(shares), seed, group_size)


@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 2**32 - 1),
    num_samples=st.integers(0, 400_000),
)
@settings(max_examples=60, deadline=None)
def test_counts_follow_the_shares(weights, seed, num_samples):
    shares = np.array(weights) / sum(weights)
    order = order_of([7] * len(weights), shares.tolist(), seed)
    counts = order.counts(num_samples)
    assert counts.sum() == num_samples
    assert (counts[shares == 0] == 0).all()
    whole = num_samples // BLOCK * BLOCK
    assert np.abs(order.counts(whole) - whole * shares).max() < 6  # grows with the logarithm of the samples
    later = order.counts(whole + BLOCK) - order.counts(whole)
    assert np.abs(later - BLOCK * shares).max() < 1 + 1e-9


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    group_size=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_every_part_goes_through_its_own_epochs(sizes, seed, group_size):
    shares = np.arange(1, len(sizes) + 1) / sum(range(1, len(sizes) + 1))
    order = order_of(sizes, shares.tolist(), seed, group_size)
    places = [order.place(sample) for sample in range(500)]
    for start in range(0, 500, group_size):
        assert len({place.part for place in places[start : start + group_size]}) == 1
    assert Counter(place.part for place in places) == Counter(dict(enumerate(order.counts(500).tolist())))
    for part, size in enumerate(sizes):
        mine = [place for place in places if place.part == part]
        assert [place.draw for place in mine] == [number // size for number in range(len(mine))]
        for start in range(0, len(mine) - size + 1, size):
            assert sorted(place.row for place in mine[start : start + size]) == list(range(size))


def test_order_is_a_function_of_the_seed_whatever_is_read_first():
    order, other = (order_of([50, 7], [0.7, 0.3], seed=3) for _ in range(2))
    forwards = [order.place(sample) for sample in range(300)]
    assert [other.place(sample) for sample in reversed(range(300))] == forwards[::-1]
    assert [order_of([50, 7], [0.7, 0.3], seed=4).place(sample) for sample in range(300)] != forwards


def test_parts_are_shuffled_and_mixed():
    order = order_of([200, 200], [0.5, 0.5])
    places = [order.place(sample) for sample in range(400)]
    first, second = ([place.row for place in places if place.part == part] for part in range(2))
    assert first != sorted(first)
    assert first != second
    parts = [place.part for place in places]
    assert 120 < sum(a != b for a, b in itertools.pairwise(parts)) < 280  # neither sorted nor alternating
    epochs = [[order.place(sample).row for sample in range(start, start + 400)] for start in (0, 400)]
    assert epochs[0] != epochs[1]


def test_every_epoch_of_a_part_has_an_order_of_its_own():
    order = order_of([40], [1.0])
    epochs = [[order.place(sample).row for sample in range(start, start + 40)] for start in (0, 40, 80)]
    assert all(sorted(rows) == list(range(40)) for rows in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_order_within_a_part_depends_on_its_name_and_not_on_the_other_parts():
    def rows(names, part):
        order = MixtureOrder(names, [30] * len(names), [20] * len(names), np.ones(len(names)) / len(names), 5)
        places = [place for place in map(order.place, range(20 * len(names) * 2)) if place.part == part]
        return [place.row for place in places[:20]]

    alone = rows(["depth"], 0)
    assert rows(["depth", "pose"], 0) == alone
    assert rows(["pose", "depth"], 1) == alone
    assert rows(["pose", "depth"], 0) != alone


def test_counts_of_the_first_block_are_rounded_by_the_seed():
    """A share of 19.2 samples in a block is 19 or 20: over many seeds as often as keeps the mean."""
    counts = [order_of([7, 7], [0.3, 0.7], seed).counts(BLOCK)[0] for seed in range(400)]
    assert set(counts) == {19, 20}
    assert abs(np.mean(counts) - 19.2) < 0.08  # four standard errors


def test_groups_of_a_part_come_in_the_order_of_its_single_samples():
    single, grouped = (order_of([40, 40], [0.5, 0.5], group_size=size) for size in (1, 4))
    for part in range(2):
        rows, together = (
            [place.row for place in map(order.place, range(4 * BLOCK)) if place.part == part]
            for order in (single, grouped)
        )
        assert rows[:64] == together[:64]
