"""Frames are spread evenly, are never repeated, and file names sort as people count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.data.scenes.frame_sampling import natural_order, uniform_frame_indices


@given(available=st.integers(1, 500), data=st.data())
def test_indices_are_distinct_even_and_span_the_video(available: int, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(1, available))
    indices = uniform_frame_indices(available, wanted)
    steps = indices[1:] - indices[:-1]
    assert len(indices) == wanted
    assert (steps > 0).all()
    if wanted > 1:
        assert (indices[0], indices[-1]) == (0, available - 1)
        assert steps.max() - steps.min() <= 1


def test_one_frame_is_the_middle_one() -> None:
    assert uniform_frame_indices(9, 1).tolist() == [4]


@pytest.mark.parametrize(("available", "wanted", "text"), [(3, 4, "only 3 frames"), (3, 0, "at least one")])
def test_impossible_counts_are_refused(available: int, wanted: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        uniform_frame_indices(available, wanted)


def test_natural_order() -> None:
    names = ["frame-10.png", "Frame-2.png", "frame-1.png", "a.png", "2.png", "10.png"]
    assert sorted(names, key=natural_order) == [
        "2.png",
        "10.png",
        "a.png",
        "frame-1.png",
        "Frame-2.png",
        "frame-10.png",
    ]
