"""The figures of VLM3's tasks: what the metrics computed, with unit, range, direction and number of answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from igep.trainers.metrics.figure import SHARE, SHARE_OF_FAILURES, Figure, Scale, error_scale


RATIO, DEGREES = error_scale("ratio"), error_scale("degrees")
SCALES: dict[str, dict[str, Scale]] = {
    "depth": {"delta_1": SHARE, "abs_rel": RATIO},
    "correspondence": {
        "end_point_error_mean": error_scale("text steps"),
        "end_point_error_median": error_scale("text steps"),
        **dict.fromkeys(("pck_1", "pck_5", "pck_10"), SHARE),
    },
    "pose": {
        "rotation_angle_error_degrees": DEGREES,
        "yaw_error_degrees": DEGREES,
        "pitch_error_degrees": DEGREES,
        "roll_error_degrees": DEGREES,
        "rotation_error_degrees": DEGREES,
        "translation_direction_error_degrees": DEGREES,
        "translation_distance_error_metres": error_scale("metres"),
        "translation_distance_abs_rel": RATIO,
        **dict.fromkeys(("auc_5", "auc_10", "auc_30"), SHARE),
    },
    "objects": {
        "qualitative_accuracy": SHARE,
        "quantitative_success": SHARE,
        "quantitative_abs_rel": RATIO,
        "clock_accuracy": SHARE,
        "clock_error_hours": error_scale("hours"),
    },
}
# Figures of one type of questions, whose names are not that of the type.
ASKED_BY = {
    "rotation_angle_error_degrees": "rotation_angle",
    **dict.fromkeys(("yaw_error_degrees", "pitch_error_degrees", "roll_error_degrees"), "yaw_pitch_roll"),
    "rotation_error_degrees": "yaw_pitch_roll",
    "translation_direction_error_degrees": "translation_direction",
    **dict.fromkeys(("auc_5", "auc_10", "auc_30"), "translation_direction"),
    **dict.fromkeys(("translation_distance_error_metres", "translation_distance_abs_rel"), "translation_distance"),
}


def task_figures(task: str, scores: Mapping[str, float], answered: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """States what the scores of a task are.

    Args:
        task (`str`): `depth`, `correspondence`, `pose` or `objects`.
        scores (`Mapping[str, float]`): What its metric computed, NaN where no answer could be read.
        answered (`Sequence[dict]`): One row per question, with its `question_type`.

    Returns:
        `dict[str, Figure]`: All scores but `count`, in the order of the metric. `n` is the number of questions of the
        task or, for a figure of one type of questions, of that type.

    Raises:
        KeyError: A score that the task does not have.
    """
    by_type = Counter(row["question_type"] for row in answered)
    scales = SCALES[task] | {"unparsed": SHARE_OF_FAILURES}
    if task == "objects":
        scales |= dict.fromkeys(by_type, SHARE)
    return {
        name: Figure.measured(value, by_type.get(ASKED_BY.get(name, name), len(answered)), scales[name])
        for name, value in scores.items()
        if name != "count"
    }
