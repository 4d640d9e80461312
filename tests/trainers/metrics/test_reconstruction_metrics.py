"""Poses, trajectories and point maps: closed forms, what must not change them, broken predictions, loading by path."""

import math

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from igep.trainers.geometry.camera_angles import rotation_from_yaw_pitch_roll
from igep.trainers.geometry.similarity_alignment import align_points
from igep.trainers.metrics.point_map_error import PointMapError, point_map_scores
from igep.trainers.metrics.pose_auc import PoseAUC, pose_auc_scores
from igep.trainers.metrics.trajectory_error import TrajectoryError, trajectory_scores
from igep.trainers.package_files import PACKAGE


SEEDS = st.integers(0, 2**32 - 1)


def posed(*centres, yaws=None) -> np.ndarray:
    """(F, 4, 4) cameras at places, turned right by some degrees."""
    poses = np.tile(np.eye(4), (len(centres), 1, 1))
    poses[:, :3, 3] = centres
    for pose, yaw in zip(poses, yaws or [0] * len(centres), strict=True):
        pose[:3, :3] = rotation_from_yaw_pitch_roll(yaw, 0, 0)
    return poses


def random_poses(seed: int, frames: int = 4) -> np.ndarray:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.random(frames, rng=seed).as_matrix()
    poses[:, :3, 3] = np.random.default_rng(seed).normal(size=(frames, 3))
    return poses


def moved(poses: np.ndarray, seed: int, scale: float = 1.0) -> np.ndarray:
    """The same cameras in another world, which may count in another unit."""
    scaled = poses.copy()
    scaled[:, :3, 3] *= scale
    return random_poses(seed, 1)[0] @ scaled


# ---- Pose AUC


def test_pairs_by_hand():
    """Three cameras in a row, the last predicted turned by 2.5 degrees: pairs with it are 2.5 degrees off, or more."""
    true = posed((0, 0, 0), (1, 0, 0), (2, 0, 0))
    predicted = posed((0, 0, 0), (1, 0, 0), (2, 0, 0), yaws=[0, 0, 2.5])
    scores = pose_auc_scores([predicted], [true])
    # Within 1, 2, 3, 4, 5 degrees are one, one and then three of three pairs.
    assert scores["auc_5"] == pytest.approx((1 / 3 + 1 / 3 + 1 + 1 + 1) / 5)
    assert scores["rotation_error_degrees"] == pytest.approx(2.5)
    assert scores["translation_direction_error_degrees"] == pytest.approx(0, abs=1e-9)
    assert (scores["count"], scores["unusable"], scores["without_baseline"]) == (3, 0, 0)
    sideways = posed((0, 0, 0), (math.cos(math.radians(7)), 0, math.sin(math.radians(7))))
    scores = pose_auc_scores([sideways], [true[:2]])
    assert (scores["auc_5"], scores["auc_10"]) == (0, pytest.approx(3 / 10))


@given(SEEDS, st.floats(0.01, 100))
def test_neither_world_nor_scale_matters(seed, scale):
    true = random_poses(seed)
    perfect = pose_auc_scores([moved(true, seed + 1, scale)], [moved(true, seed + 2)])
    assert perfect["auc_5"] == perfect["auc_30"] == 1
    predicted = random_poses(seed + 3)
    own = pose_auc_scores([predicted], [true], "peer")
    other = pose_auc_scores([moved(predicted, seed + 4, scale)], [true], "peer")
    assert other["rotation_error_degrees"] == pytest.approx(own["rotation_error_degrees"])


def test_a_direction_and_its_opposite_are_one_to_the_peer_alone():
    true, predicted = posed((0, 0, 0), (0, 0, 1)), posed((0, 0, 0), (0, 0, -1))
    assert pose_auc_scores([predicted], [true], "peer")["auc_5"] == 1
    strict = pose_auc_scores([predicted], [true])
    assert (strict["auc_30"], strict["translation_direction_error_degrees"]) == (0, 180)


