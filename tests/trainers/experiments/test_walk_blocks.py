import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.experiments.walk_blocks import WalkBlocks, even_blocks, neighbours, split_walk


def test_a_walk_of_187_frames():
    train, held_out = split_walk(187, WalkBlocks(), "office")
    assert held_out == [[*range(40, 60)], [*range(100, 120)], [*range(160, 180)]]
    assert train == [*range(35), *range(65, 95), *range(125, 155), 185, 186]


def test_seeds_hold_out_what_follows():
    held_out = [split_walk(187, WalkBlocks(first_frame=first), "office")[1] for first in (0, 20, 40)]
    starts = [[block[0] for block in blocks] for blocks in held_out]
    assert starts == [[40, 100, 160], [0, 60, 120], [20, 80, 140]]


@given(
    st.integers(30, 300),
    st.builds(
        WalkBlocks,
        train_frames=st.integers(12, 40),
        held_out_frames=st.integers(2, 20),
        margin_frames=st.integers(0, 5),
        first_frame=st.integers(0, 59),
    ),
)
def test_nothing_that_is_trained_on_is_near_a_held_out_block(num_frames, blocks):
    try:
        train, held_out = split_walk(num_frames, blocks, "walk")
    except SpatialDataError:
        return
    for block in held_out:
        assert len(block) == blocks.held_out_frames
        assert block == [*range(block[0], block[0] + len(block))]
        assert all(min(abs(frame - number) for number in block) > blocks.margin_frames for frame in train)
    near = {
        frame + step
        for block in held_out
        for frame in block
        for step in range(-blocks.margin_frames, blocks.margin_frames + 1)
    }
    assert set(train) == set(range(num_frames)) - near


def test_pairs_do_not_leap_over_what_is_left_out():
    assert neighbours([3, 4, 5, 9, 10, 12]) == [(3, 4), (4, 5), (9, 10)]


def test_other_scenes_are_cut_evenly():
    assert [len(block) for block in even_blocks(25, 10)] == [12, 13]
    assert even_blocks(7, 10) == [[*range(7)]]


def test_too_short_a_walk_and_bad_numbers_are_said():
    with pytest.raises(SpatialDataError, match=r"'desk' has 30 frames .* too few for a block of 20"):
        split_walk(30, WalkBlocks(), "desk")
    with pytest.raises(ValueError, match="margin_frames=20 on either side"):
        WalkBlocks(margin_frames=20)
    with pytest.raises(ValueError, match="held_out_frames=1: give 2 or more"):
        WalkBlocks(held_out_frames=1)
