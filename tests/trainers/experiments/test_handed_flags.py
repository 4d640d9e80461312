"""Experiments hand flags on to trainers: a wrong one ends them before anything is made."""

import importlib

import pytest

from igep.trainers.experiments import vid_llm_rooms


EXPERIMENTS = (
    "demo_rooms",
    "focal_ablation",
    "quickstart",
    "room_benchmarks",
    "vid_llm_ablation",
    "vid_llm_rooms",
    "vlm3_mixtures",
    "vlm3_rooms",
)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--learning_rte", "1"], "learning_rate"), (["--learning_rate", "-1"], "learning_rate")],
    ids=["unknown", "bad value"],
)
def test_a_wrong_flag_ends_it_before_anything_is_made(experiment, flags, message, tmp_path):
    module = importlib.import_module(f"igep.trainers.experiments.{experiment}")
    with pytest.raises(SystemExit, match=message):
        module.main(["--output", str(tmp_path / "out"), *flags])
    assert not (tmp_path / "out").exists()


def test_a_flag_that_the_second_stage_does_not_take_is_told_before_the_first(tmp_path):
    with pytest.raises(SystemExit, match="structure_weight"):
        vid_llm_rooms.main(["--output", str(tmp_path / "out"), "--structure_weight", "1"])
    assert not (tmp_path / "out").exists()
