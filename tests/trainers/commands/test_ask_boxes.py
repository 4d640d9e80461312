"""`igep ask --boxes`: where what is described is, from RGB alone."""

import json

import pytest
from tiny_checkpoints import random_frames
from tiny_vid_llm import build_vid_llm

from igep.trainers.cli import main


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model, processor = build_vid_llm(box_decoder=True)
    model.save_pretrained(folder / "boxes")
    processor.save_pretrained(folder / "boxes")
    (folder / "video").mkdir()
    for number, frame in enumerate(random_frames(3)):
        frame.save(folder / "video" / f"{number}.png")
    return model, processor, folder


def asked(folder, *options) -> list[str]:
    return ["ask", "--model", str(folder / "boxes"), "--video", str(folder / "video"), "--device", "cpu", *options]


def test_boxes_are_those_of_the_model(built, capsys):
    model, processor, folder = built
    assert main(asked(folder, "--boxes", "The red chair.")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    inputs, questions = processor.ground_inputs(random_frames(3), ["The red chair."])
    (expected,) = model.ground_boxes(dict(inputs), questions)
    assert [line["probability"] for line in lines] == pytest.approx(expected.probabilities[: len(lines)], abs=1e-3)
    for line, box in zip(lines, expected.boxes, strict=False):
        assert line["box_metres"] == pytest.approx(box, abs=2e-3)


def test_what_cannot_be_asked_is_said(built, capsys):
    folder = built[-1]
    for options, message in (
        (("--boxes",), "give a description beside --boxes"),
        (("--boxes", " "), "The description is ' '"),
        (("--boxes", "The chair.", "--pixel", "1", "2"), "--pixel does not go with --boxes"),
        (("--boxes", "The chair.", "--max-new-tokens", "2"), "--max-new-tokens does not go with --boxes"),
    ):
        assert main(asked(folder, *options)) == 2
        assert message in capsys.readouterr().err
    settings = json.loads((folder / "boxes" / "config.json").read_text())
    for change, message in (
        ({"box_axes": "scene"}, "regresses boxes along the axes of a scene"),
        ({"box_decoder": False}, "has no box decoder"),
    ):
        (folder / "boxes" / "config.json").write_text(json.dumps(settings | change))
        assert main(asked(folder, "--boxes", "The chair.")) == 2
        assert message in capsys.readouterr().err
    (folder / "boxes" / "config.json").write_text(json.dumps(settings))
