"""SQA3D's exact match per question type: the evaluators' cases, by hand, and bad input."""

import evaluate
import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.sqa3d import PROTOCOLS, SQA3D, sqa3d_scores
from igep.trainers.package_files import PACKAGE


LEO_TYPES = ("what", "is", "how", "can", "which", "others")  # by their numbers in LLaVA-3D's files


def score(pairs, protocol="standard"):
    predictions = [{"sample_id": str(index), "answer": pair[0]} for index, pair in enumerate(pairs)]
    references = [
        {"sample_id": str(index), "answers": [pair[1]], "question_type": pair[2] if len(pair) > 2 else "what"}
        for index, pair in enumerate(pairs)
    ]
    return sqa3d_scores(predictions, references, protocol)


def rows(case):
    return (
        [{"sample_id": str(item["sample_id"]), "answer": item["pred_response"]} for item in case["items"]],
        [
            {
                "sample_id": str(item["sample_id"]),
                "answers": [item["gt_response"]],
                "question_type": item["question_type"],
            }
            for item in case["items"]
        ],
    )


@pytest.mark.parametrize("case", golden("sqa3d"), ids=lambda case: case["name"])
def test_golden(case):
    predictions, references = rows(case)
    scores = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "sqa3d.py")).compute(
        predictions=predictions, references=references, protocol="peer"
    )
    names = {"EM": "exact_match", "n": "count"}
    for key, expected in case["expected"].items():
        name, question_type = key.split("/")
        prefix = "" if question_type == "all" else f"{question_type}_"
        assert scores[prefix + names[name]] == pytest.approx(expected, abs=1e-9), key
    for item, prediction, reference in zip(case["items"], predictions, references, strict=True):
        one = sqa3d_scores([prediction], [reference], "leo")
        assert one["exact_match"] == 100 * item["expected_llava3d"]["em"]
        assert one["refined_exact_match"] == 100 * item["expected_llava3d"]["em_refined"]


def test_golden_leo():
    for case in golden("sqa3d"):
        scores = sqa3d_scores(*rows(case), protocol="leo")
        expected = case["expected_llava3d"]
        assert scores["exact_match"] == pytest.approx(100 * expected["EM1"])
        assert scores["refined_exact_match"] == pytest.approx(100 * expected["EM1_refined"])
        for number, question_type in enumerate(LEO_TYPES):
            assert scores[f"{question_type}_exact_match"] == pytest.approx(100 * expected[f"EM_type{number}"])
            refined = 100 * expected[f"EM_refined_type{number}"]
            assert scores[f"{question_type}_refined_exact_match"] == pytest.approx(refined)


def test_where_the_peers_go_wrong():
    pairs = [("yes .", "yes"), ("TV2", "TV 2"), ("2.0", "two"), ("café", "café"), ("thé", "th")]
    assert score(pairs, "peer")["exact_match"] == pytest.approx(100 * 2 / 5)  # "café" and, wrongly, "thé"
    assert score(pairs)["exact_match"] == pytest.approx(100 * 3 / 5)  # "yes .", "2.0" and "café"


def test_types_by_hand():
    scores = score([("left", "left", "which"), ("right", "left", "which"), ("yes", "yes", "is")])
    assert scores["which_exact_match"] == 50
    assert scores["is_exact_match"] == 100
    assert scores["exact_match"] == pytest.approx(200 / 3)  # over questions, not types
    assert (scores["which_count"], scores["count"]) == (2, 3)


def test_empty_and_missing():
    for protocol in PROTOCOLS:
        scores = score([("", ""), (None, "no"), (None, "")], protocol)
        assert scores["exact_match"] == pytest.approx(100 / 3)
        assert (scores["missing"], scores["empty"]) == (2, 1)
        assert scores.get("refined_exact_match", 100 / 3) == pytest.approx(100 / 3)
    assert score([("", "no")], "leo")["refined_exact_match"] == 100
    assert score([("", "no")])["refined_exact_match"] == 0


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_any_text_is_scored_and_equals_itself(pairs):
    for protocol in PROTOCOLS:
        assert score(pairs, protocol)["count"] == len(pairs)
        assert score([(true, true) for _, true in pairs], protocol)["exact_match"] == 100


def test_duplicates():
    predictions = [{"sample_id": "a", "answer": text} for text in ("x", "y")]
    references = [{"sample_id": "a", "answers": ["x"], "question_type": "what"}]
    scores = sqa3d_scores(predictions, references, "peer")
    assert (scores["exact_match"], scores["duplicates"], scores["count"]) == (50, 1, 2)
    with pytest.raises(ValueError, match="more than once"):
        sqa3d_scores(predictions, references)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"answers": [], "question_type": "what"}, "answers="),
        ({"answers": ["x"], "question_type": ""}, "question_type=''"),
        ({"answers": ["x"]}, "question_type=None"),
    ],
)
def test_bad_references_are_named(reference, message):
    with pytest.raises(ValueError, match=message):
        sqa3d_scores([{"sample_id": "a", "answer": "x"}], [{"sample_id": "a", **reference}])


def test_through_evaluate():
    predictions = [{"sample_id": "a", "answer": None}, {"sample_id": "b", "answer": "Yes"}]
    references = [{"sample_id": name, "answers": ["yes"], "question_type": "is"} for name in "ba"]
    assert SQA3D().compute(predictions=predictions, references=references) == sqa3d_scores(predictions, references)
