"""Rooms with geometry, conversations about a video and VSI-Bench's questions in one run of the command."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoProcessor
from video_files import write_video

from igep.trainers import sft
from igep.trainers.data.scenes.video_frames import read_frames
from igep.trainers.data.vsi_bench import vsi_bench_question


TALK = {
    "id": 0,
    "video": "scannet/scene0000_00.mp4",
    "conversations": [
        {"from": "human", "value": "<image>\nHow many chairs are there?"},
        {"from": "gpt", "value": "4"},
        {"from": "human", "value": "And tables?"},
        {"from": "gpt", "value": "1"},
    ],
}
ASKED = {
    "id": 3,
    "dataset": "scannet",
    "scene_name": "scene0000_00",
    "question_type": "object_counting",
    "question": "How many chair(s) are in this room?",
    "options": None,
    "ground_truth": "4",
}


def write_files(folder: Path) -> None:
    (folder / "scannet").mkdir()
    write_video(folder / "scannet" / "scene0000_00.mp4", 12)
    (folder / "talk.json").write_text(json.dumps([TALK] * 3))
    (folder / "vsi.jsonl").write_text("".join(json.dumps({**ASKED, "id": number}) + "\n" for number in range(3)))


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_one_mixture_of_rows_with_and_without_geometry(checkpoint_folders, tmp_path, family):
    write_files(tmp_path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model_name_or_path: {checkpoint_folders[family]}\noutput_dir: {tmp_path / 'run'}\nnum_rooms: 4\nnum_frames: "
        "2\ngeometry_size: [16, 16]\nmax_steps: 2\nper_device_train_batch_size: 3\nlogging_steps: 1\nsave_strategy: "
        "'no'\nreport_to: none\nuse_cpu: true\ngradient_checkpointing: false\ndisable_tqdm: true\nmixture_weights: "
        "uniform\nmixture:\n  - {name: rooms}\n  - {name: talk, dataset: conversations, dataset_path: "
        f"{tmp_path / 'talk.json'}}}\n  - {{name: vsi, dataset: vsi_bench, dataset_path: {tmp_path / 'vsi.jsonl'}}}\n"
    )
    sft.main(["--config", str(recipe)])
    run = json.loads((tmp_path / "run" / "training_run.json").read_text())
    assert [(part["name"], part["task"], part["rows"]) for part in run["data"][1:]] == [
        ("talk", "conversations", 3),
        ("vsi", "VSI-Bench questions", 3),
    ]
    assert all(part["samples"] for part in run["data"])
    assert [part["dataset"]["name"] for part in run["data"][1:]] == ["talk.json", "vsi.jsonl"]
    assert run["usage"]["multi_turn"]
    asked = vsi_bench_question(ASKED["question"], None)
    model = AutoModel.from_pretrained(tmp_path / "run", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "run", trust_remote_code=True)
    frames = read_frames(tmp_path / "scannet" / "scene0000_00.mp4", run["usage"]["num_frames"])
    inputs = processor.question_inputs(frames, asked)
    with torch.no_grad():
        assert model.generate(**inputs, max_new_tokens=2).shape[1] > inputs["input_ids"].shape[1]


def test_conversations_alone(checkpoint_folders, tmp_path):
    write_files(tmp_path)
    flags = [
        *("--model_name_or_path", str(checkpoint_folders["llava_onevision"]), "--output_dir", str(tmp_path / "run")),
        *(
            "--dataset",
            "conversations",
            "--dataset_path",
            str(tmp_path / "talk.json"),
            "--num_frames",
            "3",
            "--use_cpu",
        ),
        *("--geometry_size", "16", "16", "--max_steps", "2", "--per_device_train_batch_size", "2"),
        *("--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true", "--no_gradient_checkpointing"),
    ]
    sft.main(flags)
    run = json.loads((tmp_path / "run" / "training_run.json").read_text())
    assert (run["usage"]["num_frames"], run["data"][0]["task"]) == (3, "conversations")
