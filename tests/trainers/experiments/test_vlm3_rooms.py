import json
import subprocess
import sys

import numpy as np
import pytest

from igep.spatial_prompts import correspondence_question, depth_question, parse_correspondence, parse_depth
from igep.trainers.experiments.tiny_vlm3 import STEPS
from igep.trainers.experiments.vlm3_rooms import (
    TASKS,
    as_table,
    asked_pixel,
    blind_answers,
    depth_priors,
    training_priors,
)
from igep.trainers.package_files import PACKAGE


def test_the_asked_pixel_is_read_from_both_prompts():
    assert asked_pixel(depth_question((3, 61), STEPS)) == (3, 61)
    assert asked_pixel(correspondence_question((60, 0))) == (60, 0)


def test_depth_priors_are_medians_and_the_best_constant():
    left, right = depth_question((0, 0), STEPS), depth_question((63, 0), STEPS)
    # Seven of ten lie within 1.25 of 4, the median of all is 4.05 as well, the left half has a median of its own.
    priors = depth_priors([left] * 4 + [right] * 6, [1.0, 1.0, 2.0, 4.0, 4.0, 4.1, 4.1, 4.2, 4.2, 9.0])
    assert np.allclose(priors["constant: training median"], 4.05)
    best = priors["constant: best delta_1"]
    assert (best == best[0, 0]).all()
    assert 4.2 / 1.25 <= best[0, 0] <= 4.0 * 1.25
    by_place = priors["median at the asked place"]
    assert by_place[0, 0] == 1.5
    assert by_place[0, -1] == 4.15
    assert by_place[3, 3] == 4.05  # a cell that nobody asked about


def test_blind_answers_parse_and_say_what_their_names_say():
    priors = {"two": np.full((8, 8), 2.0), "place": np.arange(1.0, 65.0).reshape(8, 8)}
    answers = blind_answers("depth", [depth_question((9, 17), STEPS)], priors)
    assert parse_depth(answers["two"][0]) == 2.0
    assert parse_depth(answers["place"][0]) == 2 * 8 + 1 + 1
    answers = blind_answers("correspondence", [correspondence_question((9, 17))], priors)
    assert parse_correspondence(answers["the same pixel"][0]) == (9, 17)
    assert parse_correspondence(answers["the image centre"][0]) == (STEPS // 2, STEPS // 2)


def test_priors_come_from_the_rooms_of_the_recipe():
    priors = training_priors(["--num_rooms", "8"])
    assert 1 < priors["constant: training median"][0, 0] < 8
    by_place = priors["median at the asked place"]
    assert by_place[-1].mean() < by_place[0].mean()  # the floor in front is nearer than the far wall


def test_table_has_a_row_per_predictor_and_marks_what_is_missing():
    figures = {"delta_1": 0.75, "abs_rel": None, "unparsed": 1.0, "count": 3}
    lines = as_table("depth", {"trained": figures, "base": figures}).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["trained", "0.750", "-", "1.000"]


def run(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "trainers/experiments/vlm3_rooms.py", *flags]
    return subprocess.run(command, cwd=PACKAGE, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_the_whole_command_at_a_few_steps(tmp_path):
    overrides = ["--max_steps", "4", "--num_rooms", "32", "--per_device_train_batch_size", "8", "--warmup_steps", "1"]
    done = run("--output", str(tmp_path), "--held_out_rooms", "4", *overrides)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["scores"]) == set(TASKS)
    depth, correspondence = (results["scores"][task] for task in TASKS)
    assert depth["the base before training"]["unparsed"] == 1
    assert 0 < depth["constant: training median"]["delta_1"] <= 1
    assert depth["constant: best delta_1"]["unparsed"] == 0
    assert correspondence["the same pixel"]["end_point_error_median"] > 3  # the camera moves
    assert len({figures["count"] for figures in depth.values()}) == 1
    assert (tmp_path / "results.md").read_text().strip() in done.stdout
    lines = (tmp_path / "correspondence_trained_predictions.jsonl").read_text().splitlines()
    assert len(lines) == correspondence["trained"]["count"]
