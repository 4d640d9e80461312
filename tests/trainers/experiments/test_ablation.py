"""A study on two cores: each arm and seed trained and scored, finished runs kept, failed ones named and done again."""

import fcntl
import json
import shutil
import subprocess
import sys
from unittest.mock import Mock

import pytest

from igep.trainers.cards.made_base import write_made_by
from igep.trainers.cards.training_run import read_training_run
from igep.trainers.experiments import ablation, study_runs, study_work
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
        rooms = {
            "figures": {"exact match, mean": {"value": value}},
            "facts": {"without_looking": {"exact match, mean": 0.125}},
        }
        (run.folder / "scores.json").write_text(json.dumps({"benchmarks": {"rooms": rooms}}))
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
    printed = capsys.readouterr().out
    assert "all three" in printed
    assert "the place in the image): rooms: exact match, mean 0.125." in printed
    assert results["reused"] == {}
    # Once more: nothing is left to do, and the table is the same.
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert len(instant) == 6
    assert (tmp_path / "out" / "results.md").read_text() in capsys.readouterr().out
    # A run of an older igep, which did not say what is reached without looking, hides nothing.
    scores = instant[2].folder / "scores.json"
    scores.write_text(scores.read_text().replace('"without_looking": {"exact match, mean": 0.125}', ""))
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert "rooms: exact match, mean 0.125." in capsys.readouterr().out


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


def test_the_table_of_a_study_that_is_not_done(study, tmp_path, instant, monkeypatch, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match="learning_rate is not chosen yet: 2 of its runs are not finished"):
        ablation.main([str(study), "--output", str(out), "--table"])
    assert not out.exists()  # nothing is written
    pretend = study_runs._train_and_score

    def one_seed_dies(run):
        run.log.touch()
        return run.recipe["seed"] != 1 and pretend(run)

    monkeypatch.setattr(study_runs, "_train_and_score", one_seed_dies)
    with pytest.raises(SystemExit, match="missing"):
        ablation.main([str(study), "--output", str(out)])
    done, written = len(instant), sorted(path.stat().st_mtime_ns for path in out.rglob("*"))
    capsys.readouterr()
    ablation.main([str(study), "--output", str(out), "--table"])
    assert capsys.readouterr().out.count("missing (seed 1)") == 2
    assert (len(instant), sorted(path.stat().st_mtime_ns for path in out.rglob("*"))) == (done, written)
    with pytest.raises(SystemExit, match="holds a run with other options"):
        ablation.main([str(study), "--output", str(out), "--table", "--max_steps", "3"])
    with pytest.raises(SystemExit, match="2"):
        ablation.main([str(study), "--output", str(tmp_path / "other"), "--table", "--reuse", str(out)])
    assert "--table takes no runs" in capsys.readouterr().err


def test_runs_of_another_study_are_taken_where_they_are_the_same(study, tmp_path, instant, capsys):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    ablation.main([str(study), "--output", str(first)])
    before = len(instant)
    other = tmp_path / "other.yaml"  # one arm of another name and the same options, and one that is new; other seeds
    other.write_text(
        PLAN.replace("name: all three", "name: IGEP").replace("[0, 1]", "[1, 2]").replace("tune:", "# tune:")
        + "  - name: cross-view alone\n    options: {geometry_weight: 0, global_weight: 0}\n"
    )
    ablation.main([str(other), "--output", str(second), "--learning_rate", "2e-3", "--reuse", str(first)])
    assert [(run.arm.name, run.recipe["seed"]) for run in instant[before:]] == [
        ("cross-entropy", 2),
        ("IGEP", 2),
        ("cross-view alone", 1),
        ("cross-view alone", 2),
    ]
    results = json.loads((second / "results.json").read_text())
    assert results["reused"] == {
        "cross-entropy, seed 1": str(first / "runs" / "cross_entropy" / "seed_1"),
        "IGEP, seed 1": str(first / "runs" / "all_three" / "seed_1"),
    }
    assert results["scores"]["IGEP, seed 1"]["rooms"]["figures"]["exact match, mean"]["value"] == pytest.approx(0.41)
    printed = capsys.readouterr()
    assert "2 of 6 runs are those of other studies" in printed.out
    assert f"runs: 2 of 6 are finished in {first}" in printed.err
    # What was taken is named by where it was done; what is scored on other rooms is not taken.
    other.write_text(other.read_text() + "room_split: validation\n")
    flags = ["--learning_rate", "2e-3", "--reuse", str(second), str(first)]
    before = len(instant)
    ablation.main([str(other), "--output", str(third), *flags])
    assert len(instant) == before + 6
    text = (third / "results.md").read_text()
    assert "16 validation rooms" in text
    said = capsys.readouterr().err
    assert said.count("runs: 0 of 6 are finished in") == 2
    assert said.count("; the nearest differs in score") == 2
    assert "no figure here is one to report" in text
    other.write_text(other.read_text().replace("room_split: validation\n", ""))
    ablation.main([str(other), "--output", str(tmp_path / "fourth"), *flags])
    assert len(instant) == before + 6
    results = json.loads((tmp_path / "fourth" / "results.json").read_text())
    assert results["reused"]["IGEP, seed 1"] == str(first / "runs" / "all_three" / "seed_1")
    with pytest.raises(SystemExit, match=r"--reuse .*nowhere: there is no run in it"):
        ablation.main([str(other), "--output", str(tmp_path / "fifth"), "--reuse", str(tmp_path / "nowhere")])


