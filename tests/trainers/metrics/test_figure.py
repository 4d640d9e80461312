"""A figure says what it is, and is what it says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.figure import R2, SHARE, Figure, Scale, error_scale


CIDER = Scale("CIDEr-D x 100", 0, 1000, higher_is_better=True)


@pytest.mark.parametrize(
    ("value", "scale"),
    [(0, SHARE), (1, SHARE), (-3.5, R2), (1, R2), (300.0, error_scale("text steps")), (102.1, CIDER), (None, SHARE)],
)
def test_values_within_the_range_are_taken(value, scale):
    assert Figure(value, 4, scale).value == value


@pytest.mark.parametrize(
    ("value", "scale", "message"),
    [
        (102.1, SHARE, "between 0 and 1"),
        (-0.1, SHARE, "between 0 and 1"),
        (1.2, R2, "at most 1"),
        (-1, error_scale("metres"), "at least 0"),
        (math.inf, error_scale("metres"), "at least 0"),
        (math.nan, SHARE, "between 0 and 1"),
        (True, SHARE, "between 0 and 1"),
        ("high", SHARE, "'high'"),
        (10**400, error_scale("metres"), "at least 0"),
        (math.inf, Scale("score", None, None, higher_is_better=True), "any number"),
    ],
)
def test_others_are_refused(value, scale, message):
    with pytest.raises(ValueError, match=message):
        Figure(value, 4, scale)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_a_figure_is_taken_exactly_within_its_range(value, lowest, width):
    scale = Scale("points", lowest, lowest + width, higher_is_better=True)
    if lowest <= value <= lowest + width:
        assert Figure(value, 0, scale).value == value
    else:
        with pytest.raises(ValueError, match="cannot be"):
            Figure(value, 0, scale)


def test_nothing_measured_is_none():
    assert Figure.measured(math.nan, 3, SHARE).value is None
    assert Figure.measured(0.5, 3, SHARE).value == 0.5


@pytest.mark.parametrize("n", [-1, 2.5, True, None, "3"])
def test_a_number_of_answers_is_a_number(n):
    with pytest.raises(ValueError, match="number of answers"):
        Figure(0.5, n, SHARE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("", 0, 1, True), "unit=''"),
        ((None, 0, 1, True), "unit=None"),
        (("share", 1, 0, True), "leave no range"),
        (("share", 0, math.inf, True), "None means no bound"),
        (("share", "0", 1, True), "lowest='0'"),
        (("share", 0, 1, "yes"), "higher_is_better='yes'"),
    ],
)
def test_a_scale_that_means_nothing_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Scale(*fields)
