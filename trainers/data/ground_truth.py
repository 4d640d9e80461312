"""Questions answered by boxes: from a scene's boxes to proposals, and from `referred_boxes` to those that are meant.

A row of the questions table whose first answer is `<ground>` is such a question, whatever dataset it comes from. Its
proposals are the scene's boxes but for those of the label `proposal`, which a detector found: training chooses among
true objects.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from igep.spatial_prompts import GROUND_TOKEN
from igep.trainers.data.scenes.scene_table import SceneTable, column_values
from igep.trainers.data.scenes.spatial_example import PROPOSAL_LABEL, SpatialDataError


logger = logging.getLogger(__name__)


def is_grounding(question: Mapping[str, Any]) -> bool:
    """Whether a row of the questions table is answered by boxes."""
    return bool(question["answers"]) and question["answers"][0] == GROUND_TOKEN


def ground_truth(
    scene_id: str, boxes: Sequence[Mapping[str, Any]], questions: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray | None, tuple[tuple[int, ...] | None, ...]]:
    """The proposals of a scene, and which of them each question means.

    Args:
        scene_id (`str`): For messages.
        boxes (`Sequence[dict]`): The scene's boxes.
        questions (`Sequence[dict]`): Rows of the questions table, the turns in order.

    Returns:
        `tuple`: `proposals` and `ground_targets` of `SpatialExample`; `None` and nothing where no question is answered
        by boxes.

    Raises:
        SpatialDataError: A box that is none, or a question that means a box of a detector.
    """
    if not any(is_grounding(question) for question in questions):
        return None, ()
    objects = [number for number, box in enumerate(boxes) if box["label"] != PROPOSAL_LABEL]
    places = {number: place for place, number in enumerate(objects)}
    targets: list[tuple[int, ...] | None] = []
    for question in questions:
        if not is_grounding(question):
            targets.append(None)
            continue
        meant = question["referred_boxes"] or ()
        unknown = [box for box in meant if box not in places]
        if unknown:
            raise SpatialDataError(
                f"Question {question['question_id']!r} about scene {scene_id!r}: `referred_boxes` names box "
                f"{unknown[0]}, which is no object but a {PROPOSAL_LABEL}: name objects."
            )
        targets.append(tuple(places[box] for box in meant))
    return axis_aligned_boxes(scene_id, boxes, objects), tuple(targets)


def axis_aligned_boxes(scene_id: str, boxes: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> np.ndarray:
    """Boxes as numbers, as grounding takes and scores them.

    Args:
        scene_id (`str`): For messages.
        boxes (`Sequence[dict]`): The scene's boxes.
        numbers (`Sequence[int]`): Those that are wanted.

    Returns:
        `np.ndarray`: (P, 6) float64: centre and full sizes along the axes of the world, in metres. Of a turned box,
        those of the smallest such box around it.

    Raises:
        SpatialDataError: A box that is none; the message has scene, number and value.
    """
    found = np.zeros((len(numbers), 6))
    for row, number in enumerate(numbers):
        box = boxes[number]
        values = [*(box["centre_metres"] or ()), *(box["size_metres"] or ()), box["yaw_radians"] or 0.0]
        if len(values) != 7 or not np.isfinite(np.array(values, dtype=np.float64)).all() or min(values[3:6]) < 0:
            raise SpatialDataError(
                f"Scene {scene_id!r}: `boxes[{number}]` is no box: {dict(box)}. Give three finite numbers as "
                "`centre_metres` and three as `size_metres`, no size negative."
            )
        cosine, sine = abs(np.cos(values[6])), abs(np.sin(values[6]))
        width, height = values[3:5]
        found[row] = [*values[:3], width * cosine + height * sine, width * sine + height * cosine, values[5]]
    return found


def warn_of_empty_proposals(questions: Dataset, scenes: SceneTable) -> None:
    """Says how many questions are to be answered by boxes of scenes that have none.

    Args:
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`.
        scenes (`SceneTable`): The scenes, all that the questions name.
    """
    numbers = {scene_id: number for number, scene_id in enumerate(scenes.scene_ids)}
    answers, names = column_values(questions, "answers"), column_values(questions, "scene_id")
    asked = [name for name, given in zip(names, answers, strict=True) if given and given[0] == GROUND_TOKEN]
    bare = {name for name in set(asked) if scenes.lacks(numbers[name], "boxes")}
    count = sum(name in bare for name in asked)
    if count:
        logger.warning(
            "%d of %d questions that boxes answer are about %d scenes without boxes: all that can be said there is "
            "none, which teaches nothing.",
            count,
            len(asked),
            len(bare),
        )