def test_a_base_is_made_before_the_first_run(study, tmp_path, instant, monkeypatch):
    study.write_text(PLAN + "base: tiny_vlm3\n")
    made = []

    def write(folder):
        made.append(folder)
        write_made_by(folder, "a test")

    monkeypatch.setattr(study_work, "write_base", write)
    for _ in range(2):
        ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert made == [tmp_path / "out" / "tiny_vlm3"]
    assert all(run.command("model")[-2:] == ["--model_name_or_path", str(made[0])] for run in instant)
    assert json.loads((instant[0].folder / "run.json").read_text())["base"] == "tiny_vlm3"


def test_runs_of_other_options_are_not_taken_for_these(study, tmp_path, instant):
    ablation.main([str(study), "--output", str(tmp_path / "out")])
    with pytest.raises(
        SystemExit, match="holds a run with other options: delete it, or give the study another --output"
    ):
        ablation.main([str(study), "--output", str(tmp_path / "out"), "--max_steps", "3"])


def test_bad_values_are_told_before_anything_runs(study, tmp_path, instant):
    bad = PLAN.replace("  - name: all three\n", "  - name: all three\n    options: {verifier_taps: 0}\n")
    for text in (bad, bad.replace("tune:", "# tune:")):  # with runs that come before those of this arm, and without
        study.write_text(text)
        with pytest.raises(SystemExit, match="arm 'all three': .*verifier_taps"):
            ablation.main([str(study), "--output", str(tmp_path / "out")])
        assert instant == []
        assert not list(tmp_path.rglob("run.json"))  # nothing ran: other options may follow in the same folder
    study.write_text(PLAN)
    for flags, message in ((["--nothing", "1"], "no option 'nothing'"), (["7"], "'7' is no flag")):
        with pytest.raises(SystemExit, match=message):
            ablation.main([str(study), "--output", str(tmp_path / "out"), *flags])
    study.write_text(PLAN.replace('figure: {rooms: "exact match, mean"}', "figure: {rooms: best}"))
    with pytest.raises(SystemExit, match="tune: rooms has no figure 'best': it has exact match, distance; .*, mean"):
        ablation.main([str(study), "--output", str(tmp_path / "out")])
    assert instant == []


def test_a_run_that_is_under_way_is_not_started_twice(study, tmp_path, monkeypatch):
    """Processes of a call that was ended alone go on; two that train into one folder would mix."""
    started = []
    monkeypatch.setattr(study_runs.subprocess, "run", lambda words, **_: started.append(words) or Mock(returncode=0))
    plan = read_plan(study)
    run = study_runs.make_run(plan, plan.arms[0], tmp_path / "run", room_split="validation", seed=3)
    run.write_recipes()
    with run.log.open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log)
    assert study_runs.execute([run], 1, "runs") == [run]
    assert "under way in processes of an earlier call" in run.log.read_text()
    assert started == []
    left.communicate(b"\n")
    assert study_runs.execute([run], 1, "runs") == []
    assert len(started) == 2


def test_processes_start_where_the_user_is(study, tmp_path, monkeypatch):
    """A folder that a study names, of descriptors or of scenes, is one beside the user."""
    package, here = tmp_path / "package", tmp_path / "here"
    for folder in (package / "trainers", here):
        folder.mkdir(parents=True)
    for script in ("sft.py", "score.py"):
        (package / "trainers" / script).write_text("import os, sys\nprint('in', os.getcwd(), sys.argv[1])\n")
    monkeypatch.setattr(study_runs, "PACKAGE", package)
    monkeypatch.chdir(here)
    plan = read_plan(study)
    run = study_runs.make_run(plan, plan.arms[0], tmp_path / "run", room_split="validation", seed=3)
    run.write_recipes()
    assert study_runs.execute([run], 1, "runs") == []
    assert run.log.read_text().count(f"in {here} --") == 2


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(study, tmp_path):
    """Real processes; one run is left as an interruption leaves it, and ends as the one that never was."""
    plan = read_plan(study)
    runs = [
        study_runs.make_run(plan, plan.arms[1], tmp_path / name, room_split="validation", seed=3, save_total_limit=2)
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


@pytest.mark.slow
def test_heads_are_trained_first_and_a_teacher_that_is_not_there_ends_its_arm_alone(study, tmp_path, capsys):
    """Real processes, and the table names what is missing and what came on top of the budget."""
    study.write_text(
        PLAN[: PLAN.index("  - name: cross-entropy")].replace("[0, 1]", "[0]").replace("tune:", "# tune:")
        + """  - name: all three
    pretrain: {freeze: [vision, projector, language], cross_view_weight: 0, global_weight: 0, max_steps: 3}
  - name: VGGT
    options: {teacher: vggt}
"""
    )
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=r"missing: VGGT, seed_0, see .*vggt.seed_0.log\.txt"):
        ablation.main([str(study), "--output", str(out)])
    printed = capsys.readouterr().out
    assert "pip install" in printed  # the end of the log, which says how
    assert "missing (seed 0)" in printed
    note = "all three: its heads were trained before, on top of the budget of the others: 3 steps with freeze"
    assert note in printed
    assert note in (out / "results.md").read_text()
    run = out / "runs" / "all_three" / "seed_0"
    assert read_training_run(run / "pretrained")["steps"] == 3
    assert read_training_run(run / "model")["pretrained_heads"] == {"names": ["depth_verifier"], "steps": 3}
    # Interrupted between its two trainings, it goes on with the second.
    (run / "scores.json").unlink()
    shutil.rmtree(run / "model")
    with pytest.raises(SystemExit, match="missing: VGGT"):
        ablation.main([str(study), "--output", str(out)])
    assert run.joinpath("log.txt").read_text().count("--output_dir") == 3
