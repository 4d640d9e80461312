"""Which lengths a text holds: parts of one are summed, fractions are read, and what is left open is no length."""

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from igep.spatial_prompts import parse_clock, parse_length, parse_rotation_angle, parse_translation_distance
from igep.text_lengths import last_length


FOOT, INCH = 0.3048, 0.0254


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("5 feet 3 inches", 5 * FOOT + 3 * INCH),
        ("It is 5 ft. 3 in. wide", 5 * FOOT + 3 * INCH),
        ("5 ft, 3 in", 5 * FOOT + 3 * INCH),
        ("5'3\"", 5 * FOOT + 3 * INCH),
        ("5′ 3.5″", 5 * FOOT + 3.5 * INCH),
        ("5ft3in", 5 * FOOT + 3 * INCH),
        ("1 yard 2 feet", 5 * FOOT),
        ("1 m 20 cm", 1.2),
        ("1m20cm", 1.2),
        ("2 metres and 30 centimetres", 2.3),
        ("2 m 30 cm 5 mm", 2.305),
        ("half a metre", 0.5),
        ("a quarter of a metre", 0.25),
        ("2 and a half metres", 2.5),
        ("2 metres and a half", 2.5),
        ("1 1/2 feet", 1.5 * FOOT),
        ("1/2 m", 0.5),
        ("2½ m", 2.5),
        ("1,200 mm", 1.2),
        ("5-foot", 5 * FOOT),
        ("0.50\u2009m", 0.5),
        ("2 in wide", 2 * INCH),
        # Several lengths, of which the last one counts.
        ("3 ft and then 2 m", 2.0),
        ("6 feet or 1.83 m", 1.83),
        ("2 m (200 cm)", 2.0),
        ("1 m 120 cm", 1.2),
        ("1.2 m 20 cm", 0.2),
        ("2 m 3 inches", 3 * INCH),
        ("10 m, 2 m", 2.0),
        ("20 cm 1 m", 1.0),
        ("the width is 2 m and the height 30 cm", 0.3),
    ],
)
def test_a_length(text, metres):
    assert last_length(text) == pytest.approx(metres)
    for parser in (parse_length, parse_translation_distance):
        assert parser(f"<think> 9 m </think>It is {text}.") == pytest.approx(metres)


@pytest.mark.parametrize(
    "text",
    [
        *("2 to 3 m", "2-3 m", "2–3 m", "2 m - 3 m", "2 m to 3 m", "5 feet 3 inches to 6 feet", "between 2 and 3 m"),
        *("between 2 m and 3 m", "2 or 3 m", "2 ± 0.1 m", "2 m ± 0.1 m", "2 m +/- 10 cm", "2 m plus or minus 10 cm"),
        *(
            "2 m ± 0.1",
            "2 m (± 0.1 m)",
            "2 m, give or take 10 cm",
            "2 m ± 5 %",
            "2 x 3 m",
            "2m × 3m",
            "2 by 3 m",
            "2 and 3 m",
        ),
        *("2 or maybe 3 m", "2 to about 3 m", "2 m up to 3 m", "1 000 m", "1'000 m", "10 000 mm", "1\u2009000 mm"),
        *("2 in the image", "There are 2 in this room", "the 3 in total"),
        *("1,5 m", "1,20,000 mm", "1m20", "2 m2", "2 m²", "2 m^2", "1/0 m", "a/2 m", "5 feet -3 inches", "-2 m"),
        *("two metres", "a metre", "half", "it's 5'", 'he said "2"', "5'3", "2", "", "1.2.3 m", "1e400 m", "2 miles"),
    ],
)
def test_what_is_left_open_is_no_length(text):
    assert last_length(text) is None


@pytest.mark.parametrize(
    "text", ["3 to 4 o'clock", "3 or 4 o'clock", "between 3 and 4 o'clock", "2 o'clock to 3 o'clock"]
)
def test_a_range_of_hours_is_no_hour(text):
    assert parse_clock(text) is None
    assert parse_clock(f"{text}, so 4 o'clock") == 4


def test_a_range_of_angles_is_no_angle():
    assert parse_rotation_angle("20 to 30 degrees") is parse_rotation_angle("20° ± 5°") is None
    assert parse_rotation_angle("from 20 degrees it turns by 30 degrees") == 30


@given(st.integers(0, 40), st.integers(0, 11), st.integers(0, 99))
def test_whole_parts_come_back(larger, inches, centimetres):
    assert last_length(f"{larger} feet {inches} inches") == pytest.approx(larger * FOOT + inches * INCH)
    assert last_length(f"{larger} m {centimetres} cm") == pytest.approx(larger + centimetres / 100)


@pytest.mark.parametrize(
    "piece",
    [
        "1 ",
        "1,",
        "half a ",
        "1 m ",
        "5'",
        "1/",
        "between 1 and ",
        "1 and ",
        "1 ft 1 in ",
        "m1",
        "1 000 ",
        "2 in  ",
        "± ",
    ],
)
def test_no_text_takes_long(piece):
    assert grows_linearly(last_length, piece)
