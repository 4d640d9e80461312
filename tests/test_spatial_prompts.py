"""The released prompts word for word, answers that come back, and parsers that survive anything."""

import math

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from igep.spatial_prompts import (
    ROTATION_ANGLE_QUESTION,
    TRANSLATION_DIRECTION_QUESTION,
    TRANSLATION_DISTANCE_QUESTION,
    YAW_PITCH_ROLL_QUESTION,
    correspondence_answer,
    correspondence_question,
    depth_answer,
    depth_question,
    parse_correspondence,
    parse_depth,
    parse_rotation_angle,
    parse_translation_direction,
    parse_translation_distance,
    parse_yaw_pitch_roll,
    rotation_angle_answer,
    translation_direction_answer,
    translation_distance_answer,
    yaw_pitch_roll_answer,
)


PARSERS = (
    parse_depth,
    parse_correspondence,
    parse_rotation_angle,
    parse_yaw_pitch_roll,
    parse_translation_direction,
    parse_translation_distance,
)
# What models write when they are wrong: pieces of the formats, in any order.
FRAGMENTS = st.sampled_from(
    [
        *("<answer>", "</answer>", "<think>", "</think>", "(", ")", ",", " ", "\n", ".", "-", "+", "=", "°", "e", "E"),
        *("1", "2.5", "1e400", "1e5", "nan", "inf", "NaN", "1.2.3", "999999999999", "0", "-0", "٣", "²", "１"),
        *("Yaw", "Pitch", "Roll", "degrees", "meters", "m", "unit vector", "Rotation angle:", "__import__('os')"),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=40).map("".join))


# ---- Word for word


def test_depth_prompt():
    assert depth_question((16, 1061)) == (
        "Given this image, how far is the point at coordinates (16, 1061) from the camera? The coordinates are in "
        "normalised [0, 2000] format relative to image width and height. Output the thinking process in <think> "
        "</think> and final answer (the meter number only, without the unit) in <answer> </answer> tags."
    )
    assert "(3, 4)" in depth_question((3, 4), 64)
    assert "[0, 64]" in depth_question((3, 4), 64)


def test_correspondence_prompt():
    plain = (
        "Given these two images, what pixel in the second image corresponds to pixel (440, 60) in the first image? "
        "Report the answer as (x, y)."
    )
    assert correspondence_question((440, 60)) == plain
    assert correspondence_question((440, 60), think=True) == (
        plain + ' Please think step by step and follow the format: "<think> [think process] </think>\n\n[answer]".'
    )


def test_pose_answers_of_the_released_example():
    assert ROTATION_ANGLE_QUESTION.endswith(
        "what is the relative rotation angle (in degrees) between the two camera poses?"
    )
    assert "yaw -> pitch -> roll.  Conventions: yaw" in YAW_PITCH_ROLL_QUESTION
    assert "(X right, Y down, Z forward)?  Give" in TRANSLATION_DIRECTION_QUESTION
    assert TRANSLATION_DISTANCE_QUESTION.startswith("Estimate the magnitude")
    assert rotation_angle_answer(89.6547345694857) == "Rotation angle: 89.7 degrees"
    answer = yaw_pitch_roll_answer(89.60077227075526, 2.598684372865458, 6.072327841623985)
    assert answer == "Yaw=+89.6°, Pitch=+2.6°, Roll=+6.1°"
    answer = translation_direction_answer((-0.6937, 0.0200, 0.7200))
    assert answer == "The camera moves left, forward, unit vector (-0.69, +0.02, +0.72)."
    assert translation_distance_answer(1.9806591332884265) == "Translation distance: 1.98 meters"


def test_numbers_have_no_negative_zero():
    assert yaw_pitch_roll_answer(-0.04, 0, -1e-9) == "Yaw=+0.0°, Pitch=+0.0°, Roll=+0.0°"
    assert translation_direction_answer((-0.001, 0, 1)).endswith("(+0.00, +0.00, +1.00).")


def test_direction_words():
    assert "moves right, down, backward," in translation_direction_answer((3**-0.5, 3**-0.5, -(3**-0.5)))
    assert "moves up," in translation_direction_answer((0.05, -((1 - 0.05**2) ** 0.5), 0))


