"""LEO's cleaning as it was run, and plain normalisation."""

import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.answer_matching import (
    leo_clean_answer,
    leo_refined_match,
    normalise_answer,
    refined_match,
)


def test_golden_cleaning():
    for case in golden("sqa3d"):
        for pair in case.get("clean_answer", []):
            assert leo_clean_answer(pair["in"]) == pair["out"], pair
        for item in case["items"]:
            assert leo_clean_answer(item["pred_response"]) == item["expected"]["clean_pred"]
            assert leo_clean_answer(item["gt_response"]) == item["expected"]["clean_gt"]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("2.0", "twenty"),  # the point goes before the number is read
        ("1-2", "one-two"),
        ("\tthe chair\n", "\tchair\n"),  # only spaces are stripped
        (" \n", "\n"),  # and a space before the last line break
        ("the a chair", "chair"),
        ("İstanbul é", "istanbul "),
    ],
)
def test_leo_by_hand(text, cleaned):
    assert leo_clean_answer(text) == cleaned


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The chair.", "chair"),
        ("yes .", "yes"),
        ("Two chairs", "2 chairs"),
        ("twenty-three", "23"),
        ("twenty three", "23"),
        ("twenty ten", "20 10"),
        ("2.0", "2"),
        ("2.50 m", "2.5 m"),
        ("1,000", "1000"),
        ("L-shaped!", "l shaped"),
        ("it's", "its"),
        ("o’clock", "oclock"),
        ("to the left of a desk", "to left of desk"),
        ("the", "the"),
        ("TV2", "tv2"),
        ("Ｃａｆé", "café"),
        ("椅子。", "椅子"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_plain_by_hand(text, plain):
    assert normalise_answer(text) == plain


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from(["the", "a", "two", "twenty", "2.0", ",", "'", "chair"])).map(" ".join)
    )
)
def test_plain_answers_stay(text):  # fmt: skip
    plain = normalise_answer(text)
    assert normalise_answer(plain) == plain
    assert plain == " ".join(plain.split())


def test_refined_match_goes_by_whole_words():
    assert refined_match("left side", ["left"])
    assert refined_match("left", ["on left side"])
    assert not refined_match("no", ["brown nose"])
    assert not refined_match("side left", ["left side"])
    assert not refined_match("", ["chair"])
    assert not refined_match("chair", [""])
    assert refined_match("", [""])


def test_leos_refined_match_is_any_substring():
    assert leo_refined_match("no", ["brown nose"])
    assert leo_refined_match("", ["chair"])
    assert leo_refined_match("left side", ["leftside"])
    assert not leo_refined_match("chair", ["table", "desk"])
