"""Scores read from the files that evaluations write, and nothing read from files that are none."""

import json

import pytest

from igep.trainers.evaluation_results import read_results
from igep.trainers.room_evaluation import evaluate
from igep.trainers.tiny_vlm import TINY_BASE
from igep.trainers.vlm3_evaluation import EvaluationOptions, protocol


PROTOCOL = {name: name for name in ("dataset", "dataset_name", "split", "inputs", "questions", "metrics")}
ROOM_SCORES = {"exact_match": {"mean": 0.5, "size": 0.25}, "depth_probe": {"r2": 0.9}, "rooms": 8}


def written(tmp_path, content) -> object:
    file = tmp_path / "results.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_one_model_of_the_quickstart_beside_its_pair(tmp_path):
    runs = [
        {"method": method, "seed": seed, "model": f"{method}_seed{seed}", "protocol": PROTOCOL, **ROOM_SCORES}
        for seed in (0, 1)
        for method in ("cross_entropy", "igep")
    ]
    evaluation = read_results(written(tmp_path, {"runs": runs}), "igep_seed1")
    assert list(evaluation.scores) == ["igep_seed1", "cross_entropy_seed1"], "its own seed alone, itself first"
    assert evaluation.own == {"exact match, mean": 0.5, "exact match, size": 0.25, "depth probe, r2": 0.9}
    assert "| exact match, size | 0.250" in evaluation.table()
    with pytest.raises(ValueError, match="no run of 'mine' but of cross_entropy_seed0, igep_seed0"):
        read_results(written(tmp_path, {"runs": runs}), "mine")


def test_scores_of_vlm3(tmp_path):
    options = EvaluationOptions(model="m", output="o.json", dataset="synthetic_rooms", room_seed=7, focal_pixels=None)
    found = {
        "model": "m",
        "protocol": protocol(options, 40),
        "scores": {
            "depth": {"image_sets": 4, "answers_per_second": 3.0, "count": 40, "delta_1": 0.7, "abs_rel": None}
        },
    }
    evaluation = read_results(written(tmp_path, found), "m")
    assert evaluation.own == {"delta_1, depth": 0.7, "abs_rel, depth": None}, "a count is no score"
    assert "| abs_rel, depth | -     |" in evaluation.table()
    (result,) = evaluation.eval_results()
    assert (result.metric_type, result.metric_value) == ("delta_1", 0.7)
    assert evaluation.protocol["split"] == "rooms of seed 7"
    assert "as they are" in evaluation.protocol["inputs"]


@pytest.mark.slow
def test_a_room_evaluation_states_its_protocol(tmp_path):
    from igep.modeling_igep import IGEPForConditionalGeneration
    from igep.processing_igep import IGEPProcessor

    IGEPForConditionalGeneration.from_base(TINY_BASE).save_pretrained(tmp_path / "model")
    IGEPProcessor.from_base(TINY_BASE).save_pretrained(tmp_path / "model")
    scores, _ = evaluate(tmp_path / "model", 8, 2)
    evaluation = read_results(written(tmp_path, scores), "model")
    assert "8 rooms" in evaluation.protocol["split"]
    assert "2 RGB frames of 64 x 64" in evaluation.protocol["inputs"]
    assert "depth probe, r2" in evaluation.own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not what an evaluation writes"),
        ({"scores": {"depth": {"delta_1": 0.5}}}, "does not say how it was measured"),
        ({"protocol": PROTOCOL, "model": "m"}, "is not what an evaluation writes"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": 0.5}}, "is not what an evaluation writes"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": "high"}}}, "'high' is no score"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": None}}}, "holds no scores of 'm'"),
        ({"protocol": PROTOCOL, "model": "m", "scores": {"depth": {"delta_1": 10**400}}}, "is not what"),
        ({"protocol": PROTOCOL, "model": "a/else", "scores": {}}, "has the scores of 'a/else', not of 'm'"),
        ({"protocol": {"dataset": "x"}, "scores": {}}, "does not say how it was measured"),
        ({"protocol": 3}, "is not what an evaluation writes"),
        ({"runs": None}, "is not what an evaluation writes"),
        ({"runs": [None]}, "is not what an evaluation writes"),
        (
            {"runs": [{"model": "m", "seed": 0, "protocol": PROTOCOL, "exact_match": {}, "depth_probe": None}]},
            "is not what",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_results(written(tmp_path, content), "m")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / "none.json", "m")
