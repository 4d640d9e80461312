"""The four metrics of VLM3: golden cases by hand, unparsed answers that count as wrong, and loading by path."""

import math

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.spatial_prompts import (
    correspondence_answer,
    depth_answer,
    rotation_angle_answer,
    translation_direction_answer,
    translation_distance_answer,
    yaw_pitch_roll_answer,
)
from igep.trainers.geometry.camera_angles import rotation_from_yaw_pitch_roll, yaw_pitch_roll_from_rotation
from igep.trainers.metrics.camera_pose import CameraPose, pose_auc, pose_scores
from igep.trainers.metrics.metric_depth import ALIGNMENTS, MetricDepth, aligned_depth_scores, best_scale, depth_scores
from igep.trainers.metrics.object_relations import ObjectRelations, hours_apart, object_scores
from igep.trainers.metrics.pixel_correspondence import PixelCorrespondence, correspondence_scores
from igep.trainers.package_files import PACKAGE


FOLDER = PACKAGE / "trainers" / "metrics"
UNPARSED = ("about two metres", "", "<answer>1.2.3</answer>", "NaN", "1e400", "<answer> 2")


def pose(kind, *value, pair="a"):
    return {"pair": pair, "kind": kind, "value": list(value)}


def thing(kind, *value, family="object_size"):
    return {"family": family, "kind": kind, "value": list(value)}


# ---- Metric depth


def test_depth_by_hand():
    scores = depth_scores([2.0, 1.25, 1.2499, None, 8.0], [2.0, 1.0, 1.0, 3.0, 10.1])
    assert scores["delta_1"] == pytest.approx(2 / 5)  # 1.25 itself is outside, and so is 10.1 / 8
    assert scores["abs_rel"] == pytest.approx((0 + 0.25 + 0.2499 + 2.1 / 10.1) / 4)
    assert scores["unparsed"] == pytest.approx(0.2)
    assert scores["count"] == 5


def test_unparsed_depths_are_wrong():
    scores = MetricDepth().compute(predictions=[*UNPARSED, depth_answer(2.0)], references=[2.0] * 7)
    assert scores["delta_1"] == pytest.approx(1 / 7)
    assert scores["unparsed"] == pytest.approx(6 / 7)
    assert scores["abs_rel"] == 0
    nothing = MetricDepth().compute(predictions=["?"], references=[2.0])
    assert nothing["delta_1"] == 0
    assert math.isnan(nothing["abs_rel"])


def test_batches_add_up():
    metric = MetricDepth()
    for text, metres in ((depth_answer(1.0), 1.0), ("?", 1.0)):
        metric.add_batch(predictions=[text], references=[metres])
    assert metric.compute()["delta_1"] == 0.5


def test_one_scale_for_all_depths_by_hand():
    assert best_scale([1.0, 2.0, 4.0], [3.0, 6.0, 40.0], "median") == 3
    # Ratios p / t are 1/2, 1 and 2: their sum over the sum of their squares.
    assert best_scale([1.0, 3.0, 8.0], [2.0, 3.0, 4.0], "least_squares") == pytest.approx(3.5 / 5.25)
    for alignment in ALIGNMENTS[1:]:
        scores = aligned_depth_scores([0.5, None, 1.0, -1.0], [1.0, 5.0, 2.0, 3.0], alignment)
        assert (scores["abs_rel"], scores["delta_1"], scores["unparsed"]) == (0, 0.5, 0.5)
    assert aligned_depth_scores([0.5], [1.0], "none") == depth_scores([0.5], [1.0])
    assert math.isnan(aligned_depth_scores([None], [1.0], "median")["abs_rel"])
    texts = [depth_answer(metres) for metres in (1.0, 2.0)]
    assert MetricDepth().compute(predictions=texts, references=[3.0, 6.0], alignment="median")["delta_1"] == 1
    with pytest.raises(ValueError, match="alignment='mean' is unknown: use one of none, median, least_squares"):
        aligned_depth_scores([None], [1.0], "mean")


@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)), min_size=1, max_size=6), st.floats(0.01, 100))
def test_aligned_errors_do_not_see_the_scale(pairs, scale):
    predicted, true = zip(*pairs, strict=True)
    for alignment in ALIGNMENTS[1:]:
        own = aligned_depth_scores(predicted, true, alignment)["abs_rel"]
        other = aligned_depth_scores([scale * one for one in predicted], true, alignment)["abs_rel"]
        assert other == pytest.approx(own, rel=1e-6, abs=1e-9)


# ---- Correspondence


