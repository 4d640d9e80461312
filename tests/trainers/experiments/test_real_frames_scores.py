import numpy as np
import pytest

from igep.trainers.evaluation.depth_probe import DepthProbe, fit_depth_probe, score_depth_probe, score_relative_depth
from igep.trainers.experiments.real_frames_scores import fit_probe, places, probe_sums, question_sums
from igep.trainers.experiments.real_frames_table import explained, explained_of_all, share


def probe(weight: float, offset: float) -> DepthProbe:
    """Log depth = weight * the first channel + offset."""
    return DepthProbe(np.zeros(2), np.ones(2), np.array([weight, 0.0]), offset)


def features_of(logs: np.ndarray) -> np.ndarray:
    return np.stack([logs, np.zeros_like(logs)], -1)


def test_sums_of_one_block_are_the_figures_of_the_scorer():
    rng = np.random.default_rng(0)
    features, depth = rng.normal(size=(5, 4, 4, 2)), np.exp(rng.normal(size=(5, 4, 4)))
    depth[0, 0] = np.nan
    fitted = probe(0.3, 0.1)
    sums = {name: np.array(values, dtype=float) for name, values in probe_sums(fitted, features, depth).items()}
    absolute = score_depth_probe(fitted, features.reshape(-1, 2), depth.reshape(-1))
    relative = score_relative_depth(fitted.predict_metres(features), depth)
    assert explained_of_all(sums["absolute"]) == pytest.approx(absolute["r2"])
    assert share(sums["delta_1"]) == pytest.approx(absolute["delta_1"])
    assert explained(sums["within_frame"]) == pytest.approx(relative["within_frame_r2"])
    assert share(sums["order"]) == pytest.approx(relative["order"])


def test_blocks_add_up_to_the_figures_of_both():
    rng = np.random.default_rng(1)
    features, depth = rng.normal(size=(6, 4, 4, 2)), np.exp(rng.normal(size=(6, 4, 4)))
    depth[3:] *= 4  # another mean
    fitted = probe(0.5, 0.2)
    halves = [probe_sums(fitted, features[half], depth[half]) for half in (slice(3), slice(3, 6))]
    together = {name: np.add(halves[0][name], halves[1][name]) for name in halves[0]}
    absolute = score_depth_probe(fitted, features.reshape(-1, 2), depth.reshape(-1))
    relative = score_relative_depth(fitted.predict_metres(features), depth)
    assert explained_of_all(together["absolute"]) == pytest.approx(absolute["r2"])
    assert explained(together["within_frame"]) == pytest.approx(relative["within_frame_r2"])


def test_a_constant_knows_nothing_within_a_frame():
    depth = np.exp(np.random.default_rng(2).normal(size=(3, 4, 4)))
    sums = probe_sums(probe(0.0, 0.7), features_of(np.log(depth)), depth)
    assert explained(np.array(sums["within_frame"])) == pytest.approx(0)
    assert share(np.array(sums["order"])) == pytest.approx(0.5)
    assert probe_sums(probe(1.0, 0.0), features_of(np.zeros((1, 2, 2))), np.full((1, 2, 2), np.nan)) == {}


def test_the_penalty_is_chosen_on_what_is_fitted():
    rng = np.random.default_rng(3)
    frames = [*range(10), *range(20, 30), *range(40, 50)]
    truth = np.exp(rng.normal(size=(30, 4, 4)))
    clean = np.concatenate([np.log(truth)[..., None], rng.normal(size=(30, 4, 4, 3))], -1)
    flat = clean.reshape(-1, 4), truth.reshape(-1)
    assert np.array_equal(fit_probe(clean, truth, frames).weights, fit_depth_probe(*flat, 10.0).weights)
    truth = truth[:, :2, :2]
    noise = rng.normal(size=(*truth.shape, 60))  # nothing to know: what stays near the mean is best
    usual = fit_depth_probe(noise.reshape(-1, 60), truth.reshape(-1), 10.0)
    assert np.abs(fit_probe(noise, truth, frames).weights).max() < 0.1 * np.abs(usual.weights).max()


def test_places_are_the_same_in_every_frame():
    found = places((2, 3, 5))
    assert found.shape == (2, 3, 5, 5)
    assert np.array_equal(found[0], found[1])
    assert found[0, 0, 0].tolist() == [-1, -1, 1, 1, 1]


def test_answers_and_answers_without_looking():
    asked = {"kind": "closer", "question": "Which point is closer, red or blue?", "answer": "red"}
    far = {
        "kind": "distance",
        "question": "How many metres away is the red point?",
        "guess": None,
        "prediction": "2.0",
    }
    rows = [
        {**asked, "guess": "blue", "prediction": "red"},
        {**asked, "guess": "red", "prediction": "green"},
        {**asked, "guess": "red", "prediction": ""},
        {**far, "answer": "2.0 "},
        {**far, "answer": "2.5"},
    ]
    assert question_sums(rows, "2.5") == {
        "closer": [1, 3],
        "blind_closer": [2, 3],
        "neither": [2, 3],
        "blind_neither": [0, 3],
        "distance": [0, 2],
        "blind_distance": [1, 2],
    }
    assert question_sums(rows[3:], "2.5") == {"distance": [0, 2], "blind_distance": [1, 2]}
