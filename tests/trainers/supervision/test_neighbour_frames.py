"""Neighbours: near, usable, random over steps, and a function of seed, step and name alone."""

import torch

from igep.trainers.supervision.neighbour_frames import draw_neighbours, following_frames


def names(count: int) -> list[str]:
    return [f"sample {number}" for number in range(count)]


def test_neighbours_are_usable_others_within_the_window():
    usable = torch.rand(64, 9, generator=torch.Generator().manual_seed(0)) < 0.6
    for window in (1, 3):
        drawn = draw_neighbours(usable, names(64), seed=0, step=5, window=window)
        assert drawn.dtype == torch.int64
        for sample in range(64):
            for frame in range(9):
                reachable = [
                    other
                    for other in range(max(0, frame - window), min(9, frame + window + 1))
                    if other != frame and usable[sample, other] and usable[sample, frame]
                ]
                choice = drawn[sample, frame].item()
                assert choice in reachable if reachable else choice == -1


def test_every_candidate_comes_about_equally_often():
    usable = torch.ones(1, 5, dtype=torch.bool)
    drawn = torch.stack([draw_neighbours(usable, ["a"], seed=1, step=step, window=2)[0] for step in range(4000)])
    for other in (0, 1, 3, 4):
        assert abs((drawn[:, 2] == other).double().mean().item() - 0.25) < 0.03
    together = (drawn[:, 1] == drawn[:, 3]).double().mean().item()  # {0, 2, 3} and {1, 2, 4}: one of nine pairs
    assert abs(together - 1 / 9) < 0.03


def test_draw_does_not_depend_on_the_batch():
    usable = torch.ones(6, 4, dtype=torch.bool)
    whole = draw_neighbours(usable, names(6), seed=3, step=7, window=3)
    for start in (0, 2, 5):
        part = draw_neighbours(usable[start : start + 1], names(6)[start : start + 1], seed=3, step=7, window=3)
        assert torch.equal(part[0], whole[start])
    assert torch.equal(draw_neighbours(usable, names(6), seed=3, step=7, window=3), whole)
    assert not torch.equal(draw_neighbours(usable, names(6), seed=3, step=8, window=3), whole)
    assert not torch.equal(draw_neighbours(usable, names(6), seed=4, step=7, window=3), whole)


def test_a_single_frame_has_no_neighbour():
    assert (
        draw_neighbours(torch.ones(2, 1, dtype=torch.bool), names(2), seed=0, step=0, window=1).tolist() == [[-1]] * 2
    )


def test_following_frames_are_the_next_ones_and_of_the_last_itself():
    """32 frames have 31 + 30 + 1 pairs, as in the authors' code of 3D-IDE."""
    index = following_frames(torch.ones(1, 32, dtype=torch.bool), 2)
    assert index.shape == (1, 32, 2)
    assert (index >= 0).sum() == 62
    assert index[0, 0].tolist() == [1, 2]
    assert index[0, 30].tolist() == [31, -1]
    assert index[0, 31].tolist() == [31, -1]


def test_frames_without_camera_and_padding_follow_nobody():
    usable = torch.tensor([[True, False, True, True, False], [False] * 5])
    index = following_frames(usable, 2)
    assert index[0].tolist() == [[-1, 2], [-1, -1], [3, -1], [3, -1], [-1, -1]]
    assert (index[1] == -1).all()