# ---- There and back


@given(st.floats(0.01, 9999))
def test_depth_comes_back_within_half_a_centimetre(metres):
    assert parse_depth(depth_answer(metres)) == pytest.approx(metres, abs=0.005001)


@given(st.tuples(*[st.integers(0, 999)] * 2), st.one_of(st.none(), st.tuples(*[st.integers(0, 999)] * 2)))
def test_correspondence_comes_back(place, think_from):
    assert parse_correspondence(correspondence_answer(place, think_from)) == place


@given(st.floats(0, 180), st.tuples(*[st.floats(-180, 180)] * 3), st.floats(0, 1e4))
def test_pose_comes_back(angle, yaw_pitch_roll, metres):
    assert parse_rotation_angle(rotation_angle_answer(angle)) == pytest.approx(angle, abs=0.0501)
    assert parse_yaw_pitch_roll(yaw_pitch_roll_answer(*yaw_pitch_roll)) == pytest.approx(yaw_pitch_roll, abs=0.0501)
    assert parse_translation_distance(translation_distance_answer(metres)) == pytest.approx(metres, abs=0.005001)


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: math.hypot(*v) > 0.1))
def test_direction_comes_back(vector):
    unit = [component / math.hypot(*vector) for component in vector]
    found = parse_translation_direction(translation_direction_answer(unit))
    assert found == pytest.approx(unit, abs=0.015)
    assert math.hypot(*found) == pytest.approx(1)


# ---- What counts and what does not


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("<THINK> 9 </THINK><Answer> 2.5 </ANSWER>", 2.5),
        ("<answer>2.37</answer>", 2.37),
        ("<answer>\n 2 \n</answer>", 2.0),
        ("<think> about 9 </think> <answer> 1.5 </answer> meters", 1.5),
        ("<answer>1</answer> no, <answer>3.5</answer>", 3.5),
        ("<answer>+2</answer>", 2.0),
        ("<answer>.5</answer>", 0.5),
        ("<answer>1e1</answer>", 10.0),
        ("<answer>1.25E-1</answer>", 0.125),
        ("<answer>12345678</answer>", 12345678.0),
        ("<answer>2.3456789012345678</answer>", 2.345678901234568),
        ("<answer>" + "0" * 5000 + "2</answer>", 2.0),
    ],
)
def test_depths_that_count(text, metres):
    assert parse_depth(text) == metres


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "about two metres",
            "2.37",
            "<answer>1.2.3</answer>",
            "<answer>NaN</answer>",
            "<answer>1e400</answer>",
            "<answer>" + "9" * 5000 + "</answer>",
        ),
        *(
            "<answer>inf</answer>",
            "<answer>e3</answer>",
            "<answer>1e</answer>",
            "<answer>.</answer>",
            "<answer> 2.37",
            "2.37</answer>",
            "<answer>-2</answer>",
        ),
        *("<answer>0</answer>", "<answer></answer>", "<answer>2 meters</answer>", "<answer>1 2</answer>"),
        *(
            "<think> <answer>2</answer>",
            "<answer>2</answer><answer>3",
            "<answer>٣</answer>",
        ),
        *("<think><answer>2</answer></think>", "<answer>0x10</answer>", "<answer>1_0</answer>", "</answer><answer>"),
    ],
)
def test_depths_that_do_not(text):
    assert parse_depth(text) is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("(338, 52)", (338, 52)),
        ("<think> (1, 2)? </think>\n\n( 338.5 ,52 )", (338.5, 52)),
        ("The pixel is (338, 52).", (338, 52)),
        ("(1, 2), or rather (3, 4)", (3, 4)),
        ("<think> (1, 2)", None),
        ("338, 52", None),
        ("(338, 52", None),
        ("(1000, 52)", None),
        ("(-1, 52)", None),
        ("(1.2.3, 4)", None),
        ("(1e2, 4)", (100, 4)),
        ("(.5, 4)", (0.5, 4)),
        ("(1e400, 4)", None),
        ("(1, 2, 3)", None),
        ("(nan, 4)", None),
    ],
)
def test_places(text, place):
    assert parse_correspondence(text) == place


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (parse_rotation_angle, "Rotation angle: 89.7 degrees", 89.7),
        (parse_rotation_angle, "89.7°", 89.7),
        (parse_rotation_angle, "Rotation angle: 189.7 degrees", None),
        (parse_rotation_angle, "Rotation angle: -9 degrees", None),
        (parse_rotation_angle, "Rotation angle: \u22129 degrees", None),
        (parse_yaw_pitch_roll, "Yaw=+1.0°, Pitch=\u22122.0°, Roll=3°", (1, -2, 3)),
        (parse_translation_direction, "unit vector (0, \u22121, 0)", (0, -1, 0)),
        (parse_rotation_angle, "Rotation angle: 89.7", None),
        (parse_rotation_angle, "Rotation angle: 1.2.3 degrees", None),
        (parse_rotation_angle, "Rotation angle: 1e5 degrees", None),
        (parse_yaw_pitch_roll, "yaw = -3, pitch = 4, roll = 5.", (-3, 4, 5)),
        (parse_yaw_pitch_roll, "Yaw=+89.6°, Pitch=+2.6°", None),
        (parse_yaw_pitch_roll, "Yaw=+896°, Pitch=+2.6°, Roll=1°", None),
        (parse_yaw_pitch_roll, "Yaw=1.2.3°, Pitch=+2.6°, Roll=1°", None),
        (parse_yaw_pitch_roll, "Yaw=1e400°, Pitch=+2.6°, Roll=1°", None),
        (parse_translation_direction, "unit vector (0, 0, 5)", (0, 0, 1)),
        (parse_translation_direction, "unit vector (0, 0, 0)", None),
        (parse_translation_direction, "forward", None),
        (parse_translation_direction, "(1, 2)", None),
        (parse_translation_distance, "Translation distance: 1.98 meters", 1.98),
        (parse_translation_distance, "1.98 m", 1.98),
        (parse_translation_distance, ".5 m", 0.5),
        (parse_translation_distance, "1e1 meters", 10.0),
        (parse_translation_direction, "(0, 1e300, 0)", (0, 1, 0)),
        (parse_translation_distance, "1.98 metres", 1.98),
        (parse_translation_distance, "-1.98 meters", None),
        (parse_translation_distance, "1.98 miles", None),
        (parse_translation_distance, "1.98", None),
    ],
)
def test_pose_texts(parser, text, value):
    assert parser(text) == value


