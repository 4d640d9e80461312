import numpy as np
import pytest

from igep.trainers.evaluation.depth_probe import (
    depth_by_place,
    fit_depth_probe,
    score_depth,
    score_depth_probe,
    score_relative_depth,
    token_depth,
)


@pytest.fixture
def linear_tokens():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 6))
    depth = np.exp(features @ np.array([0.3, -0.2, 0.1, 0.0, 0.4, 0.05]) + 1.0)
    return features, depth


def test_depth_that_is_linear_in_the_tokens_is_recovered(linear_tokens):
    features, depth = linear_tokens
    probe = fit_depth_probe(features[:3000], depth[:3000], penalty=1e-6)
    np.testing.assert_allclose(probe.predict_metres(features[3000:]), depth[3000:], rtol=1e-6)
    assert score_depth_probe(probe, features[3000:], depth[3000:]) == {"r2": pytest.approx(1), "delta_1": 1.0}


def test_tokens_that_know_nothing_score_zero(linear_tokens):
    _, depth = linear_tokens
    noise = np.random.default_rng(1).normal(size=(4000, 6))
    scores = score_depth_probe(fit_depth_probe(noise[:3000], depth[:3000]), noise[3000:], depth[3000:])
    assert abs(scores["r2"]) < 0.02


def test_unknown_depth_is_left_out(linear_tokens):
    features, depth = linear_tokens
    holes = depth.copy()
    holes[::3] = np.nan
    probe = fit_depth_probe(features, holes, penalty=1e-6)
    assert score_depth_probe(probe, features, holes)["r2"] == pytest.approx(1)


def test_token_depth_is_the_geometric_mean_of_valid_pixels():
    depth = np.array([[1.0, 4.0, 2.0, 2.0], [0.0, np.nan, 2.0, 2.0]])
    np.testing.assert_allclose(token_depth(depth, (1, 2)), [[2.0, 2.0]])
    assert np.isnan(token_depth(np.zeros((2, 2)), (1, 1))).all()


def test_a_grid_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="3 x 3 grid"):
        token_depth(np.ones((8, 8)), (3, 3))


def test_too_few_tokens_are_refused():
    with pytest.raises(ValueError, match="use more frames"):
        fit_depth_probe(np.ones((4, 8)), np.ones(4))


def test_relative_depth_asks_what_no_constant_knows():
    rng = np.random.default_rng(0)
    depth = np.exp(rng.normal(size=(50, 4, 4)))
    depth[:, 0, 0] = np.nan
    # Each frame's own scale is forgiven, and its order is all that counts.
    perfect = score_relative_depth(depth * rng.uniform(0.5, 2, size=(50, 1, 1)), depth)
    assert perfect["within_frame_r2"] == pytest.approx(1)
    assert perfect["order"] == 1
    assert 1000 < perfect["pairs"] <= 50 * 32
    # The mean of every frame, known exactly, is worth nothing.
    means = np.exp(np.nanmean(np.log(depth), (1, 2), keepdims=True)) * np.ones_like(depth)
    constant = score_relative_depth(means, depth)
    assert constant["within_frame_r2"] == pytest.approx(0, abs=1e-9)
    assert constant["order"] == 0.5
    turned = score_relative_depth(1 / depth, depth)
    assert turned["order"] == 0
    assert turned["within_frame_r2"] == pytest.approx(-3)  # (2 x)^2 for x^2
    # Half the deviation in logarithms: 1 - (1/2)^2.
    assert score_relative_depth(np.sqrt(depth), depth)["within_frame_r2"] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="no frame has two tokens of known depth"):
        score_relative_depth(depth, np.full_like(depth, np.nan))
    with pytest.raises(ValueError, match="no frame has tokens of different depth"):
        score_relative_depth(depth, np.ones_like(depth))


def test_the_best_guess_of_a_place_is_its_geometric_mean():
    depth = np.array([[[1.0, 2.0]], [[4.0, np.nan]]])
    np.testing.assert_allclose(depth_by_place(depth), [[2.0, 2.0]])
    with pytest.raises(ValueError, match="1 places have depth in no frame"):
        depth_by_place(depth[1:])


def test_scores_of_a_prediction_leave_unknown_depth_out():
    truth = np.array([1.0, 2.0, np.nan])
    assert score_depth(np.array([1.0, 2.0, 5.0]), truth) == {"r2": 1.0, "delta_1": 1.0}
    assert score_depth(np.full(3, np.sqrt(2.0)), truth) == {"r2": pytest.approx(0), "delta_1": 0.0}
