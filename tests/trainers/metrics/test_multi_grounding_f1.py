"""Multi3DRefer's F1: the published evaluator's cases, the choice of proposals, matchings by hand, and bad input."""

import itertools
import math

import evaluate
import numpy as np
import pytest
import torch
from golden_metrics import golden
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.metrics.multi_grounding_f1 import (
    MultiGroundingF1,
    multi_grounding_scores,
    peer_f1,
    select_proposals,
    standard_f1,
)
from igep.trainers.package_files import PACKAGE


UNIT, FAR, FARTHER = [0, 0, 0, 1, 1, 1], [5, 0, 0, 1, 1, 1], [9, 0, 0, 1, 1, 1]
IOUS = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(st.floats(0, 1), min_size=columns, max_size=columns), min_size=1, max_size=4)
)


def score(boxes, true, protocol="standard", scores=None, question_type="mt"):
    predictions = [{"sample_id": "a", "boxes": boxes, "scores": scores}]
    references = [{"sample_id": "a", "boxes": true, "question_type": question_type}]
    return multi_grounding_scores(predictions, references, protocol)


@pytest.mark.parametrize("case", golden("multi3drefer"), ids=lambda case: case["name"])
def test_golden(case):
    items = case["items"]
    predictions = [
        {"sample_id": item["sample_id"], "boxes": item["objects"], "scores": item["scores"]} for item in items
    ]
    references = [
        {"sample_id": item["sample_id"], "boxes": item["gt_response"], "question_type": item["question_type"]}
        for item in items
    ]
    scores = evaluate.load(str(PACKAGE / "trainers" / "metrics" / "multi_grounding_f1.py")).compute(
        predictions=predictions, references=references, protocol="peer"
    )
    names = {"f1@0.25": ("f1_25", 100), "f1@0.50": ("f1_50", 100), "n": ("count", 1)}
    for key, expected in case["expected"].items():
        name, question_type = key.split("/")
        found, scale = names[name]
        prefix = "" if question_type == "all" else f"{question_type}_"
        assert scores[prefix + found] == pytest.approx(scale * expected, abs=1e-9), key
    for item, prediction, reference in zip(items, predictions, references, strict=True):
        assert select_proposals(item["scores"]) == item["expected"]["selected"], item["sample_id"]
        one = multi_grounding_scores([prediction], [reference], "peer")
        assert one["f1_25"] == pytest.approx(100 * item["expected"]["f1_025"])
        assert one["f1_50"] == pytest.approx(100 * item["expected"]["f1_050"])


# ---- Choice of proposals


def test_choices_by_hand():
    assert select_proposals([0.1, 0.2, 0.9]) == []  # the zero target is best
    assert select_proposals([0.5]) == []  # there are no proposals
    assert select_proposals([0.9, 0.0, 0.0]) == [0]
    assert select_proposals([0.2] * 5) == [0, 1]  # float32 0.2 + 0.2 reaches 0.4
    assert select_proposals([0.5, 0.5]) == [0]  # a tie with the zero target goes to the proposal
    assert select_proposals([0.1, 0.5, 0.4, 0.45], cumulative_mass=1) == [1, 2, 0]


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=40, unique=True))
def test_it_is_torchs_choice(hundredths):
    similarities = [value / 100 for value in hundredths]
    chosen = []
    if torch.tensor(similarities).argmax() < len(similarities) - 1:
        shares = torch.softmax(torch.tensor(similarities) / 0.07, -1)[:-1]
        mass = torch.zeros(())
        for index in shares.argsort(descending=True).tolist():
            chosen.append(index)
            mass = mass + shares[index]
            if mass >= 0.4:
                break
    assert select_proposals(similarities) == chosen


@pytest.mark.parametrize(
    ("scores", "options"),
    [
        ([], {}),
        ([math.nan, 0.0], {}),
        ([[0.1], [0.2]], {}),
        ([0.1, 0.0], {"temperature": 0}),
        ([0.1, 0.0], {"cumulative_mass": 1.5}),
    ],
)
def test_bad_choices_are_named(scores, options):
    with pytest.raises(ValueError, match="scores=|temperature="):
        select_proposals(scores, **options)


# ---- F1


def test_by_hand():
    assert score([UNIT, FAR], [UNIT, FAR])["f1_50"] == 100
    assert score([UNIT, FAR], [UNIT])["f1_50"] == pytest.approx(200 / 3)
    assert score([UNIT], [UNIT, FAR, FARTHER])["f1_25"] == 50
    assert score([FAR], [UNIT])["f1_25"] == 0
    assert score([], [])["f1_25"] == score([], [])["f1_50"] == 100
    assert score([UNIT], [])["f1_25"] == score([], [UNIT])["f1_25"] == 0
    assert score([UNIT, UNIT], [UNIT])["f1_50"] == pytest.approx(200 / 3)  # the second finds nothing left


