"""Scoring a saved model: what is written, resumed after a kill, scored alone, shared among processes, and refused."""

import json
import os
import re
import subprocess
import sys

import pytest
from processes import free_port
from scored_model import ROOM_QUESTIONS, lines_of, predictions_of, save_tiny, scored_as
from waiting import wait_until

from igep.trainers import score
from igep.trainers.cards.evaluation_results import read_results
from igep.trainers.cards.saved_weights import weights_sha256
from igep.trainers.experiments.tiny_vlm3 import vlm3_base
from igep.trainers.package_files import PACKAGE, RECIPES
from igep.trainers.scoring import score_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


def flags(model, output, *others) -> list[str]:
    return ["--model", str(model), "--output", str(output), "--benchmark", "scanqa", "sqa3d", *ROOM_QUESTIONS, *others]


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The results file of an undisturbed run."""
    output = tmp_path_factory.mktemp("whole") / "new" / "scores.json"
    score.main(flags(model, output))
    return output


def test_scores_predictions_and_how_they_were_made_are_written(whole, model, capsys):
    results = json.loads(whole.read_text())
    assert results["weights_sha256"] == weights_sha256(model)
    assert results["model"] == "tiny"
    assert results["facts"]["packages"]["torch"]
    assert (results["facts"]["seed"], results["facts"]["processes"]) == (0, 1)
    scanqa, sqa3d = results["benchmarks"]["scanqa"], results["benchmarks"]["sqa3d"]
    assert {"exact_match, peer", "exact_match, standard", "cider, peer"} <= set(scanqa["figures"])
    assert scanqa["figures"]["exact_match, peer"]["n"] == scanqa["facts"]["questions"] == scanqa["facts"]["answered"]
    assert scanqa["protocol"]["geometry_inputs"] == "none"
    assert "2 RGB frames" in scanqa["protocol"]["inputs"]
    assert "papers report the validation split" in scanqa["protocol"]["split"]
    assert scanqa["facts"]["missing, peer"] == 0
    assert scanqa["facts"]["questions_sha256"] != sqa3d["facts"]["questions_sha256"]
    by_type = {name for name in sqa3d["figures"] if name.endswith("_exact_match, peer")}
    assert sum(sqa3d["figures"][name]["n"] for name in by_type) == sqa3d["facts"]["questions"]
    lines = lines_of(whole)
    assert len(lines) == 2 * scanqa["facts"]["questions"]
    assert {line["benchmark"] for line in lines} == {"scanqa", "sqa3d"}
    assert all(isinstance(line["prediction"], str) for line in lines)
    assert not list(whole.parent.glob("*.0.jsonl"))
    evaluations = read_results(whole, "tiny", model)
    assert {name for each in evaluations for name in each.own} >= {"exact_match, peer, sqa3d"}


def test_exact_match_is_that_of_the_lines(whole):
    lines = [line for line in lines_of(whole) if line["benchmark"] == "scanqa"]
    share = 100 * sum(line["prediction"] in line["reference"]["answers"] for line in lines) / len(lines)
    figures = json.loads(whole.read_text())["benchmarks"]["scanqa"]["figures"]
    assert figures["exact_match, peer"]["value"] == pytest.approx(share)


def test_a_run_that_was_cut_goes_on_where_it_was(whole, model, tmp_path, monkeypatch):
    """Half of the lines are there, of which the crash cut the last: it and what is missing are answered, no more."""
    output = tmp_path / "scores.json"
    lines = predictions_of(whole).read_text().splitlines(keepends=True)
    kept = len(lines) // 2
    predictions_of(output).with_name("scores_predictions.1.jsonl").write_text("".join(lines[:kept]) + lines[kept][:30])
    (tmp_path / "scores_run.json").write_text((whole.parent / "scores_run.json").read_text())
    asked = []
    answer = score_model.answer_groups

    def counted(model, processor, groups, *others, **options):
        for group, texts in answer(model, processor, groups, *others, **options):
            asked.extend(each.sample_id for each in group.questions)
            yield group, texts

    monkeypatch.setattr(score_model, "answer_groups", counted)
    score.main(flags(model, output))
    assert len(asked) == len(lines) - kept
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)
    monkeypatch.setattr(score_model, "load_for_answers", None)
    score.main(flags(model, output))  # nothing is left: no model is loaded
    assert scored_as(output) == scored_as(whole)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(model, tmp_path):
    output = tmp_path / "scores.json"
    command = [sys.executable, "trainers/score.py", "--model", str(model), "--output", str(output)]
    command += ["--benchmark", "rooms", "--held_out_rooms", "80", "--device", "cpu"]
    part = tmp_path / "scores_predictions.0.jsonl"
    with subprocess.Popen(command, cwd=PACKAGE, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: part.is_file() and part.read_bytes().count(b"\n") > 20, "some answers are written")
        process.kill()
    kept = part.read_text().splitlines()[:20]
    assert not output.exists()
    score.main(command[2:])
    assert [json.loads(line) for line in kept] == lines_of(output)[:20]
    whole = tmp_path / "whole" / "scores.json"
    score.main([*command[2:], "--output", str(whole)])
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)


@pytest.mark.slow
def test_two_processes_score_as_one(whole, model, tmp_path):
    output = tmp_path / "scores.json"
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        str(free_port()),
    ]
    done = subprocess.run(
        [*launch, "trainers/score.py", *flags(model, output), "--device", "cpu"],
        cwd=PACKAGE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)
    assert json.loads(output.read_text())["facts"]["processes"] == 2
    assert done.stdout.count("Wrote") == 1


def test_predictions_are_scored_alone(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(score_model, "load_for_answers", None)
    lines = lines_of(whole)
    kept = ("benchmark", "sample_id", "prediction")
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({name: line[name] for name in kept}) + "\n" for line in reversed(lines)))
    output = tmp_path / "scores.json"
    given = ["--predictions", str(file), *flags("", output)[2:]]
    score.main(given)
    protocol = scored_as(output)["benchmarks"]["scanqa"]["protocol"]
    assert protocol["geometry_inputs"] == "not stated", "nobody knows what made these answers"
    assert protocol["inputs"].endswith("each scene; geometry that the predictions were made with: not stated")
    score.main([*given, "--geometry_inputs", "none"])
    found = scored_as(output)
    assert found["benchmarks"] == scored_as(whole)["benchmarks"]
    assert found["weights_sha256"] is None
    file.write_text("".join(json.dumps(line) + "\n" for line in lines[2:]))
    capsys.readouterr()
    score.main(given)
    facts = json.loads(output.read_text())["benchmarks"]["scanqa"]["facts"]
    assert facts["missing, standard"] == facts["questions"] - facts["answered"] == 2
    assert "scanqa: 2 of" in capsys.readouterr().out
    assert file.read_text().count("\n") == len(lines) - 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0] | {"sample_id": "of nobody"}], "does not have, such as 'of nobody'"),
        (lambda lines: [*lines, lines[0]], "more than once"),
        (lambda lines: [lines[0] | {"benchmark": "depth"}], "add it to --benchmark"),
        (lambda lines: [lines[0] | {"prediction": 3}], "line 1: prediction=3 must be text"),
        (lambda lines: [{"sample_id": "a"}], "line 1 is no prediction"),
        (lambda lines: [], r"mine\.jsonl is no text in UTF-8"),
    ],
)
def test_predictions_of_something_else_are_refused(whole, tmp_path, change, message):
    file = tmp_path / "mine.jsonl"
    text = "".join(json.dumps(line) + "\n" for line in change(lines_of(whole)))
    file.write_bytes(text.encode() or b"\xe9")
    with pytest.raises(SystemExit, match=message):
        score.main(["--predictions", str(file), *flags("", tmp_path / "scores.json")[2:]])


def test_a_cut_line_of_a_given_file_is_an_error(whole, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(predictions_of(whole).read_text()[:-30])
    with pytest.raises(SystemExit, match=r"mine\.jsonl, line \d+ is no prediction"):
        score.main(["--predictions", str(file), *flags("", tmp_path / "scores.json")[2:]])


def test_a_file_of_predictions_that_is_none_is_told_in_a_sentence(tmp_path):
    for given, message in (
        (tmp_path / "none.jsonl", "no such file of predictions"),
        (tmp_path, "a folder, not a file"),
    ):
        with pytest.raises(SystemExit, match=message):
            score.main(["--predictions", str(given), *flags("", tmp_path / "scores.json")[2:]])


def test_predictions_of_another_run_are_not_taken(whole, model, tmp_path):
    output = tmp_path / "scores.json"
    predictions_of(output).write_text(predictions_of(whole).read_text())
    with pytest.raises(SystemExit, match="it is not known of what"):
        score.main(flags(model, output))
    (tmp_path / "scores_run.json").write_text((whole.parent / "scores_run.json").read_text())
    other = flags(model, output, "--max_new_tokens", "2")
    with pytest.raises(SystemExit, match=r"max_new_tokens was 64 and is 2.*--restart"):
        score.main(other)
    score.main([*other, "--restart"])
    assert all(len(line["prediction"].split()) <= 2 for line in lines_of(output))


def test_options_of_what_has_not_been_answered_may_change(whole, model, tmp_path, monkeypatch):
    """A mistake in the last benchmark's options, found when the others were answered, costs none of their answers."""
    output = tmp_path / "scores.json"
    lines = [line for line in lines_of(whole) if line["benchmark"] == "scanqa"]
    predictions_of(output).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "scores_run.json").write_text((whole.parent / "scores_run.json").read_text())
    score.main(flags(model, output, "--data", "sqa3d.max_new_tokens=2"))
    assert [line for line in lines_of(output) if line["benchmark"] == "scanqa"] == lines
    assert all(len(line["prediction"].split()) <= 2 for line in lines_of(output) if line["benchmark"] == "sqa3d")
    monkeypatch.setattr(score_model, "load_for_answers", None)
    alone = ["--model", str(model), "--output", str(output), "--benchmark", "scanqa", *ROOM_QUESTIONS]
    with pytest.raises(SystemExit, match=r"holds predictions for sqa3d, which is not in --benchmark"):
        score.main(alone)
    monkeypatch.undo()
    predictions_of(output).write_text("".join(json.dumps(line) + "\n" for line in lines))
    score.main(alone)
    assert lines_of(output) == lines
    score.main(flags(model, output))  # and a benchmark may be added
    assert lines_of(output) == lines_of(whole)


