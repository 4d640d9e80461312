"""Weightings and pointers at toy scale: the rows of each arm, the tables, and the command at a few steps."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from igep.trainers.data.mixture import mixture_shares
from igep.trainers.data.training_rows import RowOptions
from igep.trainers.experiments.arrow_questions import ARROW_QUESTION
from igep.trainers.experiments.tiny_vlm3 import STEPS
from igep.trainers.experiments.vlm3_mixtures import (
    ARMS,
    POINTERS,
    WEIGHTINGS,
    as_tables,
    rows_of,
    save_base,
)
from igep.trainers.package_files import PACKAGE


ROOMS = RowOptions(
    num_rooms=8,
    room_fixed_gaze=True,
    questions_per_room=0,
    questions_per_image=16,
    focal_pixels=None,
    text_pixel_steps=STEPS,
)


def test_both_pointers_ask_about_the_same_points_of_the_same_images():
    (text,), (arrow,) = (rows_of(arm, ROOMS, 0) for arm in POINTERS)
    assert len(text.dataset) == len(arrow.dataset)
    for row in range(4):
        said, shown = text.dataset.example(row, 3), arrow.dataset.example(row, 3)
        assert (said.references, said.sample_id) == (shown.references, shown.sample_id)
        assert [question for question, _ in shown.conversation] == [ARROW_QUESTION]
        assert said.conversation[0][1] == shown.conversation[0][1]
        changed = (np.asarray(said.frames[0]) != np.asarray(shown.frames[0])).any(-1)
        assert 5 <= changed.sum() <= 9


def test_weightings_share_the_rows_differently():
    shares = {arm: mixture_shares(rows_of(arm, ROOMS, 0), arm)[0] for arm in WEIGHTINGS}
    assert shares == {"uniform": 0.5, "size": pytest.approx(0.8), "custom": pytest.approx(1 / 3)}


def test_the_base_reads_the_arrows_prompt_as_one_word(tmp_path):
    from transformers import AutoTokenizer

    save_base(tmp_path, 0)
    assert len(AutoTokenizer.from_pretrained(tmp_path)(ARROW_QUESTION).input_ids) == 1


def test_tables_have_a_row_per_arm():
    depth = {"delta_1": 0.5, "abs_rel": math.nan, "unparsed": 0.0}
    pairs = {"end_point_error_mean": 3.0, "pck_10": 0.25, "unparsed": 0.125}
    scores = {arm: {3: {"depth": depth, "correspondence": pairs, "shares": {"depth": 0.5}}} for arm in ARMS}
    lines = as_tables(scores).splitlines()
    assert len(lines) == 2 + 3 + 1 + 2 + 2
    first = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert first[:5] == ["uniform (50 % depth)", "0.500", "", "missing (seed 3)", ""]
    assert first[-2:] == ["0.125", ""]


@pytest.mark.slow
def test_the_whole_command_at_a_few_steps(tmp_path):
    flags = ["--max_steps", "3", "--num_rooms", "32", "--per_device_train_batch_size", "8", "--warmup_steps", "1"]
    command = [sys.executable, "trainers/experiments/vlm3_mixtures.py", "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--held_out_rooms", "4", *flags], cwd=PACKAGE, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    scores = json.loads((tmp_path / "results.json").read_text())["scores"]
    assert set(scores) == set(ARMS)
    assert scores["text"]["0"]["depth"]["count"] == scores["arrow"]["0"]["depth"]["count"]
    assert (tmp_path / "results.md").read_text().strip() in done.stdout
