"""ScanRefer and Multi3DRefer by the boxes that a model regresses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from analytic_scene import pose
from datasets import Dataset
from grounding_rooms import write_grounding_rooms
from scene_folders import question_row, scene_row
from scored_model import lines_of, predictions_of, save_vid_llm, score_on_two_processes, scored_as
from tiny_vid_llm import build_vid_llm

from igep.box_queries import RegressedBoxes
from igep.trainers import score
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.regressed_boxes import (
    MULTI3DREFER_REGRESSED,
    SCANREFER_REGRESSED,
    RegressedQuestions,
    box_in_world,
    first_pose,
)
from igep.trainers.geometry.oriented_boxes import box_rotation


NAMES = ("scanrefer_regressed", "multi3drefer_regressed")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    return write_grounding_rooms(tmp_path_factory.mktemp("rooms"), 4, seed=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "vid_llm"
    for part in build_vid_llm(box_decoder=True, frame_size=64, box_axes="first_camera"):
        part.save_pretrained(folder)
    return folder


def flags(rooms: Path, *others: str) -> list[str]:
    data = ["--dataset", "hub", "--dataset_path", str(rooms), "--num_frames", "2"]
    return ["--benchmark", *NAMES, *data, "--box_min_probability", "0.01", *others]


@pytest.fixture(scope="module")
def whole(rooms, model, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "scores.json"
    score.main(flags(rooms, "--model", str(model), "--output", str(output), "--device", "cpu"))
    return output


def test_a_model_is_scored_by_its_boxes_in_the_scene(rooms, model, whole, tmp_path):
    found = json.loads(whole.read_text())["benchmarks"]
    one, some = (found[name] for name in NAMES)
    for benchmark in (one, some):
        assert benchmark["protocol"]["geometry_inputs"] == "predicted"
        assert "pose of their first" in benchmark["protocol"]["inputs"]
        assert benchmark["facts"]["answered"] == benchmark["facts"]["questions"] > 0
        assert benchmark["facts"]["failures"] == {}
        assert "questions_without_proposals" not in benchmark["facts"]
    assert {"accuracy_25, peer", "accuracy_50, standard"} <= one["figures"].keys()
    assert {"f1_25, peer", "unique_f1_50, standard"} <= some["figures"].keys()
    assert "probability 0.01 and more" in some["protocol"]["questions"]
    predictions = {(line["benchmark"], line["sample_id"]): json.loads(line["prediction"]) for line in lines_of(whole)}
    for (name, sample), prediction in predictions.items():
        if name == NAMES[0]:
            assert len(prediction["box"]) == 9  # along the first camera's axes, which are not level
            several = predictions[NAMES[1], sample]
            assert several["boxes"][0] == prediction["box"]
            assert several["probabilities"] == sorted(several["probabilities"], reverse=True)
            assert min(several["probabilities"]) >= 0.01
    # Predictions alone have the same scores, and a run that was cut goes on.
    alone, again = tmp_path / "alone.json", tmp_path / "again.json"
    given = ("--predictions", str(predictions_of(whole)), "--geometry_inputs", "predicted")
    score.main(flags(rooms, *given, "--output", str(alone)))
    again.with_name("again_run.json").write_text(whole.with_name("scores_run.json").read_text())
    lines = predictions_of(whole).read_text().splitlines(keepends=True)
    again.with_name("again_predictions.0.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    asked = flags(rooms, "--model", str(model), "--output", str(again), "--device", "cpu", "--share_prefix", "false")
    score.main(asked)
    assert [json.loads(file.read_text())["benchmarks"][NAMES[0]]["figures"] for file in (alone, again)] == [
        one["figures"]
    ] * 2


@pytest.mark.slow
def test_two_processes_score_as_one(rooms, model, whole, tmp_path):
    output = tmp_path / "scores.json"
    score_on_two_processes(flags(rooms, "--model", str(model)), output)
    assert scored_as(output) == scored_as(whole)
    assert lines_of(output) == lines_of(whole)


def test_what_a_model_cannot_do(rooms, model, tmp_path):
    output = ("--output", str(tmp_path / "scores.json"), "--device", "cpu")
    with pytest.raises(SystemExit, match="leave geometry_inputs out"):
        score.main(flags(rooms, "--model", str(model), *output, "--geometry_inputs", "pose"))
    with pytest.raises(SystemExit, match="say what geometry the predictions were made with"):
        score.main(flags(rooms, "--predictions", "none.jsonl", *output))
    with pytest.raises(SystemExit, match=r"box_min_probability=0.0 must be above 0"):
        score.main([*flags(rooms, "--model", str(model), *output), "--box_min_probability", "0"])
    with pytest.raises(SystemExit, match=r"has no ground head.*or that it regresses \(scanrefer_regressed\)"):
        score.main([*flags(rooms, "--model", str(model), *output), "--benchmark", "scanrefer"])
    without = save_vid_llm(tmp_path / "without")
    with pytest.raises(SystemExit, match=r"has no box decoder.*\(scanrefer, scanrefer_boxes\)"):
        score.main(flags(rooms, "--model", str(without), *output))


# ---- by hand


BOX = [1.0, 2.0, 3.0, 1.0, 2.0, 0.5]


def test_boxes_along_other_axes_are_turned():
    assert box_in_world(BOX, np.eye(3).tolist()) == BOX
    turn = pose(0, 0, 0, yaw_degrees=40.0, pitch_degrees=-20.0)[:3, :3].numpy()
    turned = box_in_world(BOX, turn.tolist())
    assert turned[:6] == BOX
    np.testing.assert_allclose(box_rotation(turned), turn, atol=1e-9)


def found(probabilities: list[float]) -> RegressedBoxes:
    return RegressedBoxes([BOX] * len(probabilities), np.eye(3).tolist(), probabilities, "scene", "predicted")


def test_the_most_probable_box_or_all_that_are_probable_enough():
    best = SCANREFER_REGRESSED._meant(found([0.1, 0.05]), 0.2)
    assert best == {"box": BOX, "probability": 0.1}
    several = MULTI3DREFER_REGRESSED._meant(found([0.5, 0.3, 0.1]), 0.2)
    assert several == {"boxes": [BOX, BOX], "probabilities": [0.5, 0.3]}
    assert MULTI3DREFER_REGRESSED._meant(found([0.1, 0.05]), 0.2) == {"boxes": [], "probabilities": []}


def row(number: int, prediction: dict | None, true: list) -> dict:
    written = None if prediction is None else json.dumps(prediction)
    reference = {"question_type": "unique"} | ({"boxes": true} if isinstance(true[0], list) else {"box": true})
    return {"sample_id": str(number), "prediction": written, "reference": reference}


def test_the_peer_protocol_takes_the_smallest_box_around_a_turned_one():
    """A cube of side 1 turned by 45 degrees: of two such the IoU of standard is 1, its hull has twice the volume."""
    turned = [0, 0, 0, 1, 1, 1, 45, 0, 0]
    one, _ = SCANREFER_REGRESSED.figures(
        [
            row(0, {"box": turned}, [0, 0, 0, 2**0.5, 1, 2**0.5]),  # IoU 1/2 of the cube, 1 of its hull
            row(1, {"box": BOX}, BOX),
            row(2, None, BOX),
            row(3, {"box": [math.nan] * 6}, BOX),
        ],
        BenchmarkOptions(),
    )
    assert one["accuracy_50, peer"].value == 50
    assert one["accuracy_50, standard"].value in (25, 50)  # an IoU of 1/2, to rounding
    some, facts = MULTI3DREFER_REGRESSED.figures(
        [row(0, {"boxes": [turned, BOX]}, [[0, 0, 0, 2**0.5, 1, 2**0.5], BOX]), row(1, {"boxes": None}, [BOX])],
        BenchmarkOptions(),
    )
    assert some["f1_50, peer"].value == 50
    assert facts["missing, peer"] == 1


def test_a_scene_whose_first_pose_is_unknown_is_named():
    box = {"label": "box", "centre_metres": [0, 0, 1], "size_metres": [1.0, 1, 1], "yaw_radians": 0.0}
    scene = scene_row(3) | {"boxes": [box]}
    asked = [question_row(0, answers=["<ground>"], referred_boxes=[0])]

    def questions(of_scene: dict) -> RegressedQuestions:
        tables = (
            Dataset.from_list([of_scene], features=SCENE_FEATURES),
            Dataset.from_list(asked, features=QUESTION_FEATURES),
        )
        return RegressedQuestions(*tables, BenchmarkOptions(num_frames=2), SCANREFER_REGRESSED._truth)

    posed = questions(scene).check(0, ("world_from_camera",))
    assert posed.read_first_pose().shape == (1, 4, 4)
    assert posed.questions[0].reference == {"box": [0, 0, 1, 1, 1, 1], "question_type": "distance"}
    with pytest.raises(SpatialDataError, match="'desk' has no `world_from_camera`"):
        questions(scene | {"world_from_camera": []}).check(0, ("world_from_camera",))
    with pytest.raises(SpatialDataError, match="'desk': the pose of the first frame that is shown is unknown"):
        first_pose("desk", np.full((2, 4, 4), math.nan))
    asked = [question_row(0)]
    with pytest.raises(SpatialDataError, match="its answer is '0.0', not <ground>"):
        questions(scene).check(0, ())
