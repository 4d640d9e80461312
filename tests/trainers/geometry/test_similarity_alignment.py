"""Alignment finds the transform that was applied, is no worse than any other, and takes what leaves it open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from igep.trainers.geometry.similarity_alignment import align_points


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_what_was_applied_is_found(seed, scale):
    generator = np.random.default_rng(seed)
    points, rotation = generator.normal(size=(6, 3)), Rotation.random(rng=seed).as_matrix()
    moved = scale * points @ rotation.T + generator.normal(size=3)
    found = align_points(points, moved, with_scale=True)
    assert found.scale == pytest.approx(scale)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-8)
    np.testing.assert_allclose(found.apply(points), moved, atol=1e-8 * max(1, scale))
    assert align_points(points, moved, with_scale=False).scale == 1


@given(st.integers(0, 2**32 - 1))
def test_nothing_near_is_better(seed):
    """Also where the best orthogonal matrix mirrors, of which the scale must know."""
    generator = np.random.default_rng(seed)
    source, target = generator.normal(size=(2, 5, 3))
    found = align_points(source, target, with_scale=True)
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    least = np.square(found.apply(source) - target).sum()
    for _ in range(8):
        turn = Rotation.from_rotvec(generator.normal(scale=0.05, size=3)).as_matrix()
        near = found._replace(
            scale=found.scale * np.exp(generator.normal(scale=0.05)),
            rotation=turn @ found.rotation,
            translation=found.translation + generator.normal(scale=0.05, size=3),
        )
        assert np.square(near.apply(source) - target).sum() >= least - 1e-12


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "source", [np.zeros((3, 3)), np.ones((1, 3)), np.outer([0.0, 1.0, 2.0], [1.0, 0, 0])], ids=["point", "one", "line"]
)
def test_points_that_leave_the_turn_open(source):
    target = 2 * source[:, ::-1] + 5
    found = align_points(source, target, with_scale=True)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-9)
    assert found.scale == pytest.approx(2 if len(np.unique(source, axis=0)) > 1 else 0)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 3)), "its counterpart"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "at least 1"),
        (np.full((1, 3), np.nan), np.zeros((1, 3)), "not finite"),
    ],
)
def test_what_cannot_be_aligned_is_named(source, target, message):
    with pytest.raises(ValueError, match=message):
        align_points(source, target, with_scale=True)
