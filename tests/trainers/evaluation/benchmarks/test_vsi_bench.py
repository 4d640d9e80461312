"""VSI-Bench scored from its file: every question once, those of a video together, truths as the metric takes them."""

import json

import pytest
from scored_model import lines_of, save_tiny
from video_files import write_video

from igep.trainers import score


QUESTIONS = [
    {
        "id": number,
        "dataset": "scannet",
        "scene_name": scene,
        "question_type": "object_counting",
        "question": "How many chair(s) are in this room?",
        "options": None,
        "ground_truth": str(number),
    }
    for number, scene in ((1, "scene0000_00"), (2, "scene0001_00"), (3, "scene0000_00"))
]


@pytest.fixture
def file(tmp_path):
    (tmp_path / "scannet").mkdir()
    for scene in ("scene0000_00", "scene0001_00"):
        write_video(tmp_path / "scannet" / f"{scene}.mp4", 4)
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return tmp_path / "test.jsonl"


def flags(file, *others) -> list[str]:
    words = ["--benchmark", "vsi_bench", "--dataset", "vsi_bench", "--dataset_path", str(file), "--num_frames", "2"]
    return [*words, "--output", str(file.with_name("scores.json")), *others]


def test_predictions_are_scored_with_all_parsers(file, capsys):
    given = file.with_name("given.jsonl")
    answers = {"1": "1", "2": "two", "3": "7"}
    lines = [{"benchmark": "vsi_bench", "sample_id": name, "prediction": text} for name, text in answers.items()]
    given.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score.main(flags(file, "--predictions", str(given), "--geometry_inputs", "none"))
    found = json.loads(file.with_name("scores.json").read_text())["benchmarks"]["vsi_bench"]
    figures = {name: figure["value"] for name, figure in found["figures"].items()}
    # By the authors' parser "two" is no number; 7 for 3 is farther off than half, so it earns nothing by either.
    assert figures["object_counting, peer"] == pytest.approx(100 / 3)
    assert figures["object_counting, standard"] == pytest.approx(200 / 3)
    assert found["protocol"]["geometry_inputs"] == "none"
    assert "vsi_bench: 1 x answer that cannot be read (peer)" in capsys.readouterr().out


def test_behind_the_mean_of_the_direction_types_stand_their_questions_alone(file):
    kinds = {"object_rel_direction_easy": ["A. left", "B. right"], "object_rel_direction_hard": ["A. left", "B. back"]}
    directions = [
        QUESTIONS[0] | {"id": number, "question_type": kind, "options": options, "ground_truth": "A"}
        for number, (kind, options) in enumerate(kinds.items(), 4)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*QUESTIONS, *directions]))
    given = file.with_name("given.jsonl")
    given.write_text(json.dumps({"benchmark": "vsi_bench", "sample_id": "4", "prediction": "A"}) + "\n")
    score.main(flags(file, "--predictions", str(given), "--geometry_inputs", "none"))
    figures = json.loads(file.with_name("scores.json").read_text())["benchmarks"]["vsi_bench"]["figures"]
    assert figures["object_rel_direction, standard"]["n"] == 2
    assert figures["overall, standard"]["n"] == 5


@pytest.mark.slow
def test_a_model_is_asked_every_question_in_the_benchmarks_words(file, tmp_path):
    score.main(flags(file, "--model", str(save_tiny(tmp_path / "tiny"))))
    lines = lines_of(file.with_name("scores.json"))
    assert sorted(line["sample_id"] for line in lines) == ["1", "2", "3"]
    assert all(line["question"].startswith("These are frames of a video.") for line in lines)
    assert {line["group_id"] for line in lines} == {"scannet/scene0000_00", "scannet/scene0001_00"}
