"""ScanRefer and Multi3DRefer scored on a ScanNet download in true formats, by a ground head and predictions alone."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from scannet_tree import OBJECTS, write_json, write_labels, write_scan
from scene_folders import question_row, scene_row
from scored_model import lines_of, predictions_of, save_tiny, score_on_two_processes, scored_as
from waiting import wait_until

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import score, sft
from igep.trainers.cli import main
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.grounding_benchmark import (
    INVALID,
    UNREADABLE,
    GroundingBenchmark,
    GroundingQuestions,
)
from igep.trainers.evaluation.benchmarks.multi3drefer import MULTI3DREFER
from igep.trainers.evaluation.benchmarks.scanrefer import SCANREFER
from igep.trainers.package_files import PACKAGE, TINY_BASE


SCANS = ("scene0000_00", "scene0001_00")
CHAIR, TABLE = list(OBJECTS[0][1]), list(OBJECTS[1][1])


def described(scan: str, object_id: int, name: str, word: str) -> dict:
    """The word is one that the tiny base knows."""
    return {
        "scene_id": scan,
        "object_id": str(object_id),
        "object_name": name,
        "ann_id": "0",
        "description": f"the {word} {name}",
    }


def many(scan: str, kind: str, word: str, *object_ids: int) -> dict:
    return {"scene_id": scan, "object_ids": list(object_ids), "description": f"all {word} ones", "eval_type": kind}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two scans: the first with a proposal per object, the second without any."""
    root = tmp_path_factory.mktemp("scannet")
    write_scan(root, SCANS[0])
    write_scan(root, SCANS[1], masks=[])
    write_labels(root / "scannetv2-labels.combined.tsv")
    one = [
        described(SCANS[0], 0, "chair", "red"),
        described(SCANS[0], 1, "table", "green"),
        described(SCANS[1], 7, "kitchen cabinet", "blue"),
    ]
    some = [
        many(SCANS[0], "mt", "red", 0, 3),
        many(SCANS[0], "zt_wo_d", "green"),
        many(SCANS[1], "st_wo_d", "blue", 1),
    ]
    write_json(root / "ScanRefer_filtered_val.json", one)
    write_json(root / "multi3drefer_val.json", some)
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for setting in ("none", "pose", "depth+pose"):
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("model") / setting.replace("+", "_")
        model = IGEPForConditionalGeneration.from_base(TINY_BASE, ground_head=True, ground_geometry_inputs=setting)
        model.save_pretrained(folder)
        IGEPProcessor.from_base(TINY_BASE).save_pretrained(folder)
        folders[setting] = folder
    return folders


def flags(root: Path, output: Path, *others: str) -> list[str]:
    return [
        *("--benchmark", "scanrefer", "multi3drefer", "--dataset_path", str(root), "--num_frames", "2"),
        *(
            "--data",
            "scanrefer.dataset=scanrefer",
            f"scanrefer.annotation_file={root / 'ScanRefer_filtered_val.json'}",
        ),
        *("multi3drefer.dataset=multi3drefer", f"multi3drefer.annotation_file={root / 'multi3drefer_val.json'}"),
        *("--output", str(output), "--device", "cpu", *others),
    ]


@pytest.mark.parametrize("setting", ["none", "pose", "depth+pose"])
def test_a_model_grounds_under_its_own_setting(root, models, tmp_path, capsys, setting):
    output = tmp_path / "scores.json"
    score.main(flags(root, output, "--model", str(models[setting])))
    found = json.loads(output.read_text())["benchmarks"]
    for name in ("scanrefer", "multi3drefer"):
        protocol = found[name]["protocol"]
        assert protocol["geometry_inputs"] == setting
        assert protocol["proposals"] == "detected"
        assert "Mask3D" in protocol["questions"]
        assert found[name]["facts"]["questions_without_proposals"] == 1
    assert found["scanrefer"]["figures"]["accuracy_25, peer"]["n"] == 3
    assert found["scanrefer"]["figures"]["unique_accuracy_50, standard"]["n"] == 3
    assert found["scanrefer"]["facts"]["missing, peer"] == 1
    assert found["multi3drefer"]["figures"]["mt_f1_25, peer"]["n"] == 1
    assert found["multi3drefer"]["facts"]["missing, standard"] == 0
    lines = {line["sample_id"]: json.loads(line["prediction"]) for line in lines_of(output)[:3]}
    assert lines["2"] == {"box": None, "similarities": lines["2"]["similarities"]}
    assert len(lines["2"]["similarities"]) == 1
    best = max(range(4), key=lines["0"]["similarities"].__getitem__)
    assert lines["0"]["box"] == pytest.approx(list(OBJECTS.values())[best][1], abs=1e-5)
    table = capsys.readouterr().out
    assert f"scanrefer: geometry at inference here: {setting}; proposals: detected." in table
    assert "pool object features with the true depth and pose" in table
    assert "scanrefer: 1 questions are about scenes without proposals" in table
    assert "3D-IDE (arXiv 2604.03296)" in table