def test_correspondence_by_hand():
    scores = correspondence_scores([(3.0, 4.0), (0.0, 0.0), None, (0.0, 51.0)], [[0, 0], [0, 0], [9, 9], [0, 0]])
    assert scores["end_point_error_mean"] == pytest.approx(56 / 3)
    assert scores["end_point_error_median"] == 5
    assert (scores["pck_1"], scores["pck_5"], scores["pck_10"]) == (0.5, 0.5, 0.75)
    assert (scores["unparsed"], scores["count"]) == (0.25, 4)


def test_steps_bound_the_answers_and_scale_pck():
    texts = [correspondence_answer((60, 2)), correspondence_answer((64, 2))]
    scores = PixelCorrespondence().compute(predictions=texts, references=[[63.0, 2.0]] * 2, steps=64)
    assert scores["unparsed"] == 0.5
    assert (scores["pck_1"], scores["pck_5"]) == (0.0, 0.5)


# ---- Camera pose


def test_auc_by_hand():
    # Errors 0.5 and 2.5 of four pairs: within 1, 2, 3, 4, 5 degrees are 1, 1, 2, 2, 2 of them.
    assert pose_auc([0.5, 2.5, 7.0, math.inf], 5) == pytest.approx((1 + 1 + 2 + 2 + 2) / 4 / 5)
    assert pose_auc([0.0, 0.9], 10) == 1


def test_a_perfect_pose():
    angles = (89.6, 2.6, 6.1)
    direction = (0.6, 0.0, 0.8)
    scores = pose_scores(
        [
            rotation_angle_answer(12.3),
            yaw_pitch_roll_answer(*angles),
            translation_direction_answer(direction),
            translation_distance_answer(1.98),
        ],
        [
            pose("rotation_angle", 12.3),
            pose("yaw_pitch_roll", *angles),
            pose("translation_direction", *direction),
            pose("translation_distance", 1.98),
        ],
    )
    assert scores["auc_5"] == scores["auc_30"] == 1
    for name, value in scores.items():
        if "error" in name or name in ("unparsed", "translation_distance_abs_rel"):
            assert value == pytest.approx(0, abs=1e-6), name
    assert scores["count"] == 4


def test_each_pose_error_by_hand():
    scores = pose_scores(
        ["Rotation angle: 10 degrees", "Yaw=+179.0°, Pitch=+0.0°, Roll=+0.0°", "(1, 0, 0)", "2 meters"],
        [
            pose("rotation_angle", 13.0),
            pose("yaw_pitch_roll", -179.0, 0.0, 0.0),
            pose("translation_direction", 0.0, 0.0, 1.0),
            pose("translation_distance", 4.0),
        ],
    )
    assert scores["rotation_angle_error_degrees"] == pytest.approx(3)
    assert scores["yaw_error_degrees"] == pytest.approx(2)  # around the circle
    assert scores["rotation_error_degrees"] == pytest.approx(2)
    assert scores["translation_direction_error_degrees"] == pytest.approx(90)
    assert scores["translation_distance_error_metres"] == pytest.approx(2)
    assert scores["translation_distance_abs_rel"] == pytest.approx(0.5)
    assert scores["auc_30"] == 0


@given(st.tuples(*[st.floats(-170, 170)] * 3), st.tuples(*[st.floats(-80, 80)] * 3))
def test_rotation_error_is_that_of_the_rotations(true, predicted):
    answer = yaw_pitch_roll_answer(*predicted)
    rounded = [round(value, 1) for value in predicted]
    scores = pose_scores([answer], [pose("yaw_pitch_roll", *true)])
    between = rotation_from_yaw_pitch_roll(*true).T @ rotation_from_yaw_pitch_roll(*rounded)
    cosine = (between.trace() - 1) / 2
    assert math.cos(math.radians(scores["rotation_error_degrees"])) == pytest.approx(cosine, abs=1e-9)
    assert len(yaw_pitch_roll_from_rotation(between)) == 3


def test_a_direction_and_its_opposite_are_one_in_the_curve_alone():
    scores = pose_scores(
        ["Yaw=0°, Pitch=0°, Roll=0°", "(0, 0, -1)"],
        [pose("yaw_pitch_roll", 0.0, 0.0, 0.0), pose("translation_direction", 0.0, 0.0, 1.0)],
    )
    assert scores["auc_5"] == 1
    assert scores["translation_direction_error_degrees"] == pytest.approx(180)


