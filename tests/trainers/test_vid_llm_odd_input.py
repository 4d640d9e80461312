"""Odd videos through `igep joint`, `igep ask` and `igep reconstruct`: finite figures, or one line that says why."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scored_model import save_vid_llm
from tiny_checkpoints import SPECIAL_TOKENS
from tiny_vid_llm import FIELDS, tiny_encoder, tiny_language_model
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForImageTextToText, Qwen2Tokenizer

from igep.trainers import joint
from igep.trainers.cli import main


SIZE = (37, 53)  # height and width, no multiples of the patch (8) nor of a visual token (16)
CASES = ["one frame", "identical", "textureless", "more frames than trained", "no depth"]


def write_scene(folder: Path, case: str) -> int:
    """A scene in the one-folder layout that lacks what the case says; returns its number of frames."""
    draw = np.random.default_rng(0)
    count = {"one frame": 1, "more frames than trained": 20}.get(case, 3)
    folder.mkdir(parents=True)
    same = draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for number in range(count):
        colour = draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        colour = {"identical": same, "textureless": np.full_like(same, 128)}.get(case, colour)
        Image.fromarray(colour).save(folder / f"{number:05d}.jpg")
        depth = np.zeros(SIZE, dtype=np.uint16) if case == "no depth" else draw.integers(900, 3000, SIZE, np.uint16)
        Image.fromarray(depth).save(folder / f"{number:05d}.png")
        pose = np.eye(4)
        pose[0, 3] = 0 if case == "identical" else 0.1 * number
        np.savetxt(folder / f"{number:05d}.txt", pose)
    camera = np.eye(4)
    camera[:2, :3] = [[50, 0, SIZE[1] / 2], [0, 50, SIZE[0] / 2]]
    np.savetxt(folder / "intrinsic.txt", camera)
    (folder / "questions.jsonl").write_text('{"question": "How far is it?", "answer": "2 metres"}\n')
    return count


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_vid_llm(tmp_path_factory.mktemp("base") / "vid_llm")


def train(base: Path, output: Path, *flags: str) -> None:
    """Two steps."""
    joint.main(
        [
            *("--model_name_or_path", str(base), "--output_dir", str(output), "--max_steps", "2", "--use_cpu"),
            *("--logging_steps", "1", "--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true"),
            *("--per_device_train_batch_size", "1", "--geometry_size", *map(str, SIZE), *flags),
        ]
    )


def check_losses(printed: str) -> None:
    """Every figure of the table is one."""
    assert "Saved the model" in printed
    assert "nan" not in printed.lower()
    assert "loss_ce" in printed


def check_use(model: Path, frames: Path, count: int, folder: Path, capsys: pytest.CaptureFixture) -> None:
    """It answers and reconstructs."""
    asked = ["--model", str(model), "--video", str(frames), "--frames", str(count), "--device", "cpu"]
    assert main(["ask", "How far is it?", *asked, "--max-new-tokens", "3"]) == 0
    assert capsys.readouterr().out
    given = ["--model", str(model), "--video", str(frames), "--output", str(folder / "scene.ply"), "--device", "cpu"]
    assert main(["reconstruct", *given, "--keep", "1", "--frames", str(count)]) == 0
    assert f"the path of {count} camera" in capsys.readouterr().out or count == 1
    found = trimesh.load(folder / "scene.ply")
    assert len(found.vertices) >= count * 32 * 32
    assert np.isfinite(found.vertices).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_an_odd_video_trains_answers_and_reconstructs(base, tmp_path, capsys, case):
    count = write_scene(tmp_path / "scenes" / "scene", case)
    trained = str(min(count, 3))
    flags = ("--dataset", "scannet", "--dataset_path", str(tmp_path / "scenes"), "--num_frames", trained)
    train(base, tmp_path / "out", *flags)
    check_losses(capsys.readouterr().out)
    frames = tmp_path / "frames"
    frames.mkdir()
    for photo in (tmp_path / "scenes" / "scene").glob("*.jpg"):
        photo.rename(frames / photo.name)
    check_use(tmp_path / "out", frames, count, tmp_path, capsys)


@pytest.mark.slow
def test_rows_without_poses_train_and_frames_that_are_not_there_are_named(base, tmp_path, capsys):
    write_scene(tmp_path / "scenes" / "scene", "ordinary")
    talk = [{"id": "1", "image": "scene/00000.jpg", "conversations": []}]
    talk[0]["conversations"] = [
        {"from": "human", "value": "<image>\nHow far is it?"},
        {"from": "gpt", "value": "2 metres"},
    ]
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    flags = ("--dataset", "conversations", "--dataset_path", str(tmp_path / "talk.json"))
    train(base, tmp_path / "out", *flags, "--image_folder", str(tmp_path / "scenes"))
    check_losses(capsys.readouterr().out)
    (tmp_path / "scenes" / "scene" / "00001.txt").write_text("nan nan nan nan\n" * 4)
    flags = ("--dataset", "scannet", "--dataset_path", str(tmp_path / "scenes"), "--num_frames", "3")
    with pytest.raises(SystemExit, match=r"2 of its . frames\s+are valid \(finite pose\), 3 are asked for"):
        train(base, tmp_path / "other", *flags)


@pytest.mark.slow
def test_a_language_model_without_tokens_for_frames_gets_them(tmp_path, capsys):
    characters = sorted(ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate((*characters, *SPECIAL_TOKENS[:3]))},
        merges=[],
        unk_token=SPECIAL_TOKENS[0],
        pad_token=SPECIAL_TOKENS[0],
        eos_token=SPECIAL_TOKENS[2],
    )
    tiny_encoder().save_pretrained(tmp_path / "vision")
    tiny_language_model(len(tokenizer)).save_pretrained(tmp_path / "language")
    tokenizer.save_pretrained(tmp_path / "language")
    assert "<video>" not in tokenizer.get_vocab()
    count = write_scene(tmp_path / "scenes" / "scene", "ordinary")
    flags = ("--dataset", "scannet", "--dataset_path", str(tmp_path / "scenes"), "--num_frames", str(count))
    parts = ("--vision_name_or_path", str(tmp_path / "vision"), "--language_name_or_path", str(tmp_path / "language"))
    joint.main(
        [
            *(*flags, *parts, "--vid_llm_config", json.dumps(FIELDS), "--frame_size", "32", "--use_cpu"),
            *(
                "--output_dir",
                str(tmp_path / "out"),
                "--max_steps",
                "1",
                "--report_to",
                "none",
                "--save_strategy",
                "no",
            ),
        ]
    )
    assert "Saved the model" in capsys.readouterr().out
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert model.get_input_embeddings().num_embeddings > max(model.config.image_token_id, model.config.video_token_id)
    assert all(math.isfinite(value) for parameter in model.parameters() for value in parameter.detach().flatten()[:3])