def test_cameras_at_one_place():
    stands, moves = posed((0, 0, 0), (0, 0, 0)), posed((0, 0, 0), (0, 0, 1))
    assert pose_auc_scores([moves], [stands])["auc_5"] == 1, "what has no direction is judged by its rotation"
    assert pose_auc_scores([moves], [stands])["without_baseline"] == 1
    assert pose_auc_scores([moves], [stands], "peer")["auc_30"] == 0
    assert pose_auc_scores([stands], [moves])["auc_30"] == pose_auc_scores([stands], [moves], "peer")["auc_30"] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pose_that_is_none_spoils_its_pairs(bad):
    true = posed((0, 0, 0), (1, 0, 0), (2, 0, 0))
    predicted = true.copy()
    predicted[2, 0, 3] = bad
    scores = pose_auc_scores([predicted, true], [true, true])
    assert (scores["auc_30"], scores["unusable"], scores["count"]) == (pytest.approx(4 / 6), 1, 6)
    mirrored = true.copy()
    mirrored[0, 0, 0] = -1
    assert pose_auc_scores([mirrored], [true])["unusable"] == 1
    nothing = pose_auc_scores([np.full_like(true, bad)], [true])
    assert nothing["auc_30"] == 0
    assert math.isnan(nothing["rotation_error_degrees"])


# ---- Trajectories


def test_trajectories_by_hand():
    square = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    true = posed(*square)
    double = true.copy()
    double[:, :3, 3] *= 2
    scores = trajectory_scores([double], [true])
    assert scores["ate_sim3_metres"] == pytest.approx(0, abs=1e-12)
    # About the centre, corners of the doubled square are half a diagonal farther out than those of the square.
    assert scores["ate_se3_metres"] == pytest.approx(math.sqrt(0.5))
    # From the first corner they are 0, 1, sqrt 2 and 1 away.
    assert scores["ate_first_camera_metres"] == pytest.approx(1)
    assert scores["scale_error"] == pytest.approx(1)
    one_off = posed((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 2))
    assert trajectory_scores([one_off], [true])["ate_first_camera_metres"] == pytest.approx(1)  # sqrt(2^2 / 4)


@given(SEEDS, st.floats(0.1, 10))
def test_what_each_alignment_does_not_see(seed, scale):
    true = random_poses(seed)
    scaled = trajectory_scores([moved(true, seed + 1, scale)], [true])
    assert scaled["ate_sim3_metres"] == pytest.approx(0, abs=1e-7)
    assert scaled["scale_error"] == pytest.approx(max(scale, 1 / scale) - 1, abs=1e-7)
    same = trajectory_scores([moved(true, seed + 1)], [true])
    assert same["ate_se3_metres"] == pytest.approx(0, abs=1e-7)
    assert same["ate_first_camera_metres"] == pytest.approx(0, abs=1e-7)
    other = trajectory_scores([random_poses(seed + 2)], [true])
    assert other["ate_sim3_metres"] <= other["ate_se3_metres"] + 1e-9 <= other["ate_first_camera_metres"] + 2e-9


def test_what_cannot_be_aligned_is_counted():
    true = posed((0, 0, 0), (1, 0, 0), (1, 1, 0))
    broken = true.copy()
    broken[1] = np.nan
    scores = trajectory_scores([true, broken, true[:2]], [true, true, true[:2]])
    assert (scores["count"], scores["unusable"], scores["too_short"]) == (1, 1, 1)
    stands = trajectory_scores([posed(*[(0, 0, 0)] * 3)], [true])
    centre = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0)]).mean(0)
    spread = np.sqrt(np.square(true[:, :3, 3] - centre).sum(-1).mean())
    assert stands["ate_sim3_metres"] == pytest.approx(spread)
    assert stands["scale_error"] == math.inf
    assert math.isnan(trajectory_scores([true[:1]], [true[:1]])["ate_sim3_metres"])


# ---- Point maps


