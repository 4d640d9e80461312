"""ScanRefer and Multi3DRefer answered with boxes as text, on a ScanNet download in its true formats."""

import json
from pathlib import Path

import numpy as np
import pytest
from scannet_tree import OBJECTS, write_json, write_labels, write_scan
from scene_folders import camera_path
from scored_model import lines_of, save_tiny, score_on_two_processes, scored_as

from igep.text_boxes import NEGATIVE_SIZE, NO_BOX, NOT_JSON, WRONG_FRAME, WRONG_LENGTH, WRONG_NUMBER
from igep.trainers import score
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.text_boxes import MULTI3DREFER_BOXES, SCANREFER_BOXES, SEVERAL
from igep.trainers.geometry.oriented_boxes import transform_box
from igep.trainers.scoring.score_options import parse


SCAN = "scene0000_00"
DESCRIPTIONS = [
    {"scene_id": SCAN, "object_id": str(number), "object_name": name, "ann_id": "0", "description": f"A {name}."}
    for number, (name, _) in OBJECTS.items()
]
GROUPS = [("zt_w_d", []), ("st_wo_d", [7]), ("mt", [3, 0]), ("mt", [0, 1, 3])]
SENTENCES = [
    {
        "scene_id": SCAN,
        "object_ids": ids,
        "object_name": "chair",
        "ann_id": 0,
        "eval_type": kind,
        "description": "Those.",
    }
    for kind, ids in GROUPS
]
FRAMES = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "scannet"
    write_scan(folder, SCAN)
    write_labels(folder / "scannetv2-labels.combined.tsv")
    write_json(folder / "scanrefer.json", DESCRIPTIONS)
    write_json(folder / "multi3drefer.json", SENTENCES)
    return folder


def flags(root: Path, name: str, *others: str) -> list[str]:
    words = ["--benchmark", f"{name}_boxes", "--dataset", name, "--dataset_path", str(root)]
    words += ["--annotation_file", str(root / f"{name}.json"), "--num_frames", str(FRAMES)]
    return [*words, "--output", str(root / "scores.json"), *others]


def scored(root: Path, name: str, answers: dict[str, str]) -> dict:
    """The results of some predictions."""
    lines = [{"benchmark": f"{name}_boxes", "sample_id": key, "prediction": text} for key, text in answers.items()]
    (root / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score.main(flags(root, name, "--predictions", str(root / "given.jsonl"), "--geometry_inputs", "none"))
    return json.loads((root / "scores.json").read_text())["benchmarks"][f"{name}_boxes"]


def values(found: dict) -> dict[str, float]:
    return {name: figure["value"] for name, figure in found["figures"].items()}


def box_text(object_id: int, frame: int = 1, *, shift: float = 0.0, wrong: str | None = None) -> str:
    """An object's box in the camera of a frame, moved along the world's x."""
    sampled = camera_path(4)[np.linspace(0, 3, FRAMES).round().astype(int)]
    x, *rest = OBJECTS[object_id][1]
    box = transform_box([x + shift, *rest], np.linalg.inv(sampled[frame])).tolist()
    text = json.dumps({"frame": frame, "bbox_3d": box})
    return text if wrong is None else text.replace(str(box[3]), wrong)


def truths(benchmark, root: Path, name: str) -> dict[str, str]:
    """The true answers that the benchmark itself writes."""
    options = BenchmarkOptions(
        dataset=name,
        dataset_path=str(root),
        annotation_file=str(root / f"{name}.json"),
        num_frames=FRAMES,
        task="text_boxes",
    )
    groups = benchmark.groups(options, SceneTableCache())
    return {each.sample_id: each.answer for group in groups for each in group.questions}


@pytest.mark.parametrize(("benchmark", "score_name"), [(SCANREFER_BOXES, "accuracy"), (MULTI3DREFER_BOXES, "f1")])
def test_true_answers_score_100(root, benchmark, score_name):
    name = benchmark.name.removesuffix("_boxes")
    found = scored(root, name, truths(benchmark, root, name))
    figures = values(found)
    assert {figures[f"{score_name}_{each}, {protocol}"] for each in (25, 50) for protocol in ("peer", "standard")} == {
        100
    }
    assert figures["unparsed"] == 0
    assert found["facts"]["failures"] == {}
    assert found["protocol"]["geometry_inputs"] == "none"
    assert "for the metric alone" in found["protocol"]["metrics"]
    assert "3 RGB frames" in found["protocol"]["inputs"]


def test_any_frame_and_any_description_of_a_box_count(root):
    answers = {"0": box_text(0, 0), "1": f"It is\n```json\n{box_text(1, 2)}\n```", "2": box_text(3), "3": box_text(7)}
    assert values(scored(root, "scanrefer", answers))["accuracy_50, standard"] == 100


def test_overlap_is_that_in_the_world(root):
    """The cabinet is 0.5 m wide: moved by 0.25 m it overlaps by a third."""
    answers = {str(number): box_text(7, shift=9) for number in range(3)} | {"3": box_text(7, shift=0.25)}
    figures = values(scored(root, "scanrefer", answers))
    assert (figures["accuracy_25, standard"], figures["accuracy_50, standard"]) == (25, 0)
    assert figures["accuracy_25, peer"] == 25
    assert figures["unique_accuracy_25, standard"] == 50


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot see it.", NO_BOX),
        ("[]", NO_BOX),
        ("", NO_BOX),
        ('{"frame": 0, "bbox_3d": [1, 2', NOT_JSON),
        (box_text(0, wrong="NaN"), WRONG_NUMBER),
        (box_text(0, wrong="-0.5"), NEGATIVE_SIZE),
        (box_text(0, wrong="1, 1"), WRONG_LENGTH),
        (box_text(0).replace('"frame": 1', f'"frame": {FRAMES}'), WRONG_FRAME),
        (box_text(0).replace('"frame": 1, ', ""), WRONG_FRAME),
    ],
)
def test_what_cannot_be_read_is_wrong_and_counted(root, capsys, answer, reason):
    answers = {"0": answer, "1": box_text(1), "2": box_text(3)}
    found = scored(root, "scanrefer", answers)
    figures = values(found)
    assert figures["accuracy_50, standard"] == 50
    assert figures["accuracy_50, peer"] == 50
    assert figures["unparsed"] == pytest.approx(1 / 3)
    assert found["facts"]["failures"] == {reason: 1}
    assert (found["facts"]["missing"], found["facts"]["unparsed"]) == (1, 1)
    table = capsys.readouterr().out
    assert "1 of 4 questions have no prediction" in table
    assert f"scanrefer_boxes: 1 x {reason}." in table


