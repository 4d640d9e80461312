"""The loss of boxes regressed from queries: matching, DIoU, and which query the location token means (LLaVA-3D, supplement).

LLaVA-3D leaves the cost of the matching open; here it is made of what is minimised: `1 - DIoU` and the log probability of the
query under a softmax over all of them.
"""

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from igep.box_queries import BoxPredictions
from igep.ground_head import ground_loss


SIMILARITY_COST = 0.1  # of a log probability, beside a cost of places that lies between 0 and 2


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

    The cost is `1 - DIoU - 0.1 log softmax(similarities / temperature)`.

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
        cost = places - SIMILARITY_COST * (similarities.float() / temperature).log_softmax(0)[:, None]
        pairs = linear_sum_assignment(cost.cpu().numpy())
    return tuple(torch.as_tensor(side, device=boxes.device) for side in pairs)


def box_query_loss(
    predictions: BoxPredictions, targets: Sequence[Tensor], temperature: float = 0.07
) -> dict[str, Tensor]:
    """The loss of one sample's questions, over all layers.

    Args:
        predictions (`BoxPredictions`): Of G questions.
        targets (`Sequence[Tensor]`): G of (T, 6), in the world of the predictions; T = 0 where no box is meant.
        temperature (`float`, *optional*, defaults to `0.07`): Divides the similarities.

    Returns:
        `dict[str, Tensor]`: `loss_box`, the mean of `1 - DIoU` over matched pairs and layers; and `loss_match`, InfoNCE that has
        the matched queries as positives, the mean over questions with a box and layers. Both are 0 with a gradient graph
        where no box is meant.
    """
    places, matches = [predictions.boxes.sum() * 0.0], [predictions.similarities.sum() * 0.0]
    for boxes, similarities in zip(predictions.boxes, predictions.similarities, strict=True):
        for question, wanted in enumerate(targets):
            if not len(wanted):
                continue
            found, meant = match_boxes(boxes[question], similarities[question], wanted, temperature)
            places.append((1 - distance_iou(boxes[question][found], wanted[meant])).mean())
            positive = torch.zeros_like(similarities[question], dtype=torch.bool)
            positive[found] = True
            matches.append(ground_loss(similarities[question], positive, temperature))
    count = max(len(places) - 1, 1)
    return {"loss_box": torch.stack(places).sum() / count, "loss_match": torch.stack(matches).sum() / count}
