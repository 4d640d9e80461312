"""Boxes as text: what is written comes back, and a parser that survives anything a model writes instead."""

import json

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from igep.text_boxes import (
    NEGATIVE_SIZE,
    NO_BOX,
    NOT_JSON,
    UNFINISHED_THOUGHT,
    WRONG_FRAME,
    WRONG_LENGTH,
    WRONG_NUMBER,
    BoxAnswer,
    TextBox,
    box_answer,
    box_question,
    parse_boxes,
)


BOX = TextBox(2, (-0.31, 0.42, 2.05, 0.5, 1.0, 0.52, 12.3, -8.0, 1.5))
OTHER = TextBox(0, (1.0, 0.0, 3.0, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0))
TEXT = '{"frame": 2, "bbox_3d": [-0.31, 0.42, 2.05, 0.50, 1.00, 0.52, 12.3, -8.0, 1.5]}'
METRES, ANGLES = st.floats(-1000, 1000), st.floats(-360, 360)
BOXES = st.builds(
    lambda frame, centre, size, angles: TextBox(frame, (*centre, *size, *angles)),
    st.integers(0, 7),
    st.tuples(*[METRES] * 3),
    st.tuples(*[st.floats(0, 1000)] * 3),
    st.tuples(*[ANGLES] * 3),
)
FRAGMENTS = st.sampled_from(
    [
        *('"frame"', '"bbox_3d"', ":", "{", "}", "[", "]", ",", " ", "\n", "```json", "```", "<think>", "</think>"),
        *(
            "1",
            "-1",
            "2.5",
            "1e400",
            "NaN",
            "Infinity",
            "null",
            "true",
            '"2"',
            "9" * 5000,
            TEXT,
            "[]",
            "٣",
            "__import__",
        ),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=40).map("".join))


def numbers(*values: object) -> str:
    return json.dumps({"frame": 2, "bbox_3d": list(values)})


def test_word_for_word():
    assert box_answer([BOX]) == TEXT
    assert box_answer([BOX], any_number=True) == f"[{TEXT}]"
    assert box_answer([], any_number=True) == "[]"
    assert box_question("Where is the chair?").startswith("Where is the chair?\nAnswer with the number of a frame")
    assert box_question("Which chairs?", any_number=True).endswith("the list is empty: []")
    assert "-0.0" not in box_answer([TextBox(0, (-0.001, 0, 1, 0, 0, 0, -0.01, 0, 0))])


@given(st.lists(BOXES, max_size=4))
def test_what_is_written_comes_back(boxes):
    text = box_answer(boxes, any_number=True)
    back = parse_boxes(text, 8)
    assert back.problems == ()
    assert [each.frame for each in back.boxes] == [each.frame for each in boxes]
    for found, true in zip(back.boxes, boxes, strict=True):
        lengths = [*true.box[:3], *(max(size, 0.01) for size in true.box[3:6])]
        assert found.box[:6] == pytest.approx(lengths, abs=0.005 + 1e-9)
        assert found.box[6:] == pytest.approx(true.box[6:], abs=0.05 + 1e-9)
    assert box_answer(back.boxes, any_number=True) == text


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"The chair is here: {TEXT}. It has four legs {{really}}.",
        f"```json\n{TEXT}\n```",
        f"<think>Not {numbers(1, 2, 3)}, but</think>\n\n{TEXT}",
        TEXT.replace(" ", "\n\t"),
        TEXT.replace('"frame": 2', '"label": "chair", "frame": 2.0'),
        f"[{TEXT}]",
    ],
)
def test_what_stands_around_a_box_does_not_matter(text):
    assert parse_boxes(text, 3) == BoxAnswer((BOX,), ())


def test_several_boxes_in_any_form():
    both = [OTHER, BOX]
    assert parse_boxes(box_answer(both, any_number=True), 3).boxes == tuple(both)
    assert parse_boxes(f"{box_answer([OTHER])} and {TEXT}", 3).boxes == tuple(both)


