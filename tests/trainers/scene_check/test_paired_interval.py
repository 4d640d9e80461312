"""Student's interval over blocks of time: closed forms, and what must hold for any numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from igep.trainers.scene_check.paired_interval import MAX_BLOCKS, paired_interval


NUMBERS = st.lists(st.floats(-10, 10), min_size=2, max_size=60)


def test_the_interval_of_single_frames_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    interval = paired_interval(values, np.arange(4))
    expected = stats.t.interval(0.99, 3, loc=3.0, scale=values.std(ddof=1) / 2)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((3.0, *expected))


def test_neighbours_that_say_the_same_are_one_witness() -> None:
    """Frames repeated a hundred times narrow nothing."""
    values = np.random.default_rng(0).normal(size=MAX_BLOCKS)
    once = paired_interval(values, np.arange(MAX_BLOCKS))
    often = paired_interval(np.repeat(values, 100), np.arange(100 * MAX_BLOCKS))
    assert (once.low, once.high) == pytest.approx((often.low, often.high))


def test_one_frame_tells_nothing() -> None:
    interval = paired_interval(np.array([-3.0, -3.0]), np.array([7, 7]))
    assert (interval.mean, interval.low, interval.high) == (-3.0, -np.inf, np.inf)
    nothing = paired_interval(np.array([np.nan]), np.array([0]))
    assert np.isnan(nothing.mean)
    assert (nothing.low, nothing.high) == (-np.inf, np.inf)


@given(NUMBERS, st.floats(-5, 5))
def test_a_shift_shifts_it(values: list[float], shift: float) -> None:
    differences, frames = np.array(values), np.arange(len(values))
    plain, shifted = paired_interval(differences, frames), paired_interval(differences + shift, frames)
    assert plain.low <= plain.mean <= plain.high
    assert (shifted.low - shift, shifted.high - shift) == pytest.approx((plain.low, plain.high), abs=1e-6)


@given(NUMBERS)
def test_pairs_that_cannot_be_compared_change_nothing(values: list[float]) -> None:
    differences, frames = np.array(values), np.arange(len(values))
    with_gaps = paired_interval(np.append(differences, np.nan), np.append(frames, 3))
    assert with_gaps == paired_interval(differences, frames)
