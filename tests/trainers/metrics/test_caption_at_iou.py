"""Scan2Cap's captions at an overlap: the published evaluator's cases, by hand, and bad input."""

import math

import evaluate
import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.caption_at_iou import CaptionAtIoU, caption_at_iou_scores
from igep.trainers.package_files import PACKAGE


CHAIR, DESK = "this is a brown chair.", "the desk is left of the door."


def score(rows, protocol="standard"):
    predictions = [{"sample_id": str(index), "caption": row[0], "iou": row[1]} for index, row in enumerate(rows)]
    references = [{"sample_id": str(index), "captions": row[2]} for index, row in enumerate(rows)]
    return caption_at_iou_scores(predictions, references, protocol)


@pytest.mark.parametrize("case", golden("scan2cap"), ids=lambda case: case["name"])
@pytest.mark.parametrize("gated", [True, False], ids=["emptied", "by overlap"])
def test_golden(case, gated):
    if not gated and case["name"] == "perfect":
        pytest.skip("its captions do not heed its overlaps")
    predictions = [
        {
            "sample_id": item["sample_id"],
            "caption": item["pred_response"] if gated else item["caption"],
            "iou": None if gated else item["iou"],
        }
        for item in case["items"]
    ]
    references = [{"sample_id": item["sample_id"], "captions": item["gt_response"]} for item in case["items"]]
    scores = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "caption_at_iou.py")).compute(
        predictions=predictions, references=references, protocol="peer"
    )
    expected = case["expected"] | {key.split()[0]: value for key, value in case.get("aux", {}).items()}
    names = {"CIDEr@0.5": "cider_50", "ROUGE-L@0.5": "rouge_l_50"}
    names |= {f"BLEU-{order}@0.5": f"bleu_{order}_50" for order in (1, 2, 3, 4)}
    for key in names.keys() & expected.keys():
        assert scores[names[key]] == pytest.approx(expected[key], rel=1e-9), key


def test_a_caption_counts_with_its_box():
    rows = [(CHAIR, 0.6, [CHAIR]), (DESK, 0.3, [DESK])]
    scores = score(rows)
    assert (scores["found_25"], scores["found_50"], scores["count"]) == (100, 50, 2)
    assert scores["rouge_l_25"] == pytest.approx(100)
    assert scores["rouge_l_50"] == pytest.approx(50)
    assert scores["cider_25"] == pytest.approx(2 * scores["cider_50"])
    assert scores["bleu_1_50"] < 50  # too short beside both references


def test_a_missing_box_earns_nothing_in_standard_and_something_at_the_peers():
    rows = [(CHAIR, 0.0, [CHAIR]), ("", 0.9, [DESK])]
    standard, peer = score(rows), score(rows, "peer")
    assert standard["rouge_l_50"] == standard["cider_50"] == standard["bleu_1_50"] == 0
    assert peer["rouge_l_50"] > 20


def test_the_threshold_itself_is_enough():
    for protocol in ("peer", "standard"):
        assert score([(CHAIR, 0.5, [CHAIR])], protocol)["found_50"] == 100
        assert score([(CHAIR, 0.49999, [CHAIR])], protocol)["found_50"] == 0
    assert score([(CHAIR, 0.5 - 1e-12, [CHAIR])])["found_50"] == 100


@pytest.mark.parametrize("protocol", ["peer", "standard"])
@pytest.mark.parametrize("iou", [math.nan, math.inf, -0.1, 1.5])
def test_overlaps_that_are_none_are_counted_and_no_box(protocol, iou):
    scores = score([(CHAIR, iou, [CHAIR]), (DESK, 1.0, [DESK])], protocol)
    assert (scores["invalid"], scores["found_25"]) == (1, 50)


def test_captions_without_an_overlap():
    rows = [(CHAIR, None, [CHAIR]), (DESK, 0.9, [DESK])]
    assert score(rows, "peer")["found_50"] == 100
    standard = score(rows)
    assert (standard["found_50"], standard["invalid"]) == (50, 1)


@pytest.mark.parametrize("protocol", ["peer", "standard"])
def test_missing_captions_are_empty_and_counted(protocol):
    scores = score([(None, 0.9, [CHAIR]), (None, None, [DESK]), ("a chair", 0.9, [CHAIR])], protocol)
    assert (scores["missing"], scores["invalid"], scores["count"]) == (2, 0, 3)
    assert scores["found_50"] == pytest.approx(200 / 3)
    references = [{"sample_id": "0", "captions": [CHAIR]}]
    assert caption_at_iou_scores([], references, protocol)["missing"] == 1


def test_the_last_of_two_captions_counts_at_the_peers():
    references = [{"sample_id": name, "captions": [caption]} for name, caption in (("a", CHAIR), ("b", DESK))]
    predictions = [{"sample_id": "a", "caption": text, "iou": 1.0} for text in (DESK, CHAIR)]
    predictions.append({"sample_id": "b", "caption": DESK, "iou": 1.0})
    scores = caption_at_iou_scores(predictions, references, "peer")
    assert (scores["rouge_l_50"], scores["duplicates"], scores["count"]) == (100, 1, 2)
    with pytest.raises(ValueError, match="more than once"):
        caption_at_iou_scores(predictions, references)


TEXT = st.text(max_size=20)


@given(st.lists(st.tuples(TEXT, st.floats(0, 1), st.lists(TEXT, min_size=1, max_size=2)), min_size=1, max_size=3))
def test_any_text_is_scored(rows):
    for protocol in ("peer", "standard"):
        scores = score(rows, protocol)
        assert scores["count"] == len(rows)
        assert scores["found_50"] <= scores["found_25"]
        assert all(math.isfinite(value) and value >= 0 for value in scores.values())


@pytest.mark.parametrize("captions", [[], None, [None]])
def test_references_without_captions_are_named(captions):
    with pytest.raises(ValueError, match="captions=.* of sample '0'"):
        score([(CHAIR, 1.0, captions)])


def test_through_evaluate():
    predictions = [{"sample_id": "a", "caption": None, "iou": None}, {"sample_id": "b", "caption": CHAIR, "iou": 1.0}]
    references = [{"sample_id": name, "captions": [CHAIR]} for name in "ba"]
    scores = CaptionAtIoU().compute(predictions=predictions, references=references)
    assert scores == caption_at_iou_scores(predictions, references)
    assert scores["missing"] == 1