@pytest.mark.parametrize("text", ["[]", "```json\n[ ]\n```", "<think>Two chairs [2]?</think> None: []"])
def test_no_object(text):
    assert parse_boxes(text, 3) == BoxAnswer((), ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", NO_BOX),
        ("There is no chair.", NO_BOX),
        ('{"frame": 2}', NO_BOX),
        ("<answer>3</answer>", NO_BOX),
        (None, NO_BOX),
        (f"<think>{TEXT}", UNFINISHED_THOUGHT),
        (f"</think><think>{TEXT}", UNFINISHED_THOUGHT),
        (TEXT[:-1], NOT_JSON),
        (TEXT[:40], NOT_JSON),
        (TEXT.replace("2.05", "2.05.1"), NOT_JSON),
        (TEXT.replace("2.05", "(2.05)"), NOT_JSON),
        (TEXT.replace("1.5]", "9" * 5000 + "]"), NOT_JSON),
        (TEXT.replace('"frame": 2, ', ""), WRONG_FRAME),
        (TEXT.replace("2,", "3,", 1), WRONG_FRAME),
        (TEXT.replace("2,", "-1,", 1), WRONG_FRAME),
        (TEXT.replace("2,", "1.5,", 1), WRONG_FRAME),
        (TEXT.replace("2,", "NaN,", 1), WRONG_FRAME),
        (TEXT.replace("2,", '"2",', 1), WRONG_FRAME),
        (TEXT.replace("2,", "true,", 1), WRONG_FRAME),
        (numbers(1, 2, 3, 1, 1, 1), WRONG_LENGTH),
        (numbers(*range(10)), WRONG_LENGTH),
        (numbers(), WRONG_LENGTH),
        ('{"frame": 1, "bbox_3d": "far"}', WRONG_LENGTH),
        ('{"frame": 1, "bbox_3d": null}', WRONG_LENGTH),
        (numbers(float("nan"), 2, 3, 1, 1, 1, 0, 0, 0), WRONG_NUMBER),
        (numbers(float("inf"), 2, 3, 1, 1, 1, 0, 0, 0), WRONG_NUMBER),
        (numbers(10**400, 2, 3, 1, 1, 1, 0, 0, 0), WRONG_NUMBER),
        (numbers(1, 2, 1001, 1, 1, 1, 0, 0, 0), WRONG_NUMBER),
        (numbers(1, 2, 3, 1, 1, 1, 0, 361, 0), WRONG_NUMBER),
        (numbers(1, 2, 3, 1, 1, 1, "0", 0, 0), WRONG_NUMBER),
        (numbers(1, 2, True, 1, 1, 1, 0, 0, 0), WRONG_NUMBER),
        (numbers(1, 2, 3, 1, -0.5, 1, 0, 0, 0), NEGATIVE_SIZE),
    ],
)
def test_what_is_no_box_is_named(text, problem):
    assert parse_boxes(text, 3) == BoxAnswer((), (problem,))


def test_boxes_that_are_none_stand_beside_those_that_are():
    text = f"[{TEXT}, {numbers(1, 2)}, {TEXT[:30]}"
    assert parse_boxes(text, 3) == BoxAnswer((BOX,), (WRONG_LENGTH, NOT_JSON))


@given(TEXTS, st.integers(1, 40))
def test_nothing_raises(text, num_frames):
    found = parse_boxes(text, num_frames)
    assert all(0 <= each.frame < num_frames and min(each.box[3:6]) >= 0 for each in found.boxes)


@pytest.mark.parametrize("piece", ["{", "{a", '{"bbox_3d"', "[ ", "}", "{}", "<think>", '"bbox_3d"', "[["])
def test_long_answers_take_time_by_their_length(piece):
    assert grows_linearly(lambda text: parse_boxes(text, 3), piece)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "0 boxes answer"),
        ([BOX, BOX], "2 boxes answer"),
        ([BOX._replace(frame=-1)], WRONG_FRAME),
        ([BOX._replace(box=BOX.box[:6])], WRONG_LENGTH),
        ([BOX._replace(box=(float("nan"), *BOX.box[1:]))], WRONG_NUMBER),
        ([BOX._replace(box=(*BOX.box[:3], -1.0, *BOX.box[4:]))], NEGATIVE_SIZE),
    ],
)
def test_what_cannot_be_written_is_refused(boxes, message):
    with pytest.raises(ValueError, match=message):
        box_answer(boxes)