def test_the_last_of_several_boxes_counts(root):
    answers = {"0": f"[{box_text(1)}, {box_text(0)}]", "1": f"{box_text(1)}, {box_text(0)}"}
    found = scored(root, "scanrefer", answers)
    assert values(found)["accuracy_50, standard"] == 25
    assert found["facts"]["failures"] == {SEVERAL: 2}


def test_none_one_and_several(root):
    answers = {
        "0": "[]",
        "1": f"[{box_text(7)}, {box_text(0)}]",
        "2": f"[{box_text(0, wrong='-1.0')}, {box_text(3)}]",
        "3": "no idea",
    }
    found = scored(root, "multi3drefer", answers)
    figures = values(found)
    assert figures["zt_w_d_f1_50, standard"] == 100
    assert figures["st_wo_d_f1_50, standard"] == pytest.approx(100 * 2 / 3)
    assert figures["mt_f1_50, standard"] == pytest.approx(100 * (2 / 4 + 0) / 2), "what is no box is a false positive"
    assert figures["mt_f1_50, peer"] == pytest.approx(100 * (2 / 4 + 0) / 2)
    assert found["facts"]["failures"] == {NEGATIVE_SIZE: 1, NO_BOX: 1}
    assert found["facts"]["unparsed"] == 1
    assert found["figures"]["mt_f1_50, standard"]["n"] == 2


def test_no_answer_is_not_the_answer_none(root):
    found = scored(root, "multi3drefer", {"0": "There is none of them."})
    assert values(found)["zt_w_d_f1_25, standard"] == 0
    assert found["facts"]["missing"] == 3


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("0", "x"), ("0", "y")], "more than once"),
        ([("9", "x")], "does not have, such as '9'"),
    ],
)
def test_ids_that_are_unknown_or_double(root, lines, message):
    rows = [{"benchmark": "scanrefer_boxes", "sample_id": key, "prediction": text} for key, text in lines]
    (root / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    with pytest.raises(SystemExit, match=message):
        score.main(flags(root, "scanrefer", "--predictions", str(root / "given.jsonl")))


def test_an_object_that_is_not_there(root):
    write_json(root / "scanrefer.json", [*DESCRIPTIONS, {**DESCRIPTIONS[0], "object_id": "5"}])
    (root / "given.jsonl").write_text("")
    with pytest.raises(SystemExit, match="1 of 5 questions cannot be used.*no box of object 5"):
        score.main(flags(root, "scanrefer", "--predictions", str(root / "given.jsonl")))


def test_questions_about_several_objects_are_not_scanrefers(root):
    (root / "given.jsonl").write_text("")
    words = flags(root, "multi3drefer", "--predictions", str(root / "given.jsonl"))
    options = parse(words)[1]["multi3drefer_boxes"]
    with pytest.raises(SpatialDataError, match="3 of 4 questions do not mean one object"):
        SCANREFER_BOXES.groups(options, SceneTableCache())
    with pytest.raises(SystemExit, match="dataset='multi3drefer' is not of scanrefer_boxes"):
        score.main([word.replace("multi3drefer_boxes", "scanrefer_boxes") for word in words])


@pytest.mark.slow
def test_a_model_answers_alike_on_one_process_and_on_two(root, tmp_path):
    model = str(save_tiny(tmp_path / "tiny"))
    words = [*flags(root, "scanrefer"), "--model", model, "--max_new_tokens", "8", "--questions_per_pass", "2"]
    score.main(words)
    lines = lines_of(root / "scores.json")
    assert [line["sample_id"] for line in lines] == ["0", "1", "2", "3"]
    assert all("counted from 0" in line["question"] and '"bbox_3d"' in line["answer"] for line in lines)
    assert all(set(line["problems"]) == {NO_BOX} for line in lines), "nobody has trained it"
    other = root / "two" / "scores.json"
    score_on_two_processes(words, other)
    assert lines_of(other) == lines
    assert scored_as(other) == scored_as(root / "scores.json")
