"""Arms with several seeds: what is finished is kept, what is missing is done, other options are refused."""

import argparse
import json

import pytest

from igep.trainers.experiments import focal_ablation, vlm3_mixtures
from igep.trainers.experiments.seeded_runs import (
    add_seed_flags,
    check_seeds,
    figure_by_seed,
    in_words,
    read_scores,
    run_missing,
    scores_path,
    write_scores,
)


OPTIONS = {"rooms": 4, "flags": ["--max_steps", "3"]}
WRITE = """
import sys
from pathlib import Path
from igep.trainers.experiments.seeded_runs import write_scores
folder, arm, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(folder / "order.txt").open("a").write(f"{arm}{seed} ")
if arm == "bad":
    sys.exit("no luck")
write_scores(folder, arm, seed, {"rooms": 4, "flags": ["--max_steps", "3"]}, {"value": seed})
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "arm.py").write_text(WRITE)
    return lambda arm, seed: [str(tmp_path / "arm.py"), str(tmp_path), arm, str(seed)]


def test_finished_runs_are_not_done_again(tmp_path, script):
    write_scores(tmp_path, "a", 1, OPTIONS, {"value": 7})
    found = run_missing(script, tmp_path, ("a", "b"), (0, 1), OPTIONS, jobs=1)
    assert found == {"a": {0: {"value": 0}, 1: {"value": 7}}, "b": {0: {"value": 0}, 1: {"value": 1}}}
    assert (tmp_path / "order.txt").read_text().split() == ["a0", "b0", "b1"]
    assert run_missing(script, tmp_path, ("a", "b"), (0, 1), OPTIONS) == found
    assert len((tmp_path / "order.txt").read_text().split()) == 3


def test_a_failure_ends_the_command_and_says_why(tmp_path, script):
    with pytest.raises(SystemExit, match="(?s)ended with status 1.*no luck"):
        run_missing(script, tmp_path, ("bad", "a"), (0,), OPTIONS, jobs=1)
    assert not scores_path(tmp_path, "bad", 0).exists()
    assert (tmp_path / "order.txt").read_text().split() == ["bad0"]


def test_a_run_with_other_options_is_no_part_of_a_comparison(tmp_path):
    write_scores(tmp_path, "a", 0, OPTIONS, {"value": 1})
    assert json.loads(scores_path(tmp_path, "a", 0).read_text())["options"] == OPTIONS
    assert read_scores(tmp_path, "a", 1, OPTIONS) is None
    with pytest.raises(ValueError, match="a_seed0_scores.json is of a run with other options"):
        read_scores(tmp_path, "a", 0, OPTIONS | {"rooms": 5})


def test_what_cannot_be_read_has_no_figure():
    assert figure_by_seed({0: {"x": {"y": float("nan")}}, 4: {"x": {"y": 0.5}}}, "x", "y") == {0: None, 4: 0.5}
    assert in_words([3]) == "seed 3"
    assert in_words([0, 1]).startswith("2 seeds: mean")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seeds", "1", "1"], "--seeds 1 1: give different"),
        (["--seeds", "-1"], "--seeds -1: give different"),
        (["--jobs", "0"], "--jobs 0: give 1 or more"),
        (["--seed", "3"], "--seed: give --seeds"),
        (["--seed=3"], "--seed: give --seeds"),
    ],
)
@pytest.mark.parametrize("command", [focal_ablation, vlm3_mixtures])
def test_bad_seeds_are_one_line(tmp_path, capsys, command, flags, said):
    with pytest.raises(SystemExit):
        command.main(["--output", str(tmp_path), *flags])
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_seed_is_a_run_unless_told(capsys):
    parser = argparse.ArgumentParser()
    add_seed_flags(parser, default=[0])
    options, rest = parser.parse_known_args(["--seeds", "0", "2", "--max_steps", "3"])
    check_seeds(parser, options, rest)
    assert (options.seeds, options.jobs, rest) == ([0, 2], 2, ["--max_steps", "3"])
