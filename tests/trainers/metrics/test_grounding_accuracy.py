"""ScanRefer's accuracy: the published evaluator's cases, hand-made ones, and boxes that are none."""

import math

import evaluate
import pytest
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.grounding_accuracy import GroundingAccuracy, grounding_scores, peer_iou
from igep.trainers.package_files import PACKAGE


UNIT = [0, 0, 0, 1, 1, 1]
HALF = [0, 0, -0.25, 1, 1, 0.5]
NUMBERS = st.floats(-5, 5)


def score(boxes, true=UNIT, protocol="standard", question_type="unique"):
    predictions = [{"sample_id": str(index), "box": box} for index, box in enumerate(boxes)]
    references = [
        {"sample_id": str(index), "box": true, "question_type": question_type} for index in range(len(boxes))
    ]
    return grounding_scores(predictions, references, protocol)


@pytest.mark.parametrize("case", golden("scanrefer"), ids=lambda case: case["name"])
def test_golden(case):
    predictions = [{"sample_id": item["sample_id"], "box": item["pred_response"]} for item in case["items"]]
    references = [
        {"sample_id": item["sample_id"], "box": item["gt_response"], "question_type": item["question_type"]}
        for item in case["items"]
    ]
    scores = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "grounding_accuracy.py")).compute(
        predictions=predictions, references=references, protocol="peer"
    )
    names = {"acc@0.25": "accuracy_25", "acc@0.5": "accuracy_50", "n": "count"}
    for key, expected in case["expected"].items():
        name, question_type = key.split("/")
        prefix = "" if question_type == "all" else f"{question_type}_"
        assert scores[prefix + names[name]] == pytest.approx(expected, abs=1e-9), key
    for item in case["items"]:
        assert peer_iou(item["gt_response"], item["pred_response"]) == item["expected"]["iou"], item["sample_id"]


def test_by_hand():
    scores = score([UNIT, HALF, [0, 0, 0, 1, 1, 0.3], [5, 0, 0, 1, 1, 1]])
    assert (scores["accuracy_25"], scores["accuracy_50"], scores["unique_count"]) == (75, 50, 4)
    assert "multiple_accuracy_25" not in scores


def test_the_threshold_itself_counts_in_standard_and_misses_at_the_peers():
    assert score([HALF])["accuracy_50"] == 100
    assert score([HALF], protocol="peer")["accuracy_50"] == 0


def test_rounding_decides_nothing_in_standard():
    third = [0.1 + 0.2, 0.1, 0.7, 0.3, 0.3, 0.3]
    assert score([[0.3, 0.1, 0.7 - 0.075, 0.3, 0.3, 0.15]], true=third)["accuracy_50"] == 100


def test_oriented_boxes():
    turned = [*UNIT, 45, 0, 0]
    assert score([turned])["accuracy_50"] == 100  # 1 / sqrt 2
    assert score([UNIT], true=turned)["accuracy_50"] == 100
    assert score([turned], protocol="peer")["invalid"] == 1


@pytest.mark.parametrize("protocol", ["peer", "standard"])
def test_no_boxes_and_boxes_that_are_none_are_counted_misses(protocol):
    boxes = [UNIT, None, [], [math.nan, *UNIT[1:]], [math.inf, *UNIT[1:]], UNIT[:5], [0, 0, None, 1, 1, 1]]
    scores = score(boxes, protocol=protocol)
    assert scores["accuracy_25"] == pytest.approx(100 / 7)
    assert (scores["missing"], scores["invalid"], scores["count"]) == (2, 4, 7)


def test_a_sample_without_a_prediction_is_a_counted_miss():
    references = [{"sample_id": name, "box": UNIT, "question_type": "unique"} for name in "ab"]
    scores = grounding_scores([{"sample_id": "b", "box": UNIT}], references)
    assert (scores["accuracy_50"], scores["missing"], scores["count"]) == (50, 1, 2)


def test_negative_sizes_are_no_box_but_absolute_at_the_peers():
    mirrored = [0, 0, 0, -1, 1, 1]
    assert score([mirrored])["invalid"] == 1
    assert score([mirrored])["accuracy_25"] == 0
    peer = score([mirrored], protocol="peer")
    assert (peer["invalid"], peer["accuracy_50"]) == (0, 100)


def test_the_peers_count_every_record():
    references = [{"sample_id": "a", "box": UNIT, "question_type": "unique"}]
    predictions = [{"sample_id": "a", "box": box} for box in (UNIT, [5, 5, 5, 1, 1, 1])]
    scores = grounding_scores(predictions, references, "peer")
    assert (scores["accuracy_25"], scores["duplicates"], scores["count"]) == (50, 1, 2)
    with pytest.raises(ValueError, match="more than once"):
        grounding_scores(predictions, references)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.lists(st.floats(0.1, 2), min_size=6, max_size=6))
def test_where_the_scene_lies_does_not_matter(place, sizes):
    boxes = [[0.2, 0, 0, *sizes[:3]]], [0, 0, 0, *sizes[3:]]
    moved = [[0.2 + place[0], *place[1:], *sizes[:3]]], [*place, *sizes[3:]]
    for protocol in ("peer", "standard"):
        here, there = (peer_iou(first[0], second) for first, second in (boxes, moved))
        assert here == pytest.approx(there, abs=1e-9)
        assert score(*boxes, protocol=protocol)["count"] == 1


@pytest.mark.parametrize(
    ("true", "question_type", "message"),
    [
        ([], "unique", "box .* of sample '0' is missing"),
        ([0, 0, 0, math.nan, 1, 1], "unique", "not finite"),
        ([0, 0, 0, 1, 1, -1], "unique", "negative size"),
        (UNIT, None, "question_type=None of sample '0'"),
        (UNIT, "all", "question_type='all'"),
    ],
)
def test_bad_references_are_named(true, question_type, message):
    with pytest.raises(ValueError, match=message):
        score([UNIT], true=true, question_type=question_type)


def test_unknown_protocol():
    with pytest.raises(ValueError, match="one of peer, standard"):
        score([UNIT], protocol="official")


def test_through_evaluate():
    predictions = [{"sample_id": "a", "box": None}, {"sample_id": "b", "box": HALF}]
    references = [{"sample_id": name, "box": UNIT, "question_type": "multiple"} for name in "ba"]
    scores = GroundingAccuracy().compute(predictions=predictions, references=references)
    assert scores == grounding_scores(predictions, references)
    assert (scores["multiple_accuracy_50"], scores["missing"]) == (50, 1)
    with pytest.raises(ValueError, match="Mismatch"):
        GroundingAccuracy().compute(predictions=predictions[:1], references=references)
