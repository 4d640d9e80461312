import itertools
import math

import pytest
import torch

from igep.box_queries import BoxPredictions
from igep.ground_head import ground_loss
from igep.trainers.supervision.box_query_loss import (
    SIMILARITY_COST,
    box_query_loss,
    distance_iou,
    match_boxes,
    match_loss,
)


def test_distance_iou_closed_forms():
    unit = torch.tensor([0.0, 0, 0, 1, 1, 1])
    assert distance_iou(unit, unit).item() == pytest.approx(1)
    # Half a box along x: a third of the union; centres 0.5 apart in a box of 1.5 x 1 x 1.
    shifted = torch.tensor([0.5, 0, 0, 1, 1, 1])
    assert distance_iou(unit, shifted).item() == pytest.approx(1 / 3 - 0.25 / 4.25)
    # Apart: no overlap, and worse the farther.
    near, far = torch.tensor([3.0, 0, 0, 1, 1, 1]), torch.tensor([30.0, 0, 0, 1, 1, 1])
    assert distance_iou(unit, near).item() == pytest.approx(-9 / 18)
    assert -1 < distance_iou(unit, far).item() < distance_iou(unit, near).item()
    inside = torch.tensor([0.0, 0, 0, 0.5, 0.5, 0.5])
    assert distance_iou(unit, inside).item() == pytest.approx(0.125)
    flat = torch.zeros(6, requires_grad=True)
    distance_iou(flat, flat).backward()
    assert flat.grad.isfinite().all()


def test_matching_costs_the_least_of_all_assignments():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(5, 6, generator=generator) + 0.1
    targets = torch.rand(3, 6, generator=generator) + 0.1
    similarities = torch.rand(5, generator=generator) * 2 - 1
    cost = 1 - distance_iou(boxes[:, None], targets) - SIMILARITY_COST * (similarities / 0.07).softmax(0)[:, None]
    best = min(
        itertools.permutations(range(5), 3),
        key=lambda order: sum(cost[query, k].item() for k, query in enumerate(order)),
    )
    found, meant = match_boxes(boxes, similarities, targets, 0.07)
    assert dict(zip(meant.tolist(), found.tolist(), strict=True)) == dict(enumerate(best))


def test_places_decide_whatever_query_is_most_similar():
    """Else a query that was matched once would be matched for ever, wherever its box lies."""
    target = torch.tensor([[0.0, 0, 0, 1, 1, 1]])
    boxes = torch.tensor([[3.0, 0, 0, 1, 1, 1], [0.3, 0, 0, 1, 1, 1], [-0.3, 0, 0, 1, 1, 1]])
    found, _ = match_boxes(boxes, torch.tensor([1.0, -1.0, -1.0]), target, 0.07)
    assert found.tolist() == [1]
    found, _ = match_boxes(boxes, torch.tensor([0.9, 0.7, 0.8]), target, 0.07)
    assert found.tolist() == [2]  # of two that fit alike the more similar


def test_the_loss_of_a_question_is_that_of_its_matched_queries():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(1, 2, 4, 6, generator=generator) + 0.2
    similarities = torch.rand(1, 2, 4, generator=generator)
    target = boxes[0, 0, 2:3].clone()
    losses = box_query_loss(BoxPredictions(boxes, similarities), [target, target.new_zeros(0, 6)])
    assert losses["loss_box"].item() == pytest.approx(0, abs=1e-6)
    matched, none = torch.tensor([2]), torch.tensor([], dtype=torch.long)
    expected = [match_loss(similarities[0, 0], matched, 0.07), match_loss(similarities[0, 1], none, 0.07)]
    torch.testing.assert_close(losses["loss_match"], torch.stack(expected).mean())


def test_match_loss_closed_forms():
    similarities = 0.07 * torch.tensor([1.0, 3.0, 1.0, 0.0])
    one = torch.tensor([False, True, False, False])
    torch.testing.assert_close(match_loss(similarities, torch.tensor([1]), 0.07), ground_loss(similarities, one, 0.07))
    shared = torch.tensor([50.0, 50, 0, 0])
    assert match_loss(shared, torch.tensor([0, 1]), 1.0).item() == pytest.approx(0, abs=1e-6)
    assert match_loss(torch.tensor([50.0, 0, 0, 0]), torch.tensor([0, 1]), 1.0).item() == pytest.approx(
        25 - math.log(2)
    )
    none = torch.tensor([], dtype=torch.long)
    assert match_loss(torch.full((4,), 0.3), none, 0.07).item() == pytest.approx(0, abs=1e-6)
    assert match_loss(shared, none, 1.0).item() == pytest.approx(25 + math.log(2) - math.log(4))


def test_without_any_box_only_similarities_learn():
    boxes = torch.rand(2, 1, 4, 6, requires_grad=True)
    similarities = torch.rand(2, 1, 4, requires_grad=True)
    losses = box_query_loss(BoxPredictions(boxes, similarities), [torch.zeros(0, 6)])
    assert losses["loss_box"].item() == 0
    sum(losses.values()).backward()
    assert not boxes.grad.any()
    assert similarities.grad.any()


def test_more_boxes_than_queries_leaves_some_unmatched():
    found, meant = match_boxes(torch.rand(2, 6) + 0.1, torch.rand(2), torch.rand(5, 6) + 0.1, 0.07)
    assert len(found) == len(meant) == 2