def test_predictions_alone_give_the_same_scores_and_a_run_goes_on(root, models, tmp_path):
    output, again, alone = (tmp_path / name / "scores.json" for name in ("whole", "again", "alone"))
    score.main(flags(root, output, "--model", str(models["pose"])))
    lines = predictions_of(output).read_text().splitlines(keepends=True)
    again.parent.mkdir()
    predictions_of(again).with_name("scores_predictions.0.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    (again.parent / "scores_run.json").write_text((output.parent / "scores_run.json").read_text())
    score.main(flags(root, again, "--model", str(models["pose"]), "--share_prefix", "false"))
    assert {line["sample_id"] for line in lines_of(again)} == {line["sample_id"] for line in lines_of(output)}
    assert scored_as(again) == scored_as(output)
    score.main(flags(root, alone, "--predictions", str(predictions_of(output)), "--geometry_inputs", "pose"))
    figures = [json.loads(file.read_text())["benchmarks"]["scanrefer"]["figures"] for file in (output, alone)]
    assert figures[0] == figures[1]
    with pytest.raises(SystemExit, match="say what geometry the predictions were made with: --geometry_inputs"):
        score.main(flags(root, alone, "--predictions", str(predictions_of(output))))


@pytest.fixture(scope="module")
def many_asked(root, models, tmp_path_factory) -> tuple[list[str], Path]:
    """Flags that ask 120 descriptions one by one, and the results file of an undisturbed run."""
    folder = tmp_path_factory.mktemp("many")
    words = ("red", "green", "blue")
    one = [described(SCANS[0], (0, 1, 3)[number % 3], "chair", words[number % 3]) for number in range(60)]
    some = [many(SCANS[number % 2], "mt", words[number % 3], 0, 3) for number in range(60)]
    asked = [*flags(root, folder / "scores.json", "--model", str(models["pose"])), "--questions_per_pass", "1"]
    asked += ["--label_file", str(root / "scannetv2-labels.combined.tsv")]
    for name, entries in (("ScanRefer_filtered_val.json", one), ("multi3drefer_val.json", some)):
        asked[asked.index(f"{name.split('_')[0].lower()}.annotation_file={root / name}")] = (
            f"{name.split('_')[0].lower()}.annotation_file={write_json(folder / name, entries)}"
        )
    score.main(asked)
    return asked, folder / "scores.json"


@pytest.mark.slow
def test_two_processes_ground_as_one(many_asked, tmp_path):
    asked, whole = many_asked
    output = tmp_path / "scores.json"
    score_on_two_processes(asked, output)
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)
    assert json.loads(output.read_text())["facts"]["processes"] == 2


@pytest.mark.slow
def test_a_killed_run_asks_no_description_again(many_asked, tmp_path, monkeypatch):
    asked, whole = many_asked
    output = tmp_path / "scores.json"
    part = tmp_path / "scores_predictions.0.jsonl"
    command = [sys.executable, "trainers/score.py", *asked, "--output", str(output)]
    with subprocess.Popen(command, cwd=PACKAGE, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: part.is_file() and part.read_bytes().count(b"\n") > 10, "some descriptions are answered")
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    kept = part.read_bytes().count(b"\n")
    assert 10 < kept < 120
    answered = []
    answers = GroundingBenchmark.answers

    def counted(self, model, processor, groups, *others, **options):
        for group, texts in answers(self, model, processor, groups, *others, **options):
            answered.extend(each.sample_id for each in group.questions)
            yield group, texts

    monkeypatch.setattr(GroundingBenchmark, "answers", counted)
    score.main([*asked, "--output", str(output)])
    assert len(answered) == 120 - kept
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)