def test_point_maps_by_hand():
    true = np.array([[0.0, 0, 2], [0, 0, 4]])
    scores = point_map_scores([true * 1.5], [true])
    assert scores["point_error_metres"] == pytest.approx((1 + 2) / 2)
    assert scores["relative_point_error"] == pytest.approx(0.5)
    for name in ("point_error_scaled_metres", "point_error_sim3_metres", "chamfer_metres"):
        assert scores[name] == pytest.approx(0, abs=1e-12)
    # Of |s p - t|^2 / |t|^2 for p = (3, 2): s = (3 * 2 / 4 + 2 * 4 / 16) / (9 / 4 + 4 / 16) = 0.8.
    scores = point_map_scores([np.array([[0.0, 0, 3], [0, 0, 2]])], [true])
    assert scores["point_error_scaled_metres"] == pytest.approx((abs(2.4 - 2) + abs(1.6 - 4)) / 2)
    assert scores["relative_point_error_scaled"] == pytest.approx((0.4 / 2 + 2.4 / 4) / 2)


@given(SEEDS)
def test_clouds_are_judged_by_the_nearest_point(seed):
    predicted, true = np.random.default_rng(seed).normal(size=(2, 6, 3))
    scores = point_map_scores([predicted], [true])
    aligned = align_points(predicted, true, with_scale=True).apply(predicted)
    apart = np.linalg.norm(aligned[:, None] - true[None], axis=-1)
    assert scores["accuracy_metres"] == pytest.approx(apart.min(1).mean())
    assert scores["completeness_metres"] == pytest.approx(apart.min(0).mean())
    assert scores["chamfer_metres"] == pytest.approx((apart.min(0).mean() + apart.min(1).mean()) / 2)
    assert scores["point_error_sim3_metres"] == pytest.approx(np.diag(apart).mean())


@given(SEEDS, st.floats(0.1, 10))
def test_scale_does_not_matter_after_alignment(seed, scale):
    predicted, true = np.random.default_rng(seed).normal(size=(2, 6, 3))
    own, other = point_map_scores([predicted], [true]), point_map_scores([predicted * scale], [true])
    for name in (
        "point_error_scaled_metres",
        "point_error_sim3_metres",
        "relative_point_error_scaled",
        "chamfer_metres",
    ):
        assert other[name] == pytest.approx(own[name], rel=1e-6, abs=1e-9)


def test_points_that_are_none_are_counted():
    true = np.array([[0.0, 0, 2], [0, 0, 4]])
    predicted = true.copy()
    predicted[1] = np.nan
    scores = point_map_scores([predicted, predicted * np.nan], [true, true])
    assert (scores["point_error_metres"], scores["unusable"], scores["count"]) == (0, 3, 1)
    assert math.isnan(point_map_scores([predicted * np.nan], [true])["chamfer_metres"])


# ---- All of them

POSES = posed((0, 0, 0), (1, 0, 0), (1, 1, 0))
CASES = {
    "pose_auc": (PoseAUC, POSES, {"protocol": "peer"}),
    "trajectory_error": (TrajectoryError, POSES, {}),
    "point_map_error": (PointMapError, POSES[:, :3, 3] + 1, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_loads_by_path(name):
    metric, one, options = CASES[name]
    pair = {"predictions": [one.tolist()] * 2, "references": [one.tolist()] * 2}
    loaded = evaluate.load(str(PACKAGE / "trainers" / "metrics" / f"{name}.py"))
    assert loaded.compute(**pair, **options) == pytest.approx(metric().compute(**pair, **options), nan_ok=True)
    assert loaded.description
    assert loaded.citation


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda: pose_auc_scores([], []), "nothing to score"),
        (lambda: pose_auc_scores([POSES[:1]], [POSES[:1]]), "two or more frames"),
        (lambda: pose_auc_scores([POSES], [POSES], "co3d"), "protocol='co3d'"),
        (lambda: pose_auc_scores([POSES[:2]], [POSES]), "every frame one pose"),
        (lambda: pose_auc_scores([POSES], [POSES * np.nan]), "frame 0 .* is no pose"),
        (lambda: trajectory_scores([], []), "nothing to score"),
        (lambda: trajectory_scores([POSES], [POSES * 0]), "is no pose"),
        (lambda: point_map_scores([], []), "nothing to score"),
        (lambda: point_map_scores([np.ones((2, 3))], [np.ones((1, 3))]), "2 points of a video and references 1"),
        (lambda: point_map_scores([np.ones((1, 3))], [np.zeros((1, 3))]), "true points are finite"),
    ],
)
def test_bad_references_are_named(score, message):
    with pytest.raises(ValueError, match=message):
        score()
