"""VSI-Bench: what each parser reads, relative accuracy by hand, the mean of eight, and bad input."""

import math

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.vsi_bench import (
    CHOICES,
    DIRECTIONS,
    NUMBERS,
    PROTOCOLS,
    VSIBench,
    lmms_eval_number,
    mean_relative_accuracy,
    peer_number,
    standard_letter,
    standard_number,
    vsi_bench_scores,
)
from igep.trainers.package_files import PACKAGE


# text: what the authors' code, lmms-eval 0.7.3 and ours read; the first two were run on it
READ = {
    "3": (3, 3, 3),
    "3.": (3, 3, 3),
    "2.5 metres": (2.5, 2.5, 2.5),
    "2.5m": (None, 2.5, 2.5),
    "three": (None, 3, 3),
    "There are 3 chairs": (None, 3, 3),
    "one apple, room 2": (None, 1, 1),
    "twenty-one": (None, 21, 21),
    "three hundred and twenty-one": (None, 321, 321),
    "two thousand": (None, 2000, 2000),
    "1,200": (None, 1, 1200),
    "1,23": (None, 1, 1),
    ".5": (0.5, 5, 0.5),
    "-2": (-2, -2, -2),
    "1e3": (1000, 1, 1),
    "3\nchairs": (None, 3, 3),
    "\n3": (3, 3, 3),
    "": (None, None, None),
    "no idea": (None, None, None),
    "１２": (12, 12, 12),
}


def score(answers, question_type, truth, protocol="standard"):
    predictions = [{"sample_id": str(index), "answer": answer} for index, answer in enumerate(answers)]
    references = [
        {"sample_id": str(index), "question_type": question_type, "ground_truth": truth}
        for index in range(len(answers))
    ]
    return vsi_bench_scores(predictions, references, protocol)


@pytest.mark.parametrize("text", READ)
def test_numbers(text):
    assert (peer_number(text), lmms_eval_number(text), standard_number(text)) == READ[text]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("(C)", "C"),
        ("**D**", "D"),
        ("B) the chair", "B"),
        ("C because it is closer", "C"),
        ("The answer is B.", "B"),
        ("Answer: (d)", "D"),
        ("I pick option C", "C"),
        ("A chair is closer", None),
        ("The answer is the chair", None),
        ("None", None),
        ("", None),
    ],
)
def test_letters(text, letter):
    assert standard_letter(text) == letter


def test_letters_of_the_first_word():
    for protocol in ("peer", "lmms_eval"):
        assert score(["A", "a.", "A chair", "A)", "The answer is A", "B"], "route_planning", "A", protocol)[
            "route_planning"
        ] == pytest.approx(50)
    assert score(["A", "a.", "A chair", "A)", "The answer is A", "B"], "route_planning", "A")[
        "route_planning"
    ] == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize(
    ("predicted", "true", "share"),
    [
        (3, 3, 1),
        (0, 3, 0),
        (6, 3, 0),
        (-3, 3, 0),
        (1.5, 3, 0.1),
        (1, 2, 0.1),
        (3, 4, 0.6),
        (97, 100, 1),
        (94.9, 100, 0.9),
    ],
)
def test_relative_accuracy_by_hand(predicted, true, share):
    assert mean_relative_accuracy(predicted, true) == pytest.approx(share)


@given(st.integers(1, 20), st.integers(0, 40))
def test_rounding_decides_nothing_in_standard(true, predicted):
    exact = sum(20 * abs(predicted - true) <= steps * true for steps in range(1, 11)) / 10
    assert score([str(predicted)], "object_counting", str(true))["object_counting"] == pytest.approx(100 * exact)


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0.1, 100))
def test_relative_accuracy_is_of_the_ratio(predicted, true, scale):
    assert mean_relative_accuracy(predicted * scale, true * scale, 1e-9) == pytest.approx(
        mean_relative_accuracy(predicted, true, 1e-9), abs=0.1000001
    )