def test_figures_by_hand(root, tmp_path):
    """Of three descriptions one box is right, one is off by half its side, one is no JSON."""
    half = [TABLE[0] + TABLE[3] / 2, *TABLE[1:]]  # IoU 1/3
    given = {"scanrefer": [{"box": CHAIR}, {"box": half}, "the cabinet"]}
    chosen = [list(OBJECTS[0][1]), list(OBJECTS[3][1]), [9, 9, 9, 1, 1, 1]]
    given["multi3drefer"] = [{"boxes": chosen}, {"boxes": []}, {"boxes": [[math.nan] * 6]}]
    lines = [
        {"benchmark": name, "sample_id": str(number), "prediction": one if isinstance(one, str) else json.dumps(one)}
        for name, predictions in given.items()
        for number, one in enumerate(predictions)
    ]
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = tmp_path / "scores.json"
    score.main(flags(root, output, "--predictions", str(tmp_path / "given.jsonl"), "--geometry_inputs", "none"))
    found = json.loads(output.read_text())["benchmarks"]
    one, some = found["scanrefer"], found["multi3drefer"]
    for protocol in ("peer", "standard"):
        assert one["figures"][f"accuracy_25, {protocol}"]["value"] == pytest.approx(200 / 3)
        assert one["figures"][f"accuracy_50, {protocol}"]["value"] == pytest.approx(100 / 3)
        assert some["figures"][f"mt_f1_50, {protocol}"]["value"] == pytest.approx(80)
        assert some["figures"][f"zt_wo_d_f1_25, {protocol}"]["value"] == 100
        assert some["figures"][f"st_wo_d_f1_25, {protocol}"]["value"] == 0
        assert some["facts"][f"invalid, {protocol}"] == 1
    assert (one["facts"]["unparsed"], some["facts"]["unparsed"]) == (1, 0)
    assert one["facts"]["missing, peer"] == 1
    assert (one["facts"]["failures"], some["facts"]["failures"]) == ({UNREADABLE: 1}, {INVALID: 1})


def test_true_boxes_as_proposals(root, models, tmp_path):
    output = tmp_path / "scores.json"
    score.main(flags(root, output, "--model", str(models["none"]), "--ground_proposals", "objects"))
    found = json.loads(output.read_text())["benchmarks"]["scanrefer"]
    assert found["protocol"]["proposals"] == "objects"
    assert found["facts"]["questions_without_proposals"] == 0
    assert found["facts"]["missing, peer"] == 0


@pytest.mark.parametrize(
    ("setting", "asked", "message"),
    [
        ("pose", "none", "trained with 'pose' and has learnt nothing"),
        (None, None, "has no ground head.*scanrefer_boxes"),
    ],
)
def test_what_a_model_cannot_do(root, models, tmp_path, setting, asked, message):
    model = save_tiny(tmp_path / "tiny") if setting is None else models[setting]
    others = [] if asked is None else ["--geometry_inputs", asked]
    with pytest.raises(SystemExit, match=message):
        score.main(flags(root, tmp_path / "scores.json", "--model", str(model), *others))


# ---- questions of any tables


def box(x: float, **changes) -> dict:
    return {"label": "box", "centre_metres": [x, 0, 1], "size_metres": [1.0, 1, 1], "yaw_radians": 0.0} | changes


def grounding_questions(questions: list[dict], boxes: list[dict], benchmark=MULTI3DREFER, depth=None, **options):
    scene = {**scene_row(3), "boxes": boxes}
    scene |= {} if depth is None else {"depth": depth}
    return GroundingQuestions(
        Dataset.from_list([scene], features=SCENE_FEATURES),
        Dataset.from_list(questions, features=QUESTION_FEATURES),
        BenchmarkOptions(num_frames=2, ground_proposals="objects", **options),
        benchmark._truth,
    )


def ask(number: int, *referred: int, **changes) -> dict:
    return question_row(number, answers=["<ground>"], referred_boxes=list(referred), **changes)


def test_groups_hold_proposals_truth_and_geometry():
    groups = grounding_questions([ask(0, 1), ask(1), ask(2, 0)], [box(0), box(2)], questions_per_pass=2)
    assert [len(group.questions) for group in groups] == [2, 1]
    assert groups[0].proposals.tolist() == [[0, 0, 1, 1, 1, 1], [2, 0, 1, 1, 1, 1]]
    assert groups[0].questions[0].reference == {
        "boxes": [[2, 0, 1, 1, 1, 1]],
        "question_type": "distance",
        "proposals": 2,
    }
    assert groups[0].questions[1].reference["boxes"] == []
    example = groups[1].read_example((6, 8))
    assert example.depth_metres.shape == (2, 6, 8)
    assert [frame.size for frame in groups[1].read_frames()] == [frame.size for frame in example.frames]


@pytest.mark.parametrize(
    ("questions", "boxes", "message"),
    [
        ([ask(0, 2)], [box(0)], "names box 2, the scene has 1"),
        ([question_row(0)], [box(0)], "its answer is '0.0', not <ground>"),
        ([ask(0)], [], "not one of the 1 scenes has such boxes"),
        ([ask(0)], [box(0, size_metres=[1, math.nan, 1])], r"'desk': `boxes\[0\]` is no box"),
        ([ask(0)], [box(0, size_metres=[1, -1, 1])], r"'desk': `boxes\[0\]` is no box"),
        ([ask(0), ask(0)], [box(0)], "question_id 'q0' again"),
    ],
)
def test_bad_tables_are_told_by_name(questions, boxes, message):
    with pytest.raises(SpatialDataError, match=message):
        list(grounding_questions(questions, boxes))


