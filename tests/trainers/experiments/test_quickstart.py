import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from igep.trainers import sft
from igep.trainers.cards.evaluation_results import read_all_results
from igep.trainers.evaluation.benchmarks.rooms import exact_match
from igep.trainers.evaluation.geometry_picture import draw_geometry
from igep.trainers.experiments import quickstart
from igep.trainers.experiments.quickstart import as_table, compare
from igep.trainers.package_files import PACKAGE


@pytest.mark.slow
def test_the_whole_quickstart_at_three_steps(tmp_path):
    command = [
        sys.executable,
        "trainers/experiments/quickstart.py",
        "--output",
        str(tmp_path),
        "--held_out_rooms",
        "16",
    ]
    overrides = ["--max_steps", "3", "--save_steps", "3", "--num_rooms", "64", "--per_device_train_batch_size", "8"]
    done = subprocess.run([*command, *overrides], cwd=PACKAGE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())
    plain, igep = results["runs"]
    assert (plain["method"], igep["method"]) == ("cross_entropy", "igep")
    assert plain["trained"]["losses"] == ["cross-entropy of the answers"]
    assert len(igep["trained"]["losses"]) == 4
    assert plain["facts"]["parameters_on_disk"] == igep["facts"]["parameters_on_disk"]
    rooms = igep["benchmarks"]["rooms"]
    assert plain["benchmarks"]["rooms"]["facts"]["questions_sha256"] == rooms["facts"]["questions_sha256"]
    assert rooms["facts"]["questions"] > 60
    figures = {name: figure["value"] for name, figure in rooms["figures"].items()}
    assert 0 < igep["benchmarks"]["depth_probe"]["figures"]["R2 of log depth"]["value"] < 1
    assert (tmp_path / "results.md").read_text().strip() in done.stdout
    with Image.open(tmp_path / "geometry_seed0.png") as picture:
        assert picture.width > 800
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    predictions = (tmp_path / "igep_seed0_scores_predictions.jsonl").read_text().splitlines()
    matches = exact_match([json.loads(line) for line in predictions])
    assert {f"exact match, {kind}": share for kind, share in matches.items()}.items() <= figures.items()
    evaluations = read_all_results([tmp_path / "results.json"], "igep_seed0", tmp_path / "igep_seed0")
    assert len(evaluations) == 3
    assert all(list(each.scores) == ["igep_seed0", "cross_entropy_seed0"] for each in evaluations)


def test_table_has_a_column_per_run():
    values = {
        "rooms": {"exact match, mean": 0.25},
        "depth_probe": {"R2 of log depth": 0.5, "delta_1": 0.75},
        "latency": {"seconds per answer": 0.01},
    }
    benchmarks = {
        benchmark: {"figures": {name: {"value": value} for name, value in figures.items()}, "facts": {}}
        for benchmark, figures in values.items()
    }
    benchmarks["depth_probe"]["facts"] = {"without_looking": {"delta_1": 0.25}}
    run = {"benchmarks": benchmarks, "facts": {"parameters_on_disk": 1234}}
    table = as_table({"runs": [{"method": "cross_entropy", "seed": 0, **run}, {"method": "igep", "seed": 0, **run}]})
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].count("|") == 5
    assert "1,234" in table
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert cells["depth probe, R2 of log depth"] == ["", "0.500", "0.500"]
    assert cells["depth probe, delta_1"] == ["0.250", "0.750", "0.750"]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "exact match, mean",
        "depth probe, R2 of log depth",
        "depth probe, delta_1",
        "seconds per answer",
        "parameters on disk",
    ]
    assert "0.0100" in table


def test_exact_match_is_the_mean_over_question_types():
    rows = [
        {"question_type": "distance", "answer": "1.0", "prediction": "1.0"},
        {"question_type": "distance", "answer": "1.0", "prediction": "1.5"},
        {"question_type": "closer", "answer": "red", "prediction": "red"},
    ]
    assert exact_match(rows) == {"distance": 0.5, "closer": 1.0, "mean": 0.75}


def test_unknown_depth_is_blank_in_the_picture(tmp_path):
    depth = np.full((1, 8, 8), 2.0)
    depth[:, :4] = 0
    depth[:, 6:] = 3.0
    path = tmp_path / "new_folder" / "picture.png"
    draw_geometry(
        path,
        frames=np.zeros((1, 8, 8, 3), np.uint8),
        depth_metres=depth,
        verifier_depth_metres=np.ones((1, 4, 4)) * 2,
        confidence=np.ones((1, 4, 4)),
        probe_depth_metres=np.ones((1, 2, 2)) * 2,
    )
    with Image.open(path) as picture:
        assert picture.size[0] > picture.size[1]


def test_both_runs_differ_in_the_weights_of_the_losses_alone(tmp_path, monkeypatch):
    """What the table in the README compares: cross-entropy alone with no weight left on geometry, all else equal."""

    class Stop(Exception):
        pass

    def record(*commands):
        started.extend(commands[:2])
        raise Stop

    started: list[list[str]] = []
    monkeypatch.setattr(quickstart, "side_by_side", record)
    with pytest.raises(Stop):
        compare(tmp_path, [3], 16, ["--num_rooms", "64"])
    options = []
    for script, *arguments in started:
        assert script == "trainers/sft.py"
        parsed = sft.parse([*arguments, "--use_cpu", "true"])
        options.append({one.name: vars(part)[one.name] for part in parsed for one in fields(part)})
    igep, plain = sorted(options, key=lambda values: "cross_entropy" in values["output_dir"])
    weights = ("geometry_weight", "cross_view_weight", "global_weight")
    assert [plain[name] for name in weights] == [0, 0, 0]
    assert all(igep[name] > 0 for name in weights)
    assert igep["seed"] == 3
    assert igep["num_rooms"] == 64
    # Where a run writes is its own, and so is what a library derives from that.
    own = {name for name in igep if str(igep["output_dir"]) in str(igep[name])}
    assert {name for name in igep if igep[name] != plain[name]} - own == set(weights)
