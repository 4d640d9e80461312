import numpy as np
import pytest

from igep.trainers.experiments.block_bootstrap import interval, resampled_counts


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def with_counts(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], -1)


def test_the_variance_of_a_mean_is_that_of_the_blocks_over_their_number():
    values = np.random.default_rng(0).normal(3, 2, 50)
    resampled = mean(resampled_counts(50, 40_000) @ with_counts(values))
    assert resampled.mean() == pytest.approx(values.mean(), abs=0.01)
    assert resampled.var() == pytest.approx(values.var() / 50, rel=0.03)


def test_the_interval_is_the_normal_one_where_blocks_are_many():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = interval(mean, with_counts(values))
    error = values.std() / 20
    assert [low, high] == pytest.approx([values.mean() - 1.96 * error, values.mean() + 1.96 * error], abs=0.1 * error)


def test_what_both_arms_share_is_not_in_their_difference():
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 10, 30)
    gain = rng.normal(1, 0.1, 30)
    low, high = interval(mean, with_counts(hard + gain), with_counts(hard))
    assert 0.9 < low < gain.mean() < high < 1.1
    assert interval(mean, with_counts(hard), with_counts(hard)) == (0, 0)


def test_large_blocks_weigh_more():
    sums = np.array([[90.0, 100.0], [0, 1], [0, 1], [0, 1]])
    assert mean(sums.sum(0)) == pytest.approx(90 / 103)
    low, high = interval(mean, sums)
    assert low == 0  # a resample without the large block
    assert high > 0.85


def test_of_few_blocks_there_is_no_interval():
    assert interval(mean, np.ones((3, 2))) is None
    with pytest.raises(ValueError, match="5 and 4 blocks"):
        interval(mean, np.ones((5, 2)), np.ones((4, 2)))
