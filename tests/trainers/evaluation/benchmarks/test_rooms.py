"""What a guess reaches that reads questions about rooms and sees no frame."""

from collections import Counter

import pytest

from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.rooms import (
    HELD_OUT_SEED,
    Rooms,
    answers_of_other_rooms,
    blind_answers,
    held_out_rooms,
)


def row(kind: str, question: str, answer: str) -> dict[str, str]:
    return {"question_type": kind, "question": question, "answer": answer, "prediction": None}


ROWS = [
    row("distance", "How many metres away is the box in red?", "2.0"),
    row("closer", "Which is closer, the box in red or the box in blue?", "blue"),
    row("closer", "Which is closer, the box in green or the box in blue?", "green"),
    row("closer", "Which is closer, the box in pink or the sphere in pink?", "pink"),
    row("count", "How many boxes are there?", "1"),
]
COUNTED = {
    "distance": Counter({"3.0": 2, "2.0": 5}),
    "closer": Counter({"red": 9, "blue": 4, "green": 1, "pink": 1}),
}


def test_the_guess_is_the_commonest_answer_among_those_that_the_question_names():
    assert [answered["prediction"] for answered in blind_answers(ROWS, COUNTED)] == [
        "2.0",
        "red",
        "blue",
        "pink",
        None,
    ]
    assert [answered["prediction"] for answered in ROWS] == [None] * 5


def test_it_is_counted_on_rooms_that_are_not_scored_and_stands_beside_the_score():
    rooms = 24
    counted = answers_of_other_rooms(rooms)
    scored = [
        row(kind, question, answer) | {"prediction": answer}
        for room in held_out_rooms(rooms, seed=HELD_OUT_SEED)
        for (question, answer), kind in zip(room.conversation, room.question_types, strict=True)
    ]
    figures, facts = Rooms().figures(scored, BenchmarkOptions(held_out_rooms=rooms))
    blind = facts["without_looking"]
    assert blind.keys() == figures.keys()
    assert all(figure.value == 1 for figure in figures.values())
    left_right = [asked for asked in scored if asked["question_type"] == "left_right"]
    guess = max(("left", "right"), key=counted["left_right"].__getitem__)
    share = sum(asked["answer"] == guess for asked in left_right) / len(left_right)
    assert blind["exact match, left_right"] == pytest.approx(share)
    assert 0.3 < blind["exact match, closer"] < 0.7  # one of the two that are named
