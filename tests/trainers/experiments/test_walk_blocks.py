import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.experiments.walk_blocks import (
    WalkBlocks,
    even_blocks,
    neighbours,
    split_blocks,
    split_walk,
    stretches_between,
)


SPLIT = {"held_out_blocks": 2, "held_out_fraction": 0.2, "dropped_frames": 2}


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


def test_blocks_are_neighbours_with_dropped_frames_between():
    trained, held_out = split_blocks(40, clip_frames=4, **SPLIT)
    assert trained == [range(14), range(22, 34)]
    assert held_out == [range(16, 20), range(36, 40)]


@given(st.integers(90, 400), st.integers(1, 3), st.floats(0.1, 0.5), st.integers(0, 3), st.integers(2, 3))
def test_no_frame_is_in_two_parts_and_none_is_near_the_other(count, blocks, fraction, dropped, clip_frames):
    trained, held_out = split_blocks(
        count,
        held_out_blocks=blocks,
        held_out_fraction=fraction,
        dropped_frames=dropped,
        clip_frames=clip_frames,
    )
    ones, others = ([frame for block in part for frame in block] for part in (trained, held_out))
    assert min(ones) == 0
    assert max(others) == count - 1
    assert min(abs(one - other) for one in ones for other in others) > dropped
    assert len(set(ones) | set(others)) == len(ones) + len(others) == count - (2 * blocks - 1) * dropped
    assert abs(len(others) - fraction * count) <= blocks


@pytest.mark.parametrize(
    ("count", "changes", "message"),
    [
        (40, {"held_out_blocks": 0}, "held_out_blocks=0: give 1 or more"),
        (40, {"held_out_fraction": 1.0}, "held_out_fraction=1.0: give a share between 0 and 1"),
        (40, {"dropped_frames": -1}, "dropped_frames=-1: give 0 or more"),
        (30, {}, "30 frames are too few: a held-out block would have 3, and a clip has 4"),
        (40, {"dropped_frames": 15}, "a trained block would have 0, and a clip has 4. Give a longer scene"),
    ],
)
def test_bad_splits_name_the_remedy(count, changes, message):
    with pytest.raises(ValueError, match=message):
        split_blocks(count, clip_frames=4, **SPLIT | changes)


def test_what_lies_beside_held_out_blocks_may_be_nothing():
    blocks = [range(1, 5), range(9, 12)]
    assert stretches_between(14, blocks, 2) == [range(0), range(7, 7), range(14, 14)]
    assert [list(stretch) for stretch in stretches_between(14, blocks, 1)] == [[], [6, 7], [13]]
    assert stretches_between(3, [], 2) == [range(3)]
