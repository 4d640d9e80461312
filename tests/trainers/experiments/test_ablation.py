"""A study on two cores: every arm and seed trained and scored, finished runs kept, failed ones named and done again."""

import json

import pytest

from igep.trainers.experiments import ablation, study_runs
from igep.trainers.experiments.study_plan import read_plan


PLAN = """
title: A study
recipe: quickstart.yaml
options: {max_steps: 2, num_rooms: 8, per_device_train_batch_size: 4, save_steps: 1, warmup_steps: 0,
  lr_scheduler_type: constant, lr_scheduler_kwargs: {}}
seeds: [0, 1]
held_out_rooms: 16
benchmarks: [rooms]
figures:
  - rooms: exact match, mean
tune: {option: learning_rate, values: [1.0e-4, 2.0e-3], figure: {rooms: "exact match, mean"}}
arms:
  - name: cross-entropy
    options: {geometry_weight: 0, cross_view_weight: 0, global_weight: 0}
  - name: all three
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def instant(monkeypatch):
    """Runs that finish at once with a score of their own; what was asked for is kept."""
    done = []

    def pretend(run):
        done.append(run)
        rate, seed = run.recipe["learning_rate"], run.recipe["seed"]
        value = {1e-4: 0.2, 2e-3: 0.3}[rate] + 0.01 * seed + 0.1 * bool(run.recipe["geometry_weight"])
        figures = {"exact match, mean": {"value": value}}
        (run.folder / "scores.json").write_text(json.dumps({"benchmarks": {"rooms": {"figures": figures}}}))
        return True

    monkeypatch.setattr(study_runs, "_train_and_score", pretend)
    return done


def test_the_rate_is_chosen_on_validation_rooms_and_taken_by_all(study, tmp_path, instant, capsys):
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    choosing, comparing = instant[:2], instant[2:]
    assert all("validation" in run.score and run.recipe["seed"] == 1000 for run in choosing)
    assert {run.recipe["learning_rate"] for run in choosing} == {1e-4, 2e-3}
    assert len(comparing) == 4
    assert all("held_out" in run.score and run.recipe["learning_rate"] == 2e-3 for run in comparing)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["chosen"] == {"learning_rate": {"cross-entropy": 2e-3, "all three": 2e-3}}
    cell = results["cells"]["rooms: exact match, mean"]["all three"]
    assert cell["mean"] == pytest.approx(0.405)
    assert cell["difference"] == pytest.approx(0.1)
    assert (tmp_path / "out" / "results.png").stat().st_size > 1000
    assert "all three" in capsys.readouterr().out
    # Once more: nothing is left to do, and the table is the same.
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert len(instant) == 6
    assert (tmp_path / "out" / "results.md").read_text() in capsys.readouterr().out


def test_a_run_that_died_is_named_and_the_others_go_on(study, tmp_path, instant, monkeypatch, capsys):
    pretend = study_runs._train_and_score

    def one_dies(run):
        if run.arm.name == "all three" and run.recipe["seed"] == 1:
            run.log.write_text("out of memory\n")
            return False
        return pretend(run)

    monkeypatch.setattr(study_runs, "_train_and_score", one_dies)
    with pytest.raises(SystemExit, match=r"missing: all three, seed_1, see .*log.txt"):
        ablation.main([str(study), "--output", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "missing (seed 1)" in printed
    assert "out of memory" in printed
    assert "0.305" in printed  # the other arm's mean over both seeds
    monkeypatch.setattr(study_runs, "_train_and_score", pretend)
    before = len(instant)
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert len(instant) == before + 1  # it alone is done again
    assert "missing" not in capsys.readouterr().out


def test_runs_of_other_options_are_not_taken_for_these(study, tmp_path, instant):
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    with pytest.raises(
        SystemExit, match="holds a run with other options: delete it, or give the study another --output"
    ):
        ablation.main([str(study), "--output", str(tmp_path / "out"), "--max_steps", "3"])


def test_bad_values_are_told_before_anything_runs(study, tmp_path, instant):
    study.write_text(PLAN.replace("  - name: all three\n", "  - name: all three\n    options: {verifier_taps: 0}\n"))
    with pytest.raises(SystemExit, match="arm 'all three': .*verifier_taps"):
        ablation.main([str(study), "--output", str(tmp_path / "out")])
    study.write_text(PLAN)
    for flags, message in ((["--nothing", "1"], "no option 'nothing'"), (["7"], "'7' is no flag")):
        with pytest.raises(SystemExit, match=message):
            ablation.main([str(study), "--output", str(tmp_path / "out"), *flags])
    study.write_text(PLAN.replace('figure: {rooms: "exact match, mean"}', "figure: {rooms: best}"))
    with pytest.raises(SystemExit, match="rooms has no figure 'best': it has exact match, mean"):
        ablation.main([str(study), "--output", str(tmp_path / "out")])


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(study, tmp_path):
    """Real processes; one run is left as an interruption leaves it, and ends as the one that never was."""
    plan = read_plan(study)
    runs = [
        study_runs.make_run(plan, plan.arms[1], tmp_path / name, validation=True, seed=3, save_total_limit=2)
        for name in ("whole", "cut")
    ]
    study_runs.prepare(runs)
    whole, cut = runs
    assert study_runs.execute([whole], 1, "runs") == []
    (cut.folder / "model").mkdir()
    (whole.folder / "model" / "checkpoint-1").rename(cut.folder / "model" / "checkpoint-1")
    assert study_runs.execute(runs, 2, "runs") == []
    assert "--resume_from_checkpoint last" in cut.log.read_text()
    assert "--resume_from_checkpoint" not in whole.log.read_text()
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert cut.scores()["rooms"]["figures"] == whole.scores()["rooms"]["figures"]
