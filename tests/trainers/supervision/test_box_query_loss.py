import itertools

import pytest
import torch

from igep.box_queries import BoxPredictions
from igep.ground_head import ground_loss
from igep.trainers.supervision.box_query_loss import SIMILARITY_COST, box_query_loss, distance_iou, match_boxes


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
    cost = 1 - distance_iou(boxes[:, None], targets) - SIMILARITY_COST * (similarities / 0.07).log_softmax(0)[:, None]
    best = min(
        itertools.permutations(range(5), 3),
        key=lambda order: sum(cost[query, k].item() for k, query in enumerate(order)),
    )
    found, meant = match_boxes(boxes, similarities, targets, 0.07)
    assert dict(zip(meant.tolist(), found.tolist(), strict=True)) == dict(enumerate(best))


def test_the_loss_of_a_question_is_that_of_its_matched_queries():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(1, 2, 4, 6, generator=generator) + 0.2
    similarities = torch.rand(1, 2, 4, generator=generator)
    target = boxes[0, 0, 2:3].clone()
    losses = box_query_loss(BoxPredictions(boxes, similarities), [target, target.new_zeros(0, 6)])
    assert losses["loss_box"].item() == pytest.approx(0, abs=1e-6)
    positive = torch.tensor([False, False, True, False])
    torch.testing.assert_close(losses["loss_match"], ground_loss(similarities[0, 0], positive, 0.07))


def test_without_any_box_the_loss_is_zero_and_keeps_its_graph():
    boxes = torch.rand(2, 1, 4, 6, requires_grad=True)
    similarities = torch.rand(2, 1, 4, requires_grad=True)
    losses = box_query_loss(BoxPredictions(boxes, similarities), [torch.zeros(0, 6)])
    assert [value.item() for value in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert not boxes.grad.any()


def test_more_boxes_than_queries_leaves_some_unmatched():
    found, meant = match_boxes(torch.rand(2, 6) + 0.1, torch.rand(2), torch.rand(5, 6) + 0.1, 0.07)
    assert len(found) == len(meant) == 2
