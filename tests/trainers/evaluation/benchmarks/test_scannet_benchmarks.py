"""ScanQA scored on a ScanNet download in its true formats, from the benchmark's own file and from Video-3D LLM's."""

import json
from pathlib import Path

import pytest
from scannet_tree import processed, write_json, write_scan
from scored_model import lines_of, save_tiny

from igep.trainers import score


SCAN = "scene0000_00"
ENTRY = {
    "answers": ["dark brown", "brown"],
    "object_ids": [3, 0],
    "object_names": ["chair", "chair"],
    "question": "What color is the chair?",
    "question_id": "val-scene0000-0",
    "scene_id": SCAN,
}
PROCESSED = processed(
    f"scanqa_{ENTRY['question_id']}_0",
    SCAN,
    f"<image> {ENTRY['question']} Answer the question simply.",
    ENTRY["answers"][0],
    {"dataset": "scanQA", "question_type": "unknow", "answers": ENTRY["answers"]},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scannet", SCAN)
    return tmp_path / "scannet"


def flags(root: Path, entry: dict, *others: str) -> list[str]:
    annotations = write_json(root / "questions.json", [entry])
    words = ["--benchmark", "scanqa", "--dataset", "scanqa", "--dataset_path", str(root), "--num_frames", "2"]
    return [*words, "--annotation_file", annotations, "--output", str(root / "scores.json"), *others]


@pytest.mark.parametrize(("entry", "name"), [(ENTRY, ENTRY["question_id"]), (PROCESSED, PROCESSED["id"])])
def test_every_true_answer_of_the_file_counts(root, entry, name):
    """The second of the true answers is predicted."""
    line = {"benchmark": "scanqa", "sample_id": name, "prediction": "brown"}
    (root / "given.jsonl").write_text(json.dumps(line) + "\n")
    score.main(flags(root, entry, "--predictions", str(root / "given.jsonl")))
    found = json.loads((root / "scores.json").read_text())["benchmarks"]["scanqa"]
    assert found["figures"]["exact_match, standard"]["value"] == 100
    assert found["figures"]["exact_match, peer"]["n"] == 1
    assert found["facts"]["missing, peer"] == 0


def test_questions_that_are_left_out_stand_with_the_scores(root, capsys):
    (root / "given.jsonl").write_text(
        json.dumps({"benchmark": "scanqa", "sample_id": ENTRY["question_id"], "prediction": "brown"}) + "\n"
    )
    lost = [ENTRY | {"question_id": f"lost-{number}", "scene_id": "scene0404_00"} for number in range(2)]
    asked = flags(root, ENTRY, "--predictions", str(root / "given.jsonl"), "--geometry_inputs", "none")
    write_json(root / "questions.json", [ENTRY, *lost])
    with pytest.raises(SystemExit, match=r"2 of 3 questions cannot be used.*'lost-0'.*unusable_questions: leave_out"):
        score.main(asked)
    score.main([*asked, "--unusable_questions", "leave_out"])
    found = json.loads((root / "scores.json").read_text())["benchmarks"]["scanqa"]
    assert (found["facts"]["questions"], found["facts"]["left_out"]["count"], found["facts"]["left_out"]["of"]) == (
        1,
        2,
        3,
    )
    ((reason, count),) = found["facts"]["left_out"]["reasons"].items()
    assert count == 2
    assert "scene0404_00" in reason
    assert found["protocol"]["split"].endswith("; 2 of 3 left out")
    assert "scanqa: 2 of 3 questions of the file are left out: 2 x scene 'scene0404_00'" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_answers_about_the_scan(root, tmp_path):
    score.main(flags(root, ENTRY, "--model", str(save_tiny(tmp_path / "tiny"))))
    (line,) = lines_of(root / "scores.json")
    assert line["sample_id"] == ENTRY["question_id"]
    assert ENTRY["question"] in line["question"]