@given(TEXTS)
def test_parsers_survive_anything(text):
    for parser in PARSERS:
        found = parser(text)
        values = () if found is None else found if isinstance(found, tuple) else (found,)
        assert all(isinstance(value, float) and math.isfinite(value) for value in values)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("text", [None, 3, b"<answer>1</answer>", ["x"], math.nan])
def test_what_is_no_text_is_no_answer(parser, text):
    assert parser(text) is None


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "1",
        "1.",
        " ",
        "(1, ",
        "<answer>",
        "<think>",
        "Yaw=",
        "1 ",
        "+",
        "1.1",
        "(1,1,",
        "yaw  ",
        "a1",
        "1e1",
        ".1",
        "e",
    ],
)
def test_parsers_take_linear_time(parser, piece):
    assert grows_linearly(parser, piece)


@pytest.mark.parametrize("metres", [0, -1, math.nan, math.inf])
def test_impossible_depths_are_not_written(metres):
    with pytest.raises(ValueError, match="positive number of metres"):
        depth_answer(metres)


def test_impossible_poses_are_not_written():
    with pytest.raises(ValueError, match="length 1"):
        translation_direction_answer((0, 0, 0))
    with pytest.raises(ValueError, match="length 1"):
        translation_direction_answer((math.nan, 0, 1))
    with pytest.raises(ValueError, match="not negative"):
        rotation_angle_answer(-1)
    with pytest.raises(ValueError, match="not negative"):
        translation_distance_answer(math.inf)
    with pytest.raises(ValueError, match="finite"):
        yaw_pitch_roll_answer(math.nan, 0, 0)
