"""Every score of VLM3's tasks is a figure with a unit, a range, a direction and the questions behind it."""

import math

import pytest

from igep.spatial_prompts import depth_answer
from igep.trainers.evaluation.benchmarks.vlm3_figures import ASKED_BY, SCALES, task_figures
from igep.trainers.evaluation.benchmarks.vlm3_tasks import task_scores
from igep.trainers.metrics.figure import SHARE


def rows(*types: str) -> list[dict]:
    return [{"question_type": kind} for kind in types]


def test_depth():
    answered = [
        {"question_type": "metric_depth", "prediction": text, "reference": 2.0} for text in (depth_answer(2.2), "far")
    ]
    figures = task_figures("depth", task_scores("depth", answered), answered)
    assert list(figures) == ["delta_1", "abs_rel", "unparsed"], "how many there were is no figure"
    assert figures["delta_1"].value == figures["unparsed"].value == 0.5
    assert (figures["delta_1"].scale.higher_is_better, figures["unparsed"].scale.higher_is_better) == (True, False)
    assert figures["abs_rel"].scale.highest is None
    assert {figure.n for figure in figures.values()} == {2}


def test_what_nothing_was_read_for_has_no_value():
    assert task_figures("depth", {"abs_rel": math.nan}, rows("metric_depth"))["abs_rel"].value is None


def test_figures_of_one_type_count_its_questions_alone():
    answered = rows("rotation_angle", "rotation_angle", "yaw_pitch_roll", "translation_direction")
    scores = {"rotation_angle_error_degrees": 120.0, "yaw_error_degrees": 3.0, "auc_5": 0.5, "unparsed": 0.0}
    figures = task_figures("pose", scores, answered)
    assert [figure.n for figure in figures.values()] == [2, 1, 1, 4]
    assert set(ASKED_BY) <= set(SCALES["pose"])
    families = rows("wide_choice", "wide_choice", "how_far")
    figures = task_figures("objects", {"qualitative_accuracy": 1.0, "wide_choice": 0.5}, families)
    assert (figures["wide_choice"].n, figures["qualitative_accuracy"].n) == (2, 3)
    assert figures["wide_choice"].scale == SHARE


def test_a_score_that_nobody_has_described_is_an_error():
    with pytest.raises(KeyError, match="beauty"):
        task_figures("depth", {"beauty": 1.0}, rows("metric_depth"))