def test_one_matching_for_both_thresholds_loses_what_its_own_keeps():
    ious = np.array([[0.2876712310854843, 0.8293577905563507], [0.132951132225219, 0.5210946368597896]])
    assert peer_f1(ious) == {"25": 0.5, "50": 0.5}
    assert standard_f1(ious) == {"25": 1.0, "50": 0.5}


@given(IOUS)
def test_standard_finds_the_best_matching(rows):
    ious = np.array(rows)
    small = ious if ious.shape[0] <= ious.shape[1] else ious.T
    columns = itertools.permutations(range(small.shape[1]), small.shape[0])
    best = max(sum(small[row, column] >= 0.5 for row, column in enumerate(choice)) for choice in columns)
    assert standard_f1(ious)["50"] == pytest.approx(2 * best / sum(ious.shape))
    assert standard_f1(ious)["25"] >= peer_f1(ious)["25"] - 1e-12
    assert standard_f1(ious.T) == standard_f1(ious)


@pytest.mark.parametrize("protocol", ["peer", "standard"])
def test_order_does_not_matter(protocol):
    boxes = [UNIT, FAR, [0.3, 0, 0, 1, 1, 1], [5, 0.4, 0, 1, 1, 1]]
    expected = score(boxes, [UNIT, FAR], protocol)
    for order in itertools.permutations(boxes):
        assert score(list(order), [FAR, UNIT], protocol) == expected


def test_types_and_means():
    kinds = {"zt_wo_d": ([], []), "zt_w_d": ([UNIT], []), "st_w_d": ([UNIT], [UNIT]), "mt": ([UNIT], [UNIT, FAR])}
    scores = multi_grounding_scores(
        [{"sample_id": kind, "boxes": boxes} for kind, (boxes, _) in kinds.items()],
        [{"sample_id": kind, "boxes": true, "question_type": kind} for kind, (_, true) in kinds.items()],
    )
    assert scores["zt_wo_d_f1_25"] == scores["st_w_d_f1_50"] == 100
    assert scores["zt_w_d_f1_25"] == 0
    assert scores["mt_f1_50"] == pytest.approx(200 / 3)
    assert scores["f1_25"] == pytest.approx((100 + 0 + 100 + 200 / 3) / 4)
    assert (scores["mt_count"], scores["count"]) == (1, 4)


def test_oriented_boxes():
    assert score([[*UNIT, 45, 0, 0]], [UNIT])["f1_50"] == 100
    assert score([[*UNIT, 45, 0, 0]], [UNIT], "peer")["invalid"] == 1


# ---- Bad input


@pytest.mark.parametrize("protocol", ["peer", "standard"])
def test_boxes_that_are_none_are_counted_false_positives(protocol):
    scores = score([UNIT, [math.nan] * 6, [], None, [1, 2]], [UNIT], protocol)
    assert scores["invalid"] == 4
    assert scores["f1_50"] == pytest.approx(100 * 2 / 6)


def test_a_missing_prediction_is_wrong_even_where_nothing_is_meant():
    for boxes in (None, []):
        scores = score(boxes, [])
        assert (scores["f1_25"], scores["missing"]) == ((0, 1) if boxes is None else (100, 0))
    assert multi_grounding_scores([], [{"sample_id": "a", "boxes": [], "question_type": "zt_w_d"}])["missing"] == 1


def test_empty_proposals():
    assert score([], [], scores=[0.3])["f1_25"] == 100
    assert score([], [UNIT], scores=[0.3])["f1_25"] == 0


@pytest.mark.parametrize("similarities", [[0.5], [0.5, 0.1, 0.2], [math.nan, 0.1], [None, 0.1]])
def test_scores_that_do_not_fit_the_boxes_are_counted(similarities):
    scores = score([UNIT], [UNIT], scores=similarities)
    assert (scores["f1_25"], scores["invalid_scores"]) == (0, 1)


@pytest.mark.parametrize(
    ("true", "message"),
    [(None, r"sample 'a' has no boxes: give \[\]"), ([[0, 0, 0, 1, 1, math.nan]], "not finite"), ([[]], "0 numbers")],
)
def test_bad_references_are_named(true, message):
    with pytest.raises(ValueError, match=message):
        score([UNIT], true)


def test_through_evaluate():
    predictions = [
        {"sample_id": "a", "boxes": None, "scores": None},
        {"sample_id": "b", "boxes": [FAR, UNIT], "scores": [0.1, 0.9, 0.2]},
    ]
    references = [{"sample_id": name, "boxes": [UNIT], "question_type": "st_w_d"} for name in "ab"]
    metric = MultiGroundingF1()
    scores = metric.compute(predictions=predictions, references=references)
    assert scores == multi_grounding_scores(predictions, references)
    assert (scores["f1_50"], scores["missing"]) == (50, 1)
    all_boxes = metric.compute(predictions=predictions, references=references, cumulative_mass=1.0)
    assert all_boxes["f1_50"] == pytest.approx(100 / 3)
