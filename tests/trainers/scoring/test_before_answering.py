"""What the last of several benchmarks lacks is told before a frame of the first goes to the model."""

import json
import shutil
from pathlib import Path

import pytest
from scannet_tree import write_json, write_scan
from scene_folders import scene_row, write_exported
from scored_model import ROOM_QUESTIONS, save_tiny, save_vid_llm

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import score
from igep.trainers.package_files import TINY_BASE
from igep.trainers.scoring import score_model


SCANS = ("scene0000_00", "scene0001_00")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(autouse=True)
def nothing_is_answered(monkeypatch):
    monkeypatch.setattr(score_model, "answer_groups", None)


def refused(message: str, model: Path, output: Path, *flags: str) -> None:
    with pytest.raises(SystemExit, match=message) as raised:
        score.main(["--model", str(model), "--output", str(output), "--device", "cpu", *flags])
    assert "\n" not in str(raised.value)
    assert not output.exists()


def test_a_canvas_that_vlm3_needs(model, tmp_path):
    focal = "depth.focal_pixels=100"
    rooms = ("--benchmark", "scanqa", "depth", *ROOM_QUESTIONS, "--data", focal)
    refused("canvas_size", model, tmp_path / "scores.json", *rooms)


def test_types_of_questions_that_a_metric_does_not_know(model, tmp_path):
    rooms = ("--benchmark", "scanqa", "vsi_bench", *ROOM_QUESTIONS)
    refused("question_type='.*' of sample .* is none of object_rel_direction_easy", model, tmp_path / "s.json", *rooms)


def test_geometry_that_a_model_of_positions_needs(tmp_path):
    torn = tmp_path / "positions"
    IGEPForConditionalGeneration.from_base(TINY_BASE, position_encoding="sin3d").save_pretrained(torn)
    IGEPProcessor.from_base(TINY_BASE).save_pretrained(torn)
    rooms = ("--benchmark", "scanqa", "depth", *ROOM_QUESTIONS)
    refused("this benchmark knows no depth and poses", torn, tmp_path / "scores.json", *rooms)


def test_frames_and_questions_of_the_last_scan(model, tmp_path):
    for scan, num_frames in zip(SCANS, (4, 2), strict=True):
        write_scan(tmp_path / "scannet", scan, num_frames=num_frames)
    entries = [
        {"question_id": scan, "scene_id": scan, "question": "What is it?", "answers": ["a chair"], "object_ids": []}
        for scan in SCANS
    ]
    file = write_json(tmp_path / "questions.json", entries)
    asked = ("--benchmark", "scanqa", "--dataset_path", str(tmp_path / "scannet"), "--annotation_file", file)
    refused(
        f"'{SCANS[1]}': 2 of its frames are valid, 3 are asked for",
        model,
        tmp_path / "s.json",
        *asked,
        "--num_frames",
        "3",
    )


def test_what_measurements_need(model, tmp_path):
    rooms = ("--benchmark", "scanqa", "depth_probe", *ROOM_QUESTIONS)
    picture = ("--picture", str(tmp_path), "--checkpoint", str(tmp_path))
    refused(
        "holds no training_heads.safetensors: give a folder checkpoint-N", model, tmp_path / "s.json", *rooms, *picture
    )
    (tmp_path / "training_heads.safetensors").write_bytes(b"")
    refused("picture='.*' is a folder", model, tmp_path / "s.json", *rooms, *picture)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps({"model_type": "llava_onevision"}))
    refused("this is a plain VLM", plain, tmp_path / "s.json", *rooms)


def test_what_reconstructions_need(model, tmp_path, monkeypatch):
    monkeypatch.setattr(score_model, "load_for_answers", None)
    output = tmp_path / "scores.json"
    rooms = ("--benchmark", "scanqa", "reconstruction", *ROOM_QUESTIONS)
    refused("left nothing behind.*give a Vid-LLM model", model, output, *rooms)
    refused("has no training_heads.safetensors", model, output, *rooms, "--checkpoint", str(tmp_path))
    for name in ("first", "last"):
        write_exported(tmp_path / "scenes" / name, scene_row(scene_id=name))
    for folder in ("depth", "pose"):
        shutil.rmtree(tmp_path / "scenes" / "last" / folder)
    scenes = ("--dataset", "scannet", "--dataset_path", str(tmp_path / "scenes"), "--num_frames", "4")
    vid_llm = save_vid_llm(tmp_path / "vid_llm")
    refused("'last' has neither depth nor poses", vid_llm, output, "--benchmark", "reconstruction", *scenes)
