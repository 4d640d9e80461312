"""Correspondence, pose and objects from the command line: asked as in training, answered in pixels and metres."""

import json
from pathlib import Path

import pytest
from tiny_checkpoints import random_frames
from tiny_depth_pro import save_tiny_depth_pro

from igep.calibrator import load_calibrator
from igep.focal_unification import intrinsics_from_field_of_view
from igep.spatial_prompts import (
    ROTATION_ANGLE_QUESTION,
    correspondence_answer,
    rotation_angle_answer,
    translation_direction_answer,
    translation_distance_answer,
    yaw_pitch_roll_answer,
)
from igep.trainers import cli
from igep.trainers.commands import ask_spatial


MOTION = [
    rotation_angle_answer(12.5),
    yaw_pitch_roll_answer(10.0, -2.5, 0.0),
    translation_direction_answer((0.6, 0.0, 0.8)),
    translation_distance_answer(1.25),
]


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    for number, frame in enumerate(random_frames(2, size=(40, 60))):
        frame.save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in range(2)]


@pytest.fixture
def asked(checkpoint_folders, tmp_path, monkeypatch):
    """Asks a model that was trained so; its answers are given. Returns what it was shown, and what was printed."""
    model = tmp_path / "model"
    model.mkdir()
    for file in checkpoint_folders["qwen3_vl"].iterdir():
        (model / file.name).symlink_to(file)

    def ask(task: str, trained: dict, answers: list[str], *flags: str, learned=None):
        usage = {"tasks": learned or [task], "num_frames": 1, "frames_as": "images", "task_options": {task: trained}}
        (model / "training_run.json").write_text(json.dumps({"usage": usage}))
        seen = {}

        def answer(loaded, processor, samples, options):
            (sample,) = samples
            seen.update(sizes=[frame.size for frame in sample.frames], questions=sample.questions, options=options)
            yield sample, answers

        monkeypatch.setattr(ask_spatial, "answer_samples", answer)
        return cli.main(["ask", "--model", str(model), "--device", "cpu", *flags]), seen

    return ask


def test_where_a_pixel_is_in_the_second_image(asked, photos, capsys):
    trained = {"focal_pixels": None, "longest_side": 96, "pixel_mapping": "exact", "think": True}
    flags = ("--video", photos[0], "--second", photos[1], "--pixel", "30", "10")
    code, seen = asked("correspondence", trained, [correspondence_answer((250, 500), (500, 250))], *flags)
    assert code == 0
    assert seen["sizes"] == [(96, 64)] * 2
    assert "corresponds to pixel (500, 250) in the first image" in seen["questions"][0]
    assert seen["options"].max_new_tokens == 256, "its prompt asks for thinking"
    assert capsys.readouterr().out == "15.0 20.0\n"
    assert asked("correspondence", trained, ["nowhere"], *flags)[0] == 2
    assert "The model's answer is no pixel: 'nowhere'" in capsys.readouterr().err


def test_how_the_camera_moved(asked, photos, capsys):
    trained = {"focal_pixels": 75.0, "max_image_pixels": 2500}
    flags = ("--video", photos[0], "--second", photos[1], "--intrinsics", "50", "0", "30", "20")
    code, seen = asked("pose", trained, MOTION, *flags)
    assert code == 0
    assert seen["sizes"] == [(61, 40)] * 2, "90 x 60, cropped to 2500 pixels; fy 0 stands for fx"
    assert seen["questions"][0] == ROTATION_ANGLE_QUESTION
    assert seen["options"].max_new_tokens == 64
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "rotation_angle_degrees 12.5",
        "yaw_pitch_roll_degrees 10 -2.5 0",
        "translation_direction 0.6 0 0.8",
        "translation_distance_metres 1.25",
    ]
    assert asked("pose", trained, ["?", *MOTION[1:]], *flags)[0] == 2
    assert "holds no rotation angle degrees: '?'" in capsys.readouterr().err


def test_objects_in_boxes_and_an_unknown_camera(asked, photos, tmp_path, capsys):
    depth_pro = save_tiny_depth_pro(tmp_path / "depth_pro")
    question = "Is <box 0 0 30 20> closer than <box 15 10 60 40>?"
    flags = ("--video", photos[0], "--calibrator", depth_pro, question)
    code, seen = asked("objects", {"focal_pixels": 60.0}, ["Yes."], *flags)
    assert code == 0
    regions = "Is bounding box region (0, 0, 500, 500) closer than bounding box region (250, 250, 999, 999)?"
    assert seen["questions"] == [regions]
    degrees = load_calibrator(depth_pro)(random_frames(1, size=(40, 60))[0])
    assert 60 < degrees < 80
    focal = intrinsics_from_field_of_view((40, 60), degrees)[0, 0]
    assert seen["sizes"] == [(int(60 * 60 / focal), int(40 * 60 / focal))]
    assert capsys.readouterr().out == "Yes.\n"


def test_boxes_that_cannot_be_read_are_errors(asked, photos, capsys):
    places = [
        "<box 1 2 3>",
        "<box 1 2 3 4 5>",
        "<box 1, 2, 3, 4>",
        "<box -1 2 3 4>",
        "<Box 1 2 3 4>",
        "<box>",
        "<box 1 2 3 4",
    ]
    for place in [*places, "< box 1 2 3 4>", "<box nan 2 3 4>", "<pixel 1>"]:
        code, seen = asked(
            "objects", {"focal_pixels": None}, [""], "--video", photos[0], f"Is <box 0 0 9 9> by {place}"
        )
        assert code == 2
        assert f"{place!r} cannot be read: write <box LEFT TOP RIGHT BOTTOM>" in capsys.readouterr().err
        assert not seen
    for place in places:
        assert asked("objects", {"focal_pixels": None}, [""], "--video", photos[0], f"How far is {place}")[0] == 2
        assert f"{place!r} cannot be read" in capsys.readouterr().err, "alone too"
    for place in ("<box 3 3 3 9>", "<box 9 3 3 9>", "<box 600 600 700 700>"):
        assert asked("objects", {"focal_pixels": None}, [""], "--video", photos[0], f"How far is {place}?")[0] == 2
        assert f"{place} has nothing in what is shown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--second", "1.png"), "learned depth, not pose"),
        (("Is <box 0 0 1 1> near?",), "learned depth, not objects"),
        (("--second", "1.png", "Where?"), "a question ('Where?') about two images"),
        (("--second", "1.png", "--output", "a.png"), "--output draws a distance"),
        (("--second", "1.png", "--frames", "2"), "--frames is about videos"),
        (("Where?", "--calibrator", "x"), "--calibrator is about a pixel, two images or boxes"),
        (("How far is <Pixel 3 4>?",), "names a pixel, which questions about frames have not: give --pixel X Y"),
    ],
)
def test_what_cannot_be_asked_is_said(asked, photos, capsys, flags, message):
    code, _ = asked("depth", {}, [], "--video", photos[0], *flags)
    assert code == 2
    assert message in capsys.readouterr().err
