"""What object answers parse to, and that nothing makes the parsers raise or take long."""

import math

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from igep.spatial_prompts import (
    choice_answer,
    clock_answer,
    confirm_answer,
    confirm_question,
    measure_answer,
    parse_choice,
    parse_clock,
    parse_length,
    parse_polarity,
    region,
)


PARSERS = (parse_polarity, parse_choice, parse_length, parse_clock)
FRAGMENTS = st.sampled_from(
    [
        *("yes", "No", "Correct", "not", "(1, 2, 3, 4)", "(", ")", ",", " ", "1", "2.5", "1e400", "NaN", "1.2.3", "٣"),
        *("m", "meters", "feet", "inches", "cm", "3 o'clock", "o'clock", "13", "-", "+", "\n", "<think>", "9" * 30),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=40).map("".join))
A, B = region((0, 39, 652, 999)), region((6, 380, 228, 562))


def test_the_released_example():
    assert confirm_question(A, "smaller than", B) == (
        "Can you confirm if bounding box region (0, 39, 652, 999) is smaller than bounding box region (6, 380, 228, "
        "562)?"
    )
    assert confirm_answer(A, "smaller in size than", B, False) == (
        "Incorrect, bounding box region (0, 39, 652, 999) is not smaller in size than bounding box region (6, 380, "
        "228, 562)."
    )


@given(st.booleans(), st.floats(0.01, 9999), st.integers(1, 12), st.tuples(*[st.integers(0, 999)] * 4))
def test_answers_come_back(holds, metres, hour, box):
    assert parse_polarity(confirm_answer(A, "to the right of", B, holds)) is holds
    assert parse_length(measure_answer(f"the distance between {A} and {B}", metres)) == pytest.approx(
        metres, abs=0.00501
    )
    assert parse_clock(clock_answer(A, B, hour)) == hour
    assert parse_choice(choice_answer(region(box), "larger")) == box


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (parse_polarity, "Yes, it is.", True),
        (parse_polarity, "It is not.", False),
        (parse_polarity, "No, that is not correct", False),
        (parse_polarity, "to the right", None),
        (parse_polarity, "", None),
        (parse_polarity, "Notable", None),
        (parse_polarity, "<think> No, wait. </think> Yes.", True),
        (parse_polarity, "<think> Yes", None),
        (parse_choice, "<think> (5, 6, 7, 8)? </think> Region (1, 2, 3, 4)", (1, 2, 3, 4)),
        (parse_polarity, "<THINK> No </THINK> Yes", True),
        (parse_polarity, "<Think> Yes", None),
        (parse_polarity, "Yes/No", None),
        (parse_polarity, "Yes or no?", None),
        (parse_polarity, "True or false: true", None),
        (parse_polarity, "Yes, or nearly so", True),
        (parse_length, "\u22122 m", None),
        (parse_clock, "at 3 o\u02bcclock", 3),
        (parse_length, "<think> 9 m </think> 2 m", 2.0),
        (parse_length, "<think> 9 m", None),
        (parse_clock, "<think> 3 o'clock </think> 4 o'clock", 4),
        (parse_length, ".5 m", 0.5),
        (parse_length, "1e1 cm", 0.1),
        (parse_length, "123456789 mm", 123456.789),
        (parse_choice, "(12345678, 2, 3, 4)", (12345678, 2, 3, 4)),
        (parse_choice, "(" + "9" * 5000 + ", 2, 3, 4)", None),
        (parse_length, "about 1.5 meters", 1.5),
        (parse_length, "150 cm", 1.5),
        (parse_length, "10 feet", 3.048),
        (parse_length, "1 foot", 0.3048),
        (parse_length, "12 inches", 0.3048),
        (parse_length, "3 ft and then 2 m", 2.0),
        (parse_length, "two meters", None),
        (parse_length, "2", None),
        (parse_length, "-2 m", None),
        (parse_length, "1.2.3 m", None),
        (parse_length, "1e400 m", None),
        (parse_length, "NaN m", None),
        (parse_length, "2 miles", None),
        (parse_length, f"the width of {A}", None),
        (parse_clock, "at 3 o'clock", 3),
        (parse_clock, "at 3 o’clock", 3),
        (parse_clock, "13 o'clock", None),
        (parse_clock, "0 o'clock", None),
        (parse_clock, "3.5 o'clock", None),
        (parse_clock, "three o'clock", None),
        (parse_choice, "(1, 2, 3)", None),
        (parse_choice, "(1, 2, 3, 4.5)", None),
        (parse_choice, "Region (1,2,3,4), not (5, 6, 7, 8)", (1, 2, 3, 4)),
    ],
)
def test_texts(parser, text, value):
    assert parser(text) == (pytest.approx(value) if isinstance(value, float) else value)


@given(TEXTS)
def test_parsers_survive_anything(text):
    for parser in PARSERS:
        found = parser(text)
        values = () if found is None else found if isinstance(found, tuple) else (found,)
        assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("text", [None, 3, b"yes", math.nan])
def test_what_is_no_text_is_no_answer(parser, text):
    assert parser(text) is None


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("piece", ["(", "1", "1.", " ", "(1, ", "1 m", "1 o'", "no", "a1", "1e1", ".1"])
def test_parsers_take_linear_time(parser, piece):
    assert grows_linearly(parser, piece)
