"""Greedy coverage of voxels: closed forms, against brute force, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from igep.trainers.data.scenes.frame_coverage import coverage_frame_indices, voxels_seen


def cells(*numbers: int) -> np.ndarray:
    return np.array([[number, 0, 0] for number in numbers], dtype=np.int64).reshape(-1, 3)


def test_frames_that_add_most_come_first_and_ties_go_to_the_first() -> None:
    frames = [cells(1, 2), cells(1, 2, 3), cells(4), cells(5), cells(1, 2, 3)]
    assert coverage_frame_indices(frames, 1).tolist() == [1]
    assert coverage_frame_indices(frames, 2).tolist() == [1, 2]
    assert coverage_frame_indices(frames, 3).tolist() == [1, 2, 3]


def test_where_nothing_is_added_frames_are_spread() -> None:
    assert coverage_frame_indices([cells(1)] * 9, 3).tolist() == [0, 4, 8]
    assert coverage_frame_indices([cells()] * 3, 2).tolist() == [0, 2]
    assert coverage_frame_indices([cells(1), cells(2)], 2).tolist() == [0, 1]


@pytest.mark.parametrize("num_frames", [0, 4])
def test_more_frames_than_there_are(num_frames: int) -> None:
    with pytest.raises(ValueError, match=f"num_frames={num_frames}: ask for 1 to 3"):
        coverage_frame_indices([cells(1)] * 3, num_frames)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(-5, 5)), min_size=1, max_size=7), st.data())
def test_as_good_as_greedy_over_sets(sets: list[set[int]], data: st.DataObject) -> None:
    num_frames = data.draw(st.integers(1, len(sets)))
    chosen = coverage_frame_indices([cells(*sorted(seen)) for seen in sets], num_frames).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == num_frames
    covered: set[int] = set()
    for _ in range(num_frames):
        best = max(sets, key=lambda seen: len(seen - covered))
        covered |= best
    assert set().union(*(sets[frame] for frame in chosen)) == covered


def test_voxels_of_a_wall() -> None:
    """A wall one metre ahead, 0.4 m wide and high, seen by 4 x 4 pixels: a voxel for each."""
    intrinsics = np.array([[10.0, 0, 2], [0, 10, 2], [0, 0, 1]])
    depth = np.ones((4, 4))
    depth[0, 0], depth[0, 1] = 0, np.nan
    pose = np.eye(4)
    pose[:3, 3] = [0.05, 0.05, 1]
    seen = voxels_seen(depth, intrinsics, pose)
    assert len(seen) == 14
    assert set(seen[:, 2]) == {20}
    assert seen[:, :2].min() == -1
    assert seen[:, :2].max() == 2
    assert len(voxels_seen(depth, intrinsics, pose, voxel_metres=1.0)) == 1
    np.testing.assert_array_equal(
        voxels_seen(depth, intrinsics, pose, pixel_stride=2), [[-1, 1, 20], [1, -1, 20], [1, 1, 20]]
    )
    assert voxels_seen(np.zeros((4, 4)), intrinsics, pose).shape == (0, 3)
