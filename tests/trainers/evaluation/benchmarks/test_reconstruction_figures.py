"""Figures of reconstructions: perfect and scaled geometry, depth alone, and what is missing, broken or not seen."""

import json
import math

import numpy as np
import pytest

from igep.trainers.evaluation.benchmarks.reconstruction import as_prediction, on_grid
from igep.trainers.evaluation.benchmarks.reconstruction_figures import UNREADABLE, reconstruction_figures


GRID = (3, 4)
FRAMES = 4


def a_scene(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[1:, :3, 3] = generator.normal(size=(FRAMES - 1, 3))
    intrinsics = np.tile([[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]], (FRAMES, 1, 1))
    depth = generator.uniform(1, 4, (FRAMES, *GRID)).round(3)
    return {"depth_metres": depth, "intrinsics": intrinsics, "world_from_camera": poses.round(6)}


def row(true: dict, predicted: dict | str | None) -> dict:
    stored = predicted if predicted is None or isinstance(predicted, str) else json.dumps(as_prediction(**predicted))
    return {"reference": as_prediction(**true), "prediction": stored}


def values(figures: dict) -> dict[str, float | None]:
    return {name: figure.value for name, figure in figures.items()}


def test_a_perfect_reconstruction_and_one_of_double_size():
    scenes = [a_scene(seed) for seed in range(2)]
    figures, facts = reconstruction_figures([row(scene, scene) for scene in scenes], GRID)
    for name, figure in figures.items():
        perfect = 1 if name.startswith(("auc", "depth_delta")) else 0
        assert figure.value == pytest.approx(perfect, abs=1e-6), name
        assert figure.scale.higher_is_better == bool(perfect)
    assert figures["depth_abs_rel, metric"].n == 2 * FRAMES * 12
    assert figures["auc_5, standard"].n == 2 * 6
    assert figures["point_error_metres"].n == 2 * FRAMES * 12
    assert (facts["missing"], facts["failures"], facts["pixels_not_seen"], facts["unusable_poses"]) == (0, {}, 0, 0)
    double = []
    for scene in scenes:
        poses = scene["world_from_camera"].copy()
        poses[:, :3, 3] *= 2
        double.append(row(scene, scene | {"depth_metres": 2 * scene["depth_metres"], "world_from_camera": poses}))
    found = values(reconstruction_figures(double, GRID)[0])
    assert (found["depth_abs_rel, metric"], found["depth_delta_1, metric"]) == (pytest.approx(1), 0)
    assert found["depth_abs_rel, median_scale"] == found["depth_abs_rel, least_squares_scale"] == pytest.approx(0)
    assert found["auc_5, peer"] == 1, "neither knows the scale"
    assert found["ate_sim3_metres"] < 1e-6
    assert found["ate_se3_metres"] > 0.1
    assert found["scale_error"] == pytest.approx(1)
    assert found["relative_point_error"] == pytest.approx(1)
    assert found["point_error_scaled_metres"] == pytest.approx(0, abs=1e-6)


def test_points_lie_where_depth_and_cameras_put_them():
    """One pixel deeper by a metre along the axis of its camera is one point off by a metre."""
    true = a_scene(0)
    true["intrinsics"][:, 0, 2], true["intrinsics"][:, 1, 2] = 1.5, 1.5  # through the centre of a pixel
    predicted = {name: value.copy() for name, value in true.items()}
    predicted["depth_metres"][2, 1, 1] += 1
    figures, _ = reconstruction_figures([row(true, predicted)], GRID)
    assert figures["point_error_metres"].value == pytest.approx(1 / (FRAMES * 12), abs=1e-6)


def test_depth_alone_has_figures_of_depth_alone():
    true = a_scene(0)
    figures, facts = reconstruction_figures(
        [row(true, {"depth_metres": true["depth_metres"], "intrinsics": None, "world_from_camera": None})], GRID
    )
    assert {name.split("_")[0] for name in figures} == {"depth"}
    assert "unusable_poses" not in facts
    without = true | {"depth_metres": None, "intrinsics": None}
    figures, facts = reconstruction_figures([row(without, true)], GRID)
    assert "auc_5, peer" in figures
    assert "depth_abs_rel, metric" not in figures
    assert (facts["scenes_without_depth"], facts["scenes_without_poses"]) == (1, 0)


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        "a chair",
        "[]",
        '{"depth_metres": null}',
        json.dumps(as_prediction(**a_scene(0))).replace("[[[", "[[[[", 1),
    ],
)
def test_what_is_missing_or_cannot_be_read_is_wrong_and_counted(nothing):
    scenes = [a_scene(0), a_scene(1)]
    figures, facts = reconstruction_figures([row(scenes[0], scenes[0]), row(scenes[1], nothing)], GRID)
    found = values(figures)
    assert found["depth_delta_1, metric"] == found["auc_30, standard"] == 0.5
    assert found["depth_abs_rel, metric"] == 0
    assert facts["unusable_poses"] == FRAMES
    assert facts["paths_not_scored"] == 1
    if nothing is None:
        assert (facts["missing"], facts["failures"]) == (1, {})
    else:
        assert (facts["missing"], facts["failures"]) == (0, {UNREADABLE: 1})
    everything, _ = reconstruction_figures([row(scenes[0], nothing)], GRID)
    assert not everything, "nobody predicted anything"


def test_pixels_that_are_broken_or_not_seen():
    true = a_scene(0)
    true["depth_metres"][0, 0] = 0  # not measured
    predicted = {name: value.copy() for name, value in true.items()}
    predicted["depth_metres"][1, 0] = -1  # outside of what the model sees
    predicted["depth_metres"][2, 0, 0] = np.nan
    predicted["depth_metres"][2, 0, 1] = np.inf
    predicted["depth_metres"][0, 0] = 7
    figures, facts = reconstruction_figures([row(true, predicted)], GRID)
    assert facts["pixels_not_seen"] == 4
    compared = FRAMES * 12 - 4 - 4
    assert figures["depth_delta_1, metric"].n == compared
    assert figures["depth_delta_1, metric"].value == pytest.approx(1 - 2 / compared)
    assert figures["depth_abs_rel, metric"].value == 0
    assert figures["point_error_metres"].n == compared - 2


def test_a_camera_that_stands_still_has_no_scale():
    true = a_scene(0)
    still = true | {"world_from_camera": np.tile(np.eye(4), (FRAMES, 1, 1))}
    found = values(reconstruction_figures([row(true, still)], GRID)[0])
    assert found["scale_error"] is None
    assert math.isfinite(found["ate_sim3_metres"])
    assert found["auc_30, standard"] == 0
    one = {name: value[:1] for name, value in true.items()}
    figures, _ = reconstruction_figures([row(one, one)], GRID)
    assert not any(name.startswith(("auc", "ate")) for name in figures), "one frame has neither pairs nor a path"


def test_the_grid_lies_on_the_whole_frame():
    depth = np.arange(4 * 8, dtype=np.float32).reshape(1, 4, 8)
    np.testing.assert_array_equal(on_grid(depth, (4, 8)), depth)
    np.testing.assert_array_equal(on_grid(depth, (2, 2))[0], [[8 + 2, 8 + 6], [24 + 2, 24 + 6]])
    # Of a frame of 8 x 4 pixels the centre square alone: the outer columns were not seen.
    square = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    found = on_grid(square, (4, 8), (8, 4))
    np.testing.assert_array_equal(found[0, :, 2:6], square[0])
    assert (found[0][:, [0, 1, 6, 7]] == -1).all()
