"""The loss of boxes regressed from queries: matching, DIoU, and the location token's query (LLaVA-3D, supplement).

LLaVA-3D leaves the cost of the matching open. Here places decide: the cost is `1 - DIoU`, less a little of the query's
probability under a softmax over all of them, which tells boxes apart that fit alike. The similarity must not decide by
itself (as its logarithm would, which has no bound): the query that is most similar would be matched wherever its box
lies, become more similar for it, and the same query would be meant for ever.
"""

import math
from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from igep.box_queries import BoxPredictions


SIMILARITY_COST = 0.1  # of a probability, beside a cost of places that lies between 0 and 2


def distance_iou(first: Tensor, second: Tensor) -> Tensor:
    """`IoU - d^2 / c^2` of boxes along the same axes: d between their centres, c the diagonal of the box around both.

    It is 1 for equal boxes, and falls with distance where they do not overlap (Zheng 2020).

    Args:
        first (`Tensor`): (..., 6) centre and sizes in metres.
        second (`Tensor`): (..., 6); shapes broadcast.

    Returns:
        `Tensor`: (...) in (-1, 1].
    """
    first, second = first.float(), second.float()
    lowest = [box[..., :3] - box[..., 3:] / 2 for box in (first, second)]
    highest = [box[..., :3] + box[..., 3:] / 2 for box in (first, second)]
    sides = (torch.minimum(*highest) - torch.maximum(*lowest)).clamp(min=0)
    shared = sides.prod(-1)
    together = first[..., 3:].prod(-1) + second[..., 3:].prod(-1) - shared
    diagonal = (torch.maximum(*highest) - torch.minimum(*lowest)).square().sum(-1)
    distance = (first[..., :3] - second[..., :3]).square().sum(-1)
    smallest = torch.finfo(torch.float32).tiny
    return shared / together.clamp(min=smallest) - distance / diagonal.clamp(min=smallest)


def match_boxes(boxes: Tensor, similarities: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Gives every target a query of its own, at the least cost in all (Hungarian matching).

    The cost is `1 - DIoU - 0.1 softmax(similarities / temperature)`.

    Args:
        boxes (`Tensor`): (N, 6) of the queries.
        similarities (`Tensor`): (N,) with the location token.
        targets (`Tensor`): (T, 6).
        temperature (`float`): Divides the similarities.

    Returns:
        `tuple[Tensor, Tensor]`: (min(N, T),) long each: queries and their targets.
    """
    with torch.no_grad():
        places = 1 - distance_iou(boxes[:, None], targets)
        cost = places - SIMILARITY_COST * (similarities.float() / temperature).softmax(0)[:, None]
        pairs = linear_sum_assignment(cost.cpu().numpy())
    return tuple(torch.as_tensor(side, device=boxes.device) for side in pairs)


def match_loss(similarities: Tensor, meant: Tensor, temperature: float) -> Tensor:
    """How far the probabilities of queries are from equal shares of those that are meant, or of all where none is.

    It is the Kullback-Leibler divergence from the shares: `-log p` of one that is meant; 0 where k share what there is
    equally. The sum over positives inside the logarithm (`ground_loss`) would be content with one of several, and
    boxes that are chosen by their probability would lack the others.

    Args:
        similarities (`Tensor`): (N,) with the location token.
        meant (`Tensor`): (k,) long, queries; k = 0 where no box is meant.
        temperature (`float`): Divides the similarities.

    Returns:
        `Tensor`: Scalar.
    """
    log_probabilities = (similarities.float() / temperature).log_softmax(0)
    shared = log_probabilities[meant] if len(meant) else log_probabilities
    return -shared.mean() - math.log(len(shared))


def box_query_loss(
    predictions: BoxPredictions, targets: Sequence[Tensor], temperature: float = 0.07
) -> dict[str, Tensor]:
    """The loss of one sample's questions, over all layers.

    Args:
        predictions (`BoxPredictions`): Of G questions.
        targets (`Sequence[Tensor]`): G of (T, 6), in the world of the predictions; T = 0 where no box is meant.
        temperature (`float`, *optional*, defaults to `0.07`): Divides the similarities.

    Returns:
        `dict[str, Tensor]`: `loss_box`, the mean of `1 - DIoU` over matched pairs, then over questions with a box and
        layers, 0 with a gradient graph where no box is meant; and `loss_match`, the mean of `match_loss` over
        questions and layers.
    """
    places, matches = [predictions.boxes.sum() * 0.0], []
    for boxes, similarities in zip(predictions.boxes, predictions.similarities, strict=True):
        for question, wanted in enumerate(targets):
            found, meant = match_boxes(boxes[question], similarities[question], wanted, temperature)
            matches.append(match_loss(similarities[question], found, temperature))
            if len(wanted):
                places.append((1 - distance_iou(boxes[question][found], wanted[meant])).mean())
    return {
        "loss_box": torch.stack(places).sum() / max(len(places) - 1, 1),
        "loss_match": torch.stack(matches).mean(),
    }
