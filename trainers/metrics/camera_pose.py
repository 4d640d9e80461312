"""Relative camera pose answered in text: each quantity's error, and the area under whole poses' accuracy curve."""

import math
import statistics
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from igep.spatial_prompts import (
    parse_rotation_angle,
    parse_translation_direction,
    parse_translation_distance,
    parse_yaw_pitch_roll,
)
from igep.trainers.geometry.camera_angles import (
    direction_angle_degrees,
    rotation_angle_degrees,
    rotation_from_yaw_pitch_roll,
)


AUC_DEGREES = (5, 10, 30)
LENGTHS = {"rotation_angle": 1, "yaw_pitch_roll": 3, "translation_direction": 3, "translation_distance": 1}
DESCRIPTION = "Scores relative camera poses that a model described in text."
CITATION = "Cai et al., VLM3: Vision Language Models Are Native 3D Learners, 2026 (arXiv 2605.30561)."
INPUTS = """
Args:
    predictions (`list[str]`): Answers, as the model wrote them.
    references (`list[dict]`): Of each question `pair` (name of the image pair), `kind` (`rotation_angle`,
        `yaw_pitch_roll`, `translation_direction` or `translation_distance`) and `value` (list of 1 or 3 numbers:
        degrees, unit vector or metres).

Returns:
    `rotation_angle_error_degrees`, `yaw_error_degrees`, `pitch_error_degrees`, `roll_error_degrees`,
    `rotation_error_degrees` (angle between the true rotation and that of the three),
    `translation_direction_error_degrees`, `translation_distance_error_metres`, `translation_distance_abs_rel`: means
    over the answers that parse, for the quantities that are asked about.
    `auc_5`, `auc_10`, `auc_30`: over the pairs with both a rotation (yaw, pitch, roll) and a direction. The error of a
    pair is the larger of its two angles, where a direction and its opposite count as the same; the curve is sampled at
    whole degrees. A pair with an answer that does not parse is infinitely wrong.
    `unparsed`: share of the answers that do not parse. `count`: number of answers.
"""


def pose_auc(errors_degrees: Sequence[float], threshold_degrees: int) -> float:
    """Area under the accuracy curve, as VGGT's evaluation defines it.

    Args:
        errors_degrees (`Sequence[float]`): Error of each pair, `inf` for a failure.
        threshold_degrees (`int`): Upper end of the curve.

    Returns:
        `float`: Mean over whole degrees up to the threshold of the share of pairs with a smaller error.
    """
    counts, _ = np.histogram(errors_degrees, bins=np.arange(threshold_degrees + 1))
    return float((np.cumsum(counts) / len(errors_degrees)).mean())


def parse_pose(kind: str, text: str) -> list[float] | None:
    """Reads the answer to one of the four questions as a list of numbers; `None` if it does not parse."""
    parsers = {
        "rotation_angle": parse_rotation_angle,
        "yaw_pitch_roll": parse_yaw_pitch_roll,
        "translation_direction": parse_translation_direction,
        "translation_distance": parse_translation_distance,
    }
    found = parsers[kind](text)
    return None if found is None else list(found) if isinstance(found, tuple) else [found]


def pose_errors(kind: str, predicted: Sequence[float], true: Sequence[float]) -> dict[str, float]:
    """The errors of one answer.

    Args:
        kind (`str`): Which quantity.
        predicted (`Sequence[float]`): 1 or 3 numbers.
        true (`Sequence[float]`): Likewise.

    Returns:
        `dict[str, float]`: By the names in `INPUTS`.
    """
    if kind == "rotation_angle":
        return {"rotation_angle_error_degrees": abs(predicted[0] - true[0])}
    if kind == "yaw_pitch_roll":
        # Around the circle: 359 degrees and 1 degree are 2 apart.
        apart = [abs((a - b + 180) % 360 - 180) for a, b in zip(predicted, true, strict=True)]
        between = rotation_from_yaw_pitch_roll(*true).T @ rotation_from_yaw_pitch_roll(*predicted)
        names = ("yaw_error_degrees", "pitch_error_degrees", "roll_error_degrees")
        return dict(zip(names, apart, strict=True)) | {"rotation_error_degrees": rotation_angle_degrees(between)}
    if kind == "translation_direction":
        return {"translation_direction_error_degrees": direction_angle_degrees(predicted, true)}
    error = abs(predicted[0] - true[0])
    relative = {"translation_distance_abs_rel": error / true[0]} if true[0] > 0 else {}
    return {"translation_distance_error_metres": error, **relative}


def pose_scores(predictions: Sequence[str], references: Sequence[dict]) -> dict[str, float]:
    """Scores answers about poses; see `INPUTS`.

    Args:
        predictions (`Sequence[str]`): Answers.
        references (`Sequence[dict]`): `pair`, `kind` and `value` of each.

    Returns:
        `dict[str, float]`

    Raises:
        ValueError: Nothing to score, or a reference of an unknown kind or with numbers that cannot be.
    """
    if not len(references):
        raise ValueError("references is empty: there is nothing to score.")
    errors: dict[str, list[float]] = {}
    pairs: dict[str, dict[str, float]] = {}
    unparsed = 0
    for text, reference in zip(predictions, references, strict=True):
        kind, value = reference["kind"], reference["value"]
        if kind not in LENGTHS:
            raise ValueError(f"references: kind={kind!r} is unknown: use one of {', '.join(LENGTHS)}.")
        if len(value) != LENGTHS[kind] or not all(math.isfinite(number) for number in value):
            raise ValueError(f"references: {kind} is {value}, it must be {LENGTHS[kind]} finite numbers.")
        predicted = parse_pose(kind, text)
        found = {} if predicted is None else pose_errors(kind, predicted, value)
        unparsed += predicted is None
        for name, error in found.items():
            errors.setdefault(name, []).append(error)
        pair = pairs.setdefault(reference["pair"], {})
        if kind == "yaw_pitch_roll":
            pair["rotation"] = found.get("rotation_error_degrees", math.inf)
        elif kind == "translation_direction":
            angle = found.get("translation_direction_error_degrees", math.inf)
            pair["direction"] = min(angle, 180 - angle) if math.isfinite(angle) else angle
    scores = {name: statistics.fmean(values) for name, values in errors.items()}
    whole = [max(pair.values()) for pair in pairs.values() if len(pair) == 2]
    if whole:
        scores |= {f"auc_{degrees}": pose_auc(whole, degrees) for degrees in AUC_DEGREES}
    return scores | {"unparsed": unparsed / len(references), "count": len(references)}


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class CameraPose(evaluate.Metric):
    """`pose_scores` as a metric of the `evaluate` library."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": {
                        "pair": datasets.Value("string"),
                        "kind": datasets.Value("string"),
                        "value": datasets.List(datasets.Value("float64")),
                    },
                }
            ),
        )

    def _compute(self, predictions: list[str], references: list[dict]) -> dict[str, float]:
        return pose_scores(predictions, references)