def test_vlm3_tasks_by_a_recipe(tmp_path, capsys):
    base, processor = vlm3_base()
    base.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    output = tmp_path / "new" / "scores.json"
    score.main(
        ["--config", str(RECIPES / "vlm3_rooms.yaml"), "--model", str(tmp_path / "plain")]
        + ["--benchmark", "depth", "correspondence", "--num_rooms", "3", "--max_rows", "2", "--max_new_tokens", "4"]
        + ["--output", str(output)]
    )
    results = json.loads(output.read_text())
    assert set(results["benchmarks"]) == {"depth", "correspondence"}
    depth = results["benchmarks"]["depth"]
    assert depth["facts"]["image_sets"] == 2
    assert re.search(r"; a part: 2 of \d+ sets of frames$", depth["protocol"]["split"])
    assert depth["figures"]["unparsed"]["value"] == 1  # nobody has trained it
    assert depth["figures"]["abs_rel"]["value"] is None  # and JSON has no NaN
    assert results["weights_sha256"] == weights_sha256(tmp_path / "plain")
    assert depth["protocol"]["dataset_name"] == "synthetic rooms"
    lines = lines_of(output)
    assert len(lines) == sum(each["figures"]["unparsed"]["n"] for each in results["benchmarks"].values())
    assert {line["question_type"] for line in lines} == {"metric_depth", "pixel_correspondence"}
    assert "delta_1" in capsys.readouterr().out
    unified = ["--model", str(tmp_path / "plain"), "--output", str(tmp_path / "u.json"), "--focal_pixels", "100"]
    with pytest.raises(SystemExit, match="canvas_size"):
        score.main([*unified, "--benchmark", "depth", "--num_rooms", "2"])


def test_questions_do_not_share_what_they_should_not(model, whole, tmp_path):
    """Without a shared prefix and in batches, the answers are the same."""
    output = tmp_path / "scores.json"
    score.main(flags(model, output, "--share_prefix", "false", "--batch_size", "2"))
    assert lines_of(output) == lines_of(whole)