def test_scanrefer_means_one_object():
    with pytest.raises(SpatialDataError, match="holds 2 boxes; scanrefer means one"):
        list(grounding_questions([ask(0, 0, 1)], [box(0), box(1)], SCANREFER))


def test_a_scene_without_what_the_setting_takes_is_named(models):
    groups = grounding_questions([ask(0, 0)], [box(0)])
    groups.check(0, ("depth_metres", "world_from_camera", "intrinsics"))
    without = grounding_questions([ask(0, 0)], [box(0)], depth=[])
    with pytest.raises(SpatialDataError, match="'desk' has no `depth`: the model is given it"):
        without.check(0, ("world_from_camera", "depth_metres"))
    group = groups[0]
    bare = type(group)(
        group.group_id,
        group.questions,
        group.read_frames,
        proposals=group.proposals,
        read_example=lambda size: _without_poses(group.read_example(size)),
    )
    model = IGEPForConditionalGeneration.from_pretrained(models["pose"]).eval()
    options = BenchmarkOptions(num_frames=2, geometry_inputs="pose", frames_as="video")
    with pytest.raises(SpatialDataError, match="'desk' has no world_from_camera, which geometry_inputs='pose' takes"):
        list(MULTI3DREFER.answers(model, IGEPProcessor.from_pretrained(models["pose"]), [bare], options))


def _without_poses(example):
    return type(example)(**(vars(example) | {"world_from_camera": None}))


@pytest.mark.slow
def test_trained_and_scored_by_the_commands_on_prepared_scans(root, tmp_path, capsys):
    """From `igep prepare` on: rows in boxes and words in one mixture, and the saved model finds what it was shown."""
    prepared = tmp_path / "prepared"
    assert main(["prepare", "scannet", "--root", str(root), "--out", str(prepared)]) == 0
    annotations = {name: str(root / name) for name in ("ScanRefer_filtered_val.json", "multi3drefer_val.json")}
    answer = {
        "answers": ["red"],
        "object_ids": [0],
        "object_names": ["chair"],
        "question": "What colour is the chair?",
    }
    words = write_json(tmp_path / "ScanQA_v1.0_val.json", [{**answer, "question_id": "q", "scene_id": SCANS[0]}])
    mixture = [
        {"name": "one", "dataset": "scanrefer", "annotation_file": annotations["ScanRefer_filtered_val.json"]},
        {"name": "many", "dataset": "multi3drefer", "annotation_file": annotations["multi3drefer_val.json"]},
        {"name": "words", "dataset": "scanqa", "annotation_file": words},
    ]
    labels = str(root / "scannetv2-labels.combined.tsv")
    recipe = {
        "model_name_or_path": "tiny_base",
        "add_unknown_words": True,
        "dataset_path": str(prepared),
        "label_file": labels,
        "num_frames": 2,
        "mixture": mixture,
        "ground_weight": 1.0,
        "geometry_weight": 0.0,
        "cross_view_weight": 0.0,
        "global_weight": 0.0,
        "output_dir": str(tmp_path / "model"),
        "geometry_size": [24, 32],
        "max_steps": 240,
        "per_device_train_batch_size": 6,
        "warmup_steps": 20,
        "lr_scheduler_type": "cosine",
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 20,
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    sft.main(["--config", write_json(tmp_path / "recipe.yaml", recipe)])
    logged = [line.split() for line in capsys.readouterr().out.splitlines()]
    (losses,) = [[float(cell) for cell in cells[1:]] for cells in logged if cells[:1] == ["loss_ground"]]
    assert losses[1] < 0.8 * losses[0], "the first and the last of the log"
    output = tmp_path / "scores.json"
    paths = ["--dataset_path", str(prepared), "--label_file", labels]
    score.main(flags(root, output, "--model", str(tmp_path / "model"), "--ground_proposals", "objects", *paths))
    found = json.loads(output.read_text())["benchmarks"]
    for name in ("scanrefer", "multi3drefer"):
        assert found[name]["facts"]["answered"] == found[name]["facts"]["questions"] == 3
        assert found[name]["protocol"]["geometry_inputs"] == "depth+pose"
    assert found["scanrefer"]["figures"]["accuracy_50, standard"]["value"] == 100
    many_figures = found["multi3drefer"]["figures"]
    assert many_figures["zt_wo_d_f1_50, standard"]["value"] == many_figures["st_wo_d_f1_50, standard"]["value"] == 100
    # Of two that are meant, the loss is content with one and the cumulative rule stops at it.
    assert many_figures["mt_f1_50, standard"]["value"] >= 200 / 3 - 1e-9
    run = json.loads((tmp_path / "model" / "training_run.json").read_text())
    assert run["usage"]["examples"] == ["What colour is the chair? Answer the question simply."]