def test_an_unparsed_pose_is_infinitely_wrong():
    perfect = ["Yaw=0°, Pitch=0°, Roll=0°", "(0, 0, 1)"]
    true = [("yaw_pitch_roll", 0.0, 0.0, 0.0), ("translation_direction", 0.0, 0.0, 1.0)]
    references = [pose(*one, pair=name) for name in "ab" for one in true]
    scores = pose_scores([*perfect, perfect[0], "forward"], references)
    assert scores["auc_30"] == 0.5
    assert scores["unparsed"] == 0.25


# ---- Objects


def test_objects_by_hand():
    scores = object_scores(
        ["Yes", "No", "?", "(1, 2, 3, 4)", "1.2 m", "2 m", "3 o'clock", "12 o'clock"],
        [
            thing("polarity", 1.0),
            thing("polarity", 1.0),
            thing("polarity", 0.0),
            thing("choice", 1.0, 2.0, 3.0, 4.0),
            thing("metres", 1.0, family="object_width_metres"),
            thing("metres", 1.0, family="object_width_metres"),
            thing("clock", 4.0, family="object_clock"),
            thing("clock", 10.0, family="object_clock"),
        ],
    )
    assert scores["qualitative_accuracy"] == scores["object_size"] == 0.5
    assert scores["quantitative_success"] == scores["object_width_metres"] == 0.5
    assert scores["quantitative_abs_rel"] == pytest.approx(0.6)
    assert scores["clock_accuracy"] == scores["object_clock"] == 0.5
    assert scores["clock_error_hours"] == 1.5
    assert (scores["unparsed"], scores["count"]) == (0.125, 8)


@pytest.mark.parametrize(("first", "second", "apart"), [(12, 1, 1), (12, 6, 6), (3, 3, 0), (11, 2, 3), (2, 11, 3)])
def test_hours(first, second, apart):
    assert hours_apart(first, second) == apart


# ---- All of them

CASES = {
    "metric_depth": (MetricDepth, 2.0),
    "pixel_correspondence": (PixelCorrespondence, [3.0, 4.0]),
    "camera_pose": (CameraPose, pose("yaw_pitch_roll", 1.0, 2.0, 3.0)),
    "object_relations": (ObjectRelations, thing("metres", 2.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_loads_by_path(name):
    metric, reference = CASES[name]
    texts = ["<answer>2</answer> (3, 4) Yaw=1°, Pitch=2°, Roll=3° 2 m", "?"]
    loaded = evaluate.load(str(FOLDER / f"{name}.py"))
    expected = metric().compute(predictions=texts, references=[reference] * 2)
    assert loaded.compute(predictions=texts, references=[reference] * 2) == pytest.approx(expected, nan_ok=True)
    assert loaded.description
    assert loaded.citation


@pytest.mark.parametrize("name", CASES)
@given(texts=st.lists(st.text(), min_size=1, max_size=4))
def test_no_prediction_makes_scoring_raise(name, texts):
    _, reference = CASES[name]
    score = {
        "metric_depth": lambda: MetricDepth()._compute(texts, [reference] * len(texts)),
        "pixel_correspondence": lambda: PixelCorrespondence()._compute(texts, [reference] * len(texts)),
        "camera_pose": lambda: pose_scores(texts, [reference] * len(texts)),
        "object_relations": lambda: object_scores(texts, [reference] * len(texts)),
    }[name]
    assert score()["count"] == len(texts)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda: depth_scores([], []), "nothing to score"),
        (lambda: depth_scores([1.0], [0.0]), "positive"),
        (lambda: depth_scores([1.0], [math.nan]), "positive"),
        (lambda: correspondence_scores([], []), "nothing to score"),
        (lambda: correspondence_scores([None], [[1.0]]), "two finite numbers"),
        (lambda: correspondence_scores([None], [[1.0, math.inf]]), "two finite numbers"),
        (lambda: pose_scores([], []), "nothing to score"),
        (lambda: pose_scores(["?"], [pose("speed", 1.0)]), "kind='speed'"),
        (lambda: pose_scores(["?"], [pose("yaw_pitch_roll", 1.0)]), "3 finite numbers"),
        (lambda: object_scores([], []), "nothing to score"),
        (lambda: object_scores(["?"], [thing("colour", 1.0)]), "kind='colour'"),
        (lambda: object_scores(["?"], [thing("choice", 1.0)]), "4 finite numbers"),
        (lambda: object_scores(["?"], [thing("metres", 0.0)]), "positive"),
    ],
)
def test_bad_references_are_named(score, message):
    with pytest.raises(ValueError, match=message):
        score()