def everything(right):
    """A question of each type and two counts; the types in `right` are answered rightly."""
    kinds = [*CHOICES, *NUMBERS, "object_counting"]
    predictions = [
        {"sample_id": str(index), "answer": ("B" if kind in CHOICES else "4") if kind in right else "?"}
        for index, kind in enumerate(kinds)
    ]
    references = [
        {"sample_id": str(index), "question_type": kind, "ground_truth": "B" if kind in CHOICES else "4.0"}
        for index, kind in enumerate(kinds)
    ]
    return predictions, references


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_macro_mean_of_eight(protocol):
    right = {"object_rel_direction_easy", "route_planning", "object_counting"}
    scores = vsi_bench_scores(*everything(right), protocol)
    assert scores["object_rel_direction"] == pytest.approx(100 / 3)
    assert scores["overall"] == pytest.approx((100 / 3 + 100 + 100) / 8)
    assert (scores["tasks"], scores["object_counting_count"], scores["count"]) == (8, 2, 11)
    assert scores["object_rel_direction_count"] == 3
    assert vsi_bench_scores(*everything({*CHOICES, *NUMBERS}), protocol)["overall"] == 100


def test_absent_direction_types_count_as_0_at_the_authors():
    easy = [["B"], DIRECTIONS[0], "B"]
    assert score(*easy, "peer")["overall"] == pytest.approx(100 / 3)
    for protocol in ("lmms_eval", "standard"):
        scores = score(*easy, protocol)
        assert (scores["overall"], scores["tasks"]) == (100, 1)
    counts = [["2"], "object_counting", "2"]
    assert score(*counts, "peer")["overall"] == 50
    assert score(*counts)["overall"] == 100


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_missing_or_does_not_parse_is_counted_and_0(protocol):
    scores = score(["2", None, "?", "nan", "inf"], "object_counting", "2", protocol)
    assert (scores["object_counting"], scores["missing"], scores["unparsed"]) == (20, 1, 3)
    scores = score(["B", None, "?!?"], "route_planning", "B", protocol)
    assert (scores["missing"], scores["unparsed"]) == (1, 1)
    references = [{"sample_id": "0", "question_type": "route_planning", "ground_truth": "B"}]
    assert vsi_bench_scores([], references, protocol)["missing"] == 1


@given(st.text())
def test_any_text_is_scored(text):
    for protocol in PROTOCOLS:
        assert 0 <= score([text], "object_counting", "2", protocol)["object_counting"] <= 100
        assert score([text], "route_planning", "B", protocol)["route_planning"] in (0, 100)


@pytest.mark.parametrize(
    ("question_type", "truth", "message"),
    [
        ("counting", "2", "question_type='counting' of sample '0' is none of object_rel_direction_easy"),
        ("object_counting", "two", "ground_truth='two' .* a positive number"),
        ("object_counting", "0", "a positive number"),
        ("object_counting", "nan", "a positive number"),
        ("object_counting", 2, "as text"),
        ("route_planning", "left", "a letter"),
        ("route_planning", None, "a letter"),
    ],
)
def test_bad_references_are_named(question_type, truth, message):
    with pytest.raises(ValueError, match=message):
        score(["2"], question_type, truth)


def test_duplicates_and_unknown_ids():
    references = [{"sample_id": "a", "question_type": "route_planning", "ground_truth": "B"}]
    answer = {"sample_id": "a", "answer": "B"}
    with pytest.raises(ValueError, match="more than once"):
        vsi_bench_scores([answer, answer], references, "peer")
    with pytest.raises(ValueError, match="references does not"):
        vsi_bench_scores([{**answer, "sample_id": "b"}], references)


def test_loads_by_path():
    predictions, references = everything({"route_planning"})
    predictions[0]["answer"] = None
    loaded = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "vsi_bench.py"))
    scores = loaded.compute(predictions=predictions, references=references, protocol="lmms_eval")
    assert scores == vsi_bench_scores(predictions, references, "lmms_eval")
    assert not math.isnan(scores["overall"])
    assert VSIBench().citation
    assert loaded.description
