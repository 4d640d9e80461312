"""Predictions beside references: nothing is dropped."""

import pytest

from igep.trainers.metrics.sample_pairs import (
    check_protocol,
    mean_by_type,
    pair_samples,
    per_cent_by_type,
    predicted_text,
)


def rows(*ids, **more):
    return [{"sample_id": sample_id, **more} for sample_id in ids]


def test_any_order_and_what_is_missing():
    pairs, counts = pair_samples(rows("c", "a"), rows("a", "b", "c"))
    assert [pair.sample_id for pair in pairs] == ["a", "b", "c"]
    assert [pair.prediction is None for pair in pairs] == [False, True, False]
    assert counts == {"missing": 1, "duplicates": 0}


def test_numbers_are_ids_too():
    pairs, _ = pair_samples(rows(7), rows("7"))
    assert pairs[0].prediction is not None


def test_duplicates_are_kept_in_order_where_asked_for():
    predictions = [{"sample_id": "a", "answer": text} for text in ("first", "second")]
    pairs, counts = pair_samples(predictions, rows("a", "a"), keep_duplicates=True)
    assert [pair.prediction["answer"] for pair in pairs] == ["first", "second"]
    assert counts == {"missing": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "nothing to score"),
        (rows("a"), [], "nothing to score"),
        (rows("x", "y"), rows("a"), r"2 sample ids that references does not, 'x', 'y'"),
        (rows(*"uvwxyz"), rows("a"), r"'u', 'v', 'w', 'x', 'y', \.\.\."),
        (rows("a", "a"), rows("a"), "predictions holds 1 sample ids more than once, 'a'"),
        (rows("a"), rows("a", "a"), "references holds the sample 'a' more than once"),
        ([{"answer": "x"}], rows("a"), "predictions holds a row without a sample_id"),
        (rows("a"), rows(None), "references holds a row without a sample_id"),
    ],
)
def test_bad_ids_are_named(predictions, references, message):
    with pytest.raises(ValueError, match=message):
        pair_samples(predictions, references)


def test_references_that_disagree_are_refused_even_where_duplicates_are_kept():
    with pytest.raises(ValueError, match="more than once"):
        pair_samples(rows("a"), [*rows("a", answers=["x"]), *rows("a", answers=["y"])], keep_duplicates=True)


def test_a_prediction_that_is_no_text_is_named():
    pairs, _ = pair_samples(rows("a", answer=3), rows("a"))
    with pytest.raises(ValueError, match="answer=3 of sample 'a'"):
        predicted_text(pairs[0], "answer")


def test_means():
    assert mean_by_type([1, 0, 1, 1], ["b", "b", "a", "b"]) == {"all": 0.75, "a": 1, "b": pytest.approx(2 / 3)}


def test_protocols_are_named():
    with pytest.raises(ValueError, match="protocol='peers' is unknown: use one of peer, standard"):
        check_protocol("peers", ("peer", "standard"))


def test_per_cent_of_all_and_of_each_type():
    found = per_cent_by_type({"accuracy": [True, False, True]}, ["b", "b", "a"])
    assert found == pytest.approx(
        {"accuracy": 200 / 3, "a_accuracy": 100, "b_accuracy": 50, "a_count": 1, "b_count": 2}
    )
