"""Pairs reach from one frame to the next up to half of the whole sequence, and every frame has neighbours."""

import numpy as np
import pytest

from igep.trainers.scene_check.frame_pairs import PAIRS_PER_GAP, near_and_far_pairs, neighbour_pairs


@pytest.mark.parametrize("num_frames", [2, 3, 5, 16, 50, 1000])
def test_pairs_are_near_and_far(num_frames: int) -> None:
    sources, targets = near_and_far_pairs(num_frames)
    gaps = np.abs(sources - targets)
    assert gaps.min() == 1
    assert gaps.max() > (num_frames - 1) / 2 - 1
    assert min(sources.min(), targets.min()) >= 0
    assert max(sources.max(), targets.max()) < num_frames
    assert {(source < target) for source, target in zip(sources, targets, strict=True)} == {True, False}
    assert len(sources) <= 2 * PAIRS_PER_GAP * (1 + np.log2(num_frames))


def test_one_frame_has_no_pairs() -> None:
    for pairs in (near_and_far_pairs, neighbour_pairs):
        sources, targets = pairs(1)
        assert len(sources) == len(targets) == 0


def test_every_frame_is_in_several_pairs_of_neighbours() -> None:
    sources, targets = neighbour_pairs(10)
    assert set((targets - sources).tolist()) == {1, 2, 3}
    assert min(np.bincount(sources, minlength=10) + np.bincount(targets, minlength=10)) == 3
