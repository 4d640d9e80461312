"""The part of a batch that a ground head trains on: proposals, the places of questions about them, and those meant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from igep.ground_head import GEOMETRY_OF, PREDICTED
from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.geometry_batch import near_origin
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample


def check_grounding(example: SpatialExample, geometry_inputs: str | None) -> None:
    """Makes sure that a sample can be grounded as a ground head is set to.

    Args:
        example (`SpatialExample`): The sample.
        geometry_inputs (`str`, *optional*): Setting of the head; `None` = there is no head.

    Raises:
        SpatialDataError: Boxes answer one of its questions and there is no head, no proposals, or not the geometry of
            the setting: for a model that grounds by its own reconstruction, a finite pose of the first frame.
    """
    targets = example.ground_targets or (None,) * len(example.conversation)
    grounded = [answer == GROUND_TOKEN for _, answer in example.conversation]
    where = f"Sample {example.sample_id!r}"
    if geometry_inputs is None:
        if any(target is not None for target in targets):
            raise SpatialDataError(
                f"{where}: boxes answer its question, and no ground head is trained: set ground_weight above 0 (1.0 "
                "is usual)."
            )
        return
    if grounded != [target is not None for target in targets]:
        raise SpatialDataError(
            f"{where}: {sum(grounded)} of its answers are {GROUND_TOKEN} and its ground_targets are {targets}: give "
            "the proposals that such a turn means, and None for turns in words."
        )
    if not any(grounded):
        return
    if example.proposals is None or example.proposals.shape[1:] != (6,):
        raise SpatialDataError(
            f"{where}: boxes answer its question and it has no `proposals` of shape (P, 6): give them."
        )
    outside = [place for target in targets if target for place in target if not 0 <= place < len(example.proposals)]
    if outside:
        raise SpatialDataError(
            f"{where}: ground_targets name proposal {outside[0]}, there are {len(example.proposals)}: use indices "
            "from 0."
        )
    if not np.isfinite(example.proposals).all() or (example.proposals[:, 3:] < 0).any():
        raise SpatialDataError(f"{where}: `proposals` hold a box that is not finite or has a negative size: mend it.")
    values = vars(example)
    missing = [name for name in GEOMETRY_OF[geometry_inputs] if values[name] is None]
    if missing:
        raise SpatialDataError(
            f"{where}: the scene has no {missing[0]}, which ground_geometry_inputs={geometry_inputs!r} takes: give "
            "it, or choose another setting."
        )
    if geometry_inputs == PREDICTED and not np.isfinite(example.world_from_camera[0]).all():
        raise SpatialDataError(
            f"{where} of scene {example.scene_id!r}: the pose of its first frame {example.frame_ids[0]!r} is not "
            "finite, so boxes of the scene cannot be placed: leave the frame out."
        )


def grounding_batch(
    examples: Sequence[SpatialExample], places: Sequence[Sequence[tuple[int, int]]], *, keeps_world: bool = False
) -> dict[str, Any]:
    """What `IGEPForConditionalGeneration.forward` takes as `grounding`, but for the geometry of the batch.

    Args:
        examples (`Sequence[SpatialExample]`): B samples.
        places (`Sequence[Sequence[tuple[int, int]]]`): For each, row and column of the hidden state that asks, for
            each of its grounded turns that were not cut off.
        keeps_world (`bool`, *optional*, defaults to `False`): The poses of the batch are in the scene's own world, as
            a model that reads 3D positions has them, and not moved to a camera (see `geometry_batch`).

    Returns:
        `dict`: `boxes` (B tensors of (P, 6) float32), `origin` (B, 3) float32, `sample`, `row` and `column` (G,)
        int64, `meant` (G tensors of (P + 1,) bool).
    """
    boxes, origins, rows, meant = [], [], [], []
    for number, example in enumerate(examples):
        posed = example.world_from_camera is not None and not keeps_world
        origin = near_origin(example.world_from_camera) if posed else np.zeros(3)
        own = np.empty((0, 6)) if example.proposals is None else example.proposals.astype(np.float64)
        moved = np.concatenate([own[:, :3] - origin, own[:, 3:]], 1)
        boxes.append(torch.from_numpy(moved.astype(np.float32)))
        origins.append(origin)
        targets = [target for target in example.ground_targets if target is not None]
        # Of a conversation that was cut the last turns are missing.
        for place, target in zip(places[number], targets, strict=False):
            rows.append((number, *place))
            one = torch.zeros(len(own) + 1, dtype=torch.bool)
            one[list(target) or [len(own)]] = True
            meant.append(one)
    table = torch.tensor(rows, dtype=torch.long).reshape(-1, 3)
    return {
        "boxes": boxes,
        "origin": torch.from_numpy(np.stack(origins).astype(np.float32)),
        "sample": table[:, 0],
        "row": table[:, 1],
        "column": table[:, 2],
        "meant": meant,
    }
