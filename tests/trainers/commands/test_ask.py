"""Questions to models on disk: an IGEP model and a plain VLM give the answer that `generate` gives."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoints import random_frames
from transformers import AutoModelForImageTextToText, AutoProcessor

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import depth_answer
from igep.trainers.commands import ask as ask_module
from igep.trainers.commands.ask import UnparsedAnswerError, ask, ask_depth, depth_options
from igep.trainers.data.scenes.video_frames import VideoError
from igep.trainers.package_files import TINY_BASE


@pytest.fixture(scope="module")
def frame_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(random_frames(4)):
        frame.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def igep_folder(checkpoint_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("igep")
    base = checkpoint_folders["qwen3_vl"]
    IGEPForConditionalGeneration.from_base(str(base)).save_pretrained(folder)
    IGEPProcessor.from_base(str(base)).save_pretrained(folder)
    return folder


def expected_answer(folder: Path, frames: list[Image.Image], question: str, frames_as: str) -> str:
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = IGEPProcessor.from_base(AutoProcessor.from_pretrained(folder))
    inputs = processor.question_inputs(frames, question, frames_as=frames_as)
    with torch.no_grad():
        tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    return processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl", "qwen2_5_vl"])
def test_a_plain_model_answers(family: str, checkpoint_folders: dict[str, Path], frame_folder: Path) -> None:
    folder = checkpoint_folders[family]
    answer = ask(folder, frame_folder, "How far?", max_new_tokens=6, device="cpu")
    assert answer == expected_answer(folder, random_frames(4), "How far?", "video")


def test_an_igep_model_answers_as_its_base(
    igep_folder: Path, checkpoint_folders: dict[str, Path], frame_folder: Path
) -> None:
    base = checkpoint_folders["qwen3_vl"]
    answer = ask(str(igep_folder), str(frame_folder), "How far?", num_frames=2, max_new_tokens=6, device="cpu")
    first_and_last = [random_frames(4)[0], random_frames(4)[3]]
    assert answer == expected_answer(base, first_and_last, "How far?", "video")


def test_a_single_image_is_an_image(checkpoint_folders: dict[str, Path], frame_folder: Path) -> None:
    folder = checkpoint_folders["llava_onevision"]
    answer = ask(folder, frame_folder / "0.png", "How far?", max_new_tokens=6, device="cpu")
    assert answer == expected_answer(folder, random_frames(4)[:1], "How far?", "images")


def test_a_model_is_asked_as_it_was_trained(
    igep_folder: Path, checkpoint_folders: dict[str, Path], frame_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(igep_folder, tmp_path / "model")
    depth = {"focal_pixels": None, "focal_mode": "fx", "canvas_size": [64, 96], "text_pixel_steps": 100}
    usage = {"tasks": ["depth", "questions"], "num_frames": 2, "frames_as": "images", "task_options": {"depth": depth}}
    (folder / "training_run.json").write_text(json.dumps({"usage": usage}))
    answer = ask(folder, frame_folder, "How far?", max_new_tokens=6, device="cpu")
    ends = [random_frames(4)[0], random_frames(4)[3]]
    assert answer == expected_answer(checkpoint_folders["qwen3_vl"], ends, "How far?", "images")
    assert depth_options(folder) == {
        "focal_pixels": None,
        "focal_mode": "fx",
        "canvas_size": (64, 96),
        "steps": 100,
        "frames_as": "images",
    }
    assert depth_options(igep_folder) == {}, "it does not say"


def test_bad_input_is_refused_before_the_model_loads(frame_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="question"):
        ask("nowhere", frame_folder, " ")
    with pytest.raises(ValueError, match="max_new_tokens=0"):
        ask("nowhere", frame_folder, "How far?", max_new_tokens=0)
    with pytest.raises(VideoError, match="no such file"):
        ask("nowhere", tmp_path / "clip.mp4", "How far?")
    with pytest.raises(ValueError, match="device='bogus'.*cpu"):
        ask("nowhere", frame_folder, "How far?", device="bogus")
    for missing in (str(tmp_path / "nowhere"), "no-such/model"):
        with pytest.raises(OSError, match="no saved model in this directory") as caught:
            ask(missing, frame_folder, "How far?")
        assert str(missing) in str(caught.value)


# ---- How far a pixel is


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    random_frames(1, size=(48, 64))[0].save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_pixel_is_asked_about_at_the_unified_focal_length(
    checkpoint_folders: dict[str, Path], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def answer(model, processor, inputs, max_new_tokens):
        seen.update(text=processor.tokenizer.decode(inputs["input_ids"][0]), grid=inputs["image_grid_thw"].tolist())
        return [depth_answer(2.37)]

    monkeypatch.setattr(ask_module, "generate_texts", answer)
    # Half a field of view of 90 degrees: fx = 32 becomes 64, so the image doubles to 96 x 128, 12 x 16 patches.
    metres = ask_depth(
        checkpoint_folders["qwen3_vl"], photo, (16, 36), field_of_view_degrees=90, focal_pixels=64, device="cpu"
    )
    assert metres == 2.37
    assert seen["grid"] == [[1, 12, 16]]
    assert "coordinates (508, 1510) from the camera" in seen["text"]  # (16.5 * 2 - 0.5) * 2000 / 128 and so on


def test_an_answer_that_is_no_depth_is_shown(checkpoint_folders: dict[str, Path], photo: Path) -> None:
    with pytest.raises(UnparsedAnswerError, match="answer is no depth: '"):
        ask_depth(checkpoint_folders["qwen3_vl"], photo, (0, 0), focal_pixels=None, max_new_tokens=4, device="cpu")


@pytest.mark.parametrize(
    ("pixel", "options", "message"),
    [
        ((64, 0), {}, "64 0 is outside the image of 64 x 48.*0 to 63.*0 to 47"),
        ((0, -1), {}, "outside"),
        ((0, 0), {"max_new_tokens": 0}, "max_new_tokens=0"),
        ((0, 0), {"field_of_view_degrees": 190}, "between 0 and 180"),
        ((0, 0), {"intrinsics": torch.zeros(3, 3).numpy()}, "focal lengths 0 and 0"),
        ((0, 0), {"intrinsics": torch.eye(3).numpy() * 500}, "principal point"),
    ],
)
def test_bad_pixels_and_cameras_are_refused_before_the_model_loads(photo: Path, pixel, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ask_depth("nowhere", photo, pixel, **options)


def test_a_pixel_of_several_frames_is_refused(frame_folder: Path) -> None:
    with pytest.raises(ValueError, match="4 frames.*Give an image"):
        ask_depth("nowhere", frame_folder, (0, 0))


def test_words_that_the_model_does_not_know_are_named(frame_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ask(TINY_BASE, frame_folder / "0.png", "How far is the chair?", max_new_tokens=2, device="cpu")
    assert "The model does not know 'far', 'chair': it reads '<unk>' in their place." in caplog.text
    caplog.clear()
    ask(TINY_BASE, frame_folder / "0.png", "<image>\nHow many red boxes are there?", max_new_tokens=2, device="cpu")
    assert "does not know" not in caplog.text


@pytest.mark.parametrize(
    ("question", "token"), [("Where in <image>?", "<image>"), ("Where?<|vision_start|>", "vision_start")]
)
def test_special_tokens_are_no_questions(checkpoint_folders, frame_folder: Path, question: str, token: str) -> None:
    with pytest.raises(ValueError, match=rf"the question .* holds .*{token}.*[Tt]ake it out"):
        ask(checkpoint_folders["qwen3_vl"], frame_folder, question, device="cpu")
