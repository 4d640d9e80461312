import numpy as np
import pytest
from PIL import Image

from igep.trainers.experiments.real_frames_table import block_sums, draw, explained_of_all, lines_of, table


def scored(right: list[int], scene: str = "office", split: str = "held out", first: int = 0) -> list[dict]:
    """Blocks of 10 questions and 10 tokens."""
    return [
        {
            "split": split,
            "scene": scene,
            "block": first + 20 * number,
            "sums": {
                "closer": [count, 10],
                "blind_closer": [5, 10],
                "within_frame": [10 - count, 10],
                "blind_within_frame": [10, 10],
                "base_within_frame": [8, 10],
            },
        }
        for number, count in enumerate(right)
    ]


def scores(plain: dict[int, list[dict]], other: dict[int, list[dict]]) -> dict:
    return {
        arm: {seed: {"blocks": blocks} for seed, blocks in seeds.items()}
        for arm, seeds in (("cross-entropy", plain), ("igep", other))
    }


def test_figures_of_blocks_of_several_seeds():
    plain = {0: scored([4, 6]), 1: scored([5, 7], first=200)}
    other = {0: scored([6, 8]), 1: scored([7, 9], first=200)}
    lines = {(line.where, line.figure): line for line in lines_of(scores(plain, other))}
    line = lines["held out", "which is closer, exact match"]
    assert line.blocks == 4
    assert line.without_looking == pytest.approx(0.5)
    assert line.before_training is None
    assert line.arms["cross-entropy"][0] == pytest.approx(0.55)
    assert line.by_seed == {"cross-entropy": [0.5, 0.6], "igep": [0.7, 0.8]}
    assert line.difference[0] == pytest.approx(0.2)
    assert line.difference[1] == pytest.approx((0.2, 0.2))  # the same in each block
    low, high = line.arms["igep"][1]
    assert low < 0.75 < high
    within = lines["held out", "depth probe, R2 within a frame"]
    assert within.before_training == pytest.approx(0.2)
    assert within.without_looking == 0
    assert len(lines) == 2  # no line of what was not scored


def test_a_block_of_two_seeds_is_one_block():
    seeds = {0: scored([4, 6]), 1: scored([6, 8])}
    line = lines_of(scores(seeds, seeds))[0]
    assert line.blocks == 2
    assert line.arms["igep"] == (pytest.approx(0.6), None)
    assert block_sums([*scored([4]), *scored([6])], "closer").tolist() == [[10, 20]]


def test_other_scenes_stand_together_and_alone(tmp_path):
    blocks = [*scored([4] * 4), *scored([9] * 4, "kitchen", "other scenes"), *scored([1], "bin", "other scenes")]
    lines = lines_of(scores({0: blocks}, {0: blocks}))
    assert [line.where for line in lines[::2]] == ["held out", "other scenes", "kitchen", "bin"]
    assert [line.blocks for line in lines[::2]] == [4, 5, 4, 1]
    text = table(lines)
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
    assert cells[0][-3:] == ["cross-entropy", "igep", "igep - cross-entropy"]
    assert cells[6] == ["kitchen", "which is closer, exact match", "4", "0.500", "-"] + [
        "0.900 (0.900 to 0.900)",
        "0.900 (0.900 to 0.900)",
        "+0.000 (+0.000 to +0.000)",
    ]
    assert cells[8] == ["bin", "which is closer, exact match", "1", "0.500", "-", "0.100", "0.100", "+0.000"]
    draw(tmp_path / "picture.png", lines, "office")
    assert Image.open(tmp_path / "picture.png").width > 300


def test_r2_of_all_is_about_the_mean_of_all():
    logs = np.random.default_rng(0).normal(2, 1, 50)
    predicted = logs + 0.5
    sums = np.array([50, logs.sum(), (logs**2).sum(), ((predicted - logs) ** 2).sum()])
    assert explained_of_all(sums) == pytest.approx(1 - 0.25 / logs.var())
