"""ScanQA on all four scales: the evaluators' cases, answers by hand, and what is missing, empty or double."""

import evaluate
import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.scanqa import PROTOCOLS, ScanQA, scanqa_scores
from igep.trainers.package_files import PACKAGE


TEXT = st.one_of(st.text(max_size=12), st.sampled_from(["two", "2", "the left side", "TV.", "..."]))


def score(answers, truths, protocol="standard"):
    predictions = [{"sample_id": str(index), "answer": answer} for index, answer in enumerate(answers)]
    references = [{"sample_id": str(index), "answers": answers} for index, answers in enumerate(truths)]
    return scanqa_scores(predictions, references, protocol)


def rows(items):
    return (
        [{"sample_id": item["sample_id"], "answer": item["pred_response"]} for item in items],
        [{"sample_id": item["sample_id"], "answers": item["references"]} for item in items],
    )


@pytest.mark.parametrize("case", golden("scanqa"), ids=lambda case: case["name"])
def test_golden(case):
    predictions, references = rows(case["items"])
    scores = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "scanqa.py")).compute(
        predictions=predictions, references=references, protocol="peer"
    )
    expected = case["expected"]
    assert scores["exact_match"] == pytest.approx(100 * expected["EM"], abs=1e-9)
    for key, name in {"CIDEr": "cider", "ROUGE-L": "rouge_l"}.items():
        assert scores[name] == pytest.approx(expected[key], rel=1e-9)
    for order in (1, 2, 3, 4):
        assert scores[f"bleu_{order}"] == pytest.approx(expected[f"BLEU-{order}"], rel=1e-9)
    assert scores["count"] == expected["n_records"]
    assert scores["duplicates"] == expected["n_records"] - expected["count"]


def test_golden_leo():
    for case in golden("scanqa"):
        expected = case.get("expected_llava3d")
        if expected:
            scores = scanqa_scores(*rows(case["items"]), protocol="leo")
            names = {
                "EM1": "exact_match",
                "EM1_refined": "refined_exact_match",
                "CIDEr": "cider",
                "ROUGE_L": "rouge_l",
            }
            names |= {f"Bleu_{order}": f"bleu_{order}" for order in (1, 2, 3, 4)}
            for key, name in names.items():
                assert scores[name] == pytest.approx(100 * expected[key], rel=1e-9), key


def test_the_same_answers_on_four_scales():
    answers = ["Two.", "The left side", "brown", "yes", "Wall"]
    truths = [["2"], ["left side"], ["brown"], ["no"], ["wall"]]
    by_protocol = {protocol: score(answers, truths, protocol) for protocol in PROTOCOLS}
    assert {protocol: scores["exact_match"] for protocol, scores in by_protocol.items()} == {
        "peer": 20,
        "official": 20,
        "leo": 80,
        "standard": 80,
    }
    assert "refined_exact_match" not in by_protocol["peer"]
    assert by_protocol["official"]["cider"] == by_protocol["standard"]["cider"] != by_protocol["peer"]["cider"]


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_text_is_scored(pairs):
    for protocol in PROTOCOLS:
        scores = score([pair[0] for pair in pairs], [pair[1] for pair in pairs], protocol)
        assert scores["count"] == len(pairs)
        assert all(0 <= scores[name] <= 100 + 1e-6 for name in ("exact_match", "bleu_1", "rouge_l"))
        assert scores["exact_match"] <= scores.get("refined_exact_match", 100)


def test_a_true_answer_is_right_everywhere():
    truths = [["brown", "dark brown"], ["2"], ["to the left of the desk"]]
    for protocol in PROTOCOLS:
        assert score([truth[-1] for truth in truths], truths, protocol)["exact_match"] == 100


def test_empty_answers_match_nothing_but_by_leo():
    refined = {protocol: score(["", "?!"], [["x"], ["y"]], protocol) for protocol in ("leo", "standard")}
    assert refined["leo"]["refined_exact_match"] == 100
    assert refined["standard"]["refined_exact_match"] == 0
    assert refined["standard"]["empty"] == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_missing_answers_are_wrong_and_counted(protocol):
    predictions = [{"sample_id": "0", "answer": None}, {"sample_id": "2", "answer": "x"}]
    references = [{"sample_id": str(index), "answers": ["x"]} for index in range(4)]
    scores = scanqa_scores(predictions, references, protocol)
    assert (scores["exact_match"], scores["missing"], scores["empty"], scores["count"]) == (25, 3, 0, 4)
    assert scores.get("refined_exact_match", 25) == 25


def test_of_two_answers_the_peers_count_both_and_caption_the_last():
    references = [{"sample_id": "a", "answers": ["x"]}, {"sample_id": "b", "answers": ["y"]}]
    predictions = [{"sample_id": "a", "answer": text} for text in ("x", "z")] + [{"sample_id": "b", "answer": "y"}]
    scores = scanqa_scores(predictions, references, "peer")
    assert scores["exact_match"] == pytest.approx(200 / 3)
    assert (scores["cider"], scores["duplicates"], scores["count"]) == (125, 1, 3)
    for protocol in PROTOCOLS[1:]:
        with pytest.raises(ValueError, match="more than once, 'a'"):
            scanqa_scores(predictions, references, protocol)


def test_ids_of_the_processed_file_name_a_question_and_an_answer():
    references = [{"sample_id": "scanqa_val-scene0011-0_0", "answers": ["x"]}]
    predictions = [{"sample_id": "scanqa_val-scene0011-0_3", "answer": "x"}]
    assert scanqa_scores(predictions, references, "peer")["exact_match"] == 100
    with pytest.raises(ValueError, match="references does not"):
        scanqa_scores(predictions, references)


@pytest.mark.parametrize("answers", [[], None, [None], [3]])
def test_references_without_answers_are_named(answers):
    with pytest.raises(ValueError, match="answers=.* of sample '0'"):
        score(["x"], [answers])


def test_through_evaluate():
    predictions = [{"sample_id": "a", "answer": None}, {"sample_id": "b", "answer": "Yes"}]
    references = [{"sample_id": name, "answers": ["yes"]} for name in "ba"]
    metric = ScanQA()
    assert metric.compute(predictions=predictions, references=references) == scanqa_scores(predictions, references)
    for prediction, reference in zip(predictions, references, strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute(protocol="leo") == scanqa_scores(predictions, references, "leo")
    with pytest.raises(ValueError, match="one of peer, official, leo, standard"):
        metric.compute(predictions=predictions, references=references, protocol="coco")
