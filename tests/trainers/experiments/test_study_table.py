"""Means, spreads and paired differences in closed form; a missing seed is never averaged over."""

import math

import matplotlib.image
import pytest

from igep.trainers.experiments.study_table import Cell, draw_study, study_cells, study_table, study_tables


FOUND = {"first": {0: 0.1, 1: 0.3}, "better": {0: 0.2, 1: 0.6}, "died": {0: 0.9, 1: None}}


def test_differences_are_paired_by_seed():
    cells = study_cells(FOUND)
    assert cells["first"].mean == pytest.approx(0.2)
    assert cells["first"].spread == pytest.approx(math.sqrt(0.02))
    assert cells["first"].difference is None
    assert cells["better"].mean == pytest.approx(0.4)
    # .1 and .3 apart: mean .2, standard deviation sqrt(.02), standard error sqrt(.02 / 2).
    assert cells["better"].difference == pytest.approx(0.2)
    assert cells["better"].standard_error == pytest.approx(0.1)
    assert cells["died"] == Cell(missing=(1,))


def test_without_the_first_arm_there_is_nothing_to_compare_with():
    cells = study_cells({"first": {0: None, 1: 0.3}, "better": FOUND["better"]})
    assert cells["first"].missing == (0,)
    assert cells["better"].mean == pytest.approx(0.4)
    assert cells["better"].difference is None


def test_one_seed_has_no_spread():
    cells = study_cells({"first": {7: 0.1}, "better": {7: 0.2}})
    assert cells["better"].spread is None
    assert cells["better"].standard_error is None
    assert study_table({"rooms": cells}).splitlines()[3].split("|")[2:4] == [" 0.200 ", " +0.100       "]


def test_the_table_says_what_is_missing(tmp_path):
    cells = {"rooms: exact match": study_cells(FOUND)}
    lines = study_table(cells).splitlines()
    assert "0.200 ± 0.141" in lines[2]
    assert "0.400 ± 0.283" in lines[3]
    assert "+0.200 ± 0.100" in lines[3]
    assert "missing (seed 1)" in lines[4]
    assert "0.9" not in lines[4]
    draw_study(tmp_path / "figure.png", cells, "A study")
    assert matplotlib.image.imread(tmp_path / "figure.png").std() > 0


def test_many_figures_are_several_tables_and_rows_of_panels(tmp_path):
    cells = {f"figure {number}": study_cells(FOUND) for number in range(5)}
    first, second = study_tables(cells).split("\n\n")
    assert first.count("figure") == 4
    assert second == study_table({"figure 4": cells["figure 4"]})
    draw_study(tmp_path / "five.png", cells, "A study")
    draw_study(tmp_path / "four.png", dict(list(cells.items())[:4]), "A study")
    five, four = (matplotlib.image.imread(tmp_path / name) for name in ("five.png", "four.png"))
    assert five.shape[1] == four.shape[1]
    assert five.shape[0] > 1.5 * four.shape[0]
    lower = five[four.shape[0] :]
    assert lower[:, : five.shape[1] // 3].std() > 0.05
    assert lower[:, -five.shape[1] // 3 :].std() == 0  # no empty panels
