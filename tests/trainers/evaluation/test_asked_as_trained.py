"""Questions of other programs are asked with the frames, focal length, pixels and words of a model's training."""

import json

import numpy as np
import pytest
from tiny_checkpoints import random_frames
from video_files import write_video

from igep.focal_unification import intrinsics_from_field_of_view
from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import correspondence_question
from igep.text_pixels import text_from_pixels
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.evaluation.asked_as_trained import AskedAsTrained, asked_as_trained


FIELD_OF_VIEW = 70.0
DEPTH = {"focal_pixels": 60.0, "focal_mode": "fx", "text_pixel_steps": 500}


def trained(folder, **usage):
    (folder / "training_run.json").write_text(json.dumps({"usage": usage}))
    return folder


@pytest.fixture(scope="module")
def processor(checkpoint_folders):
    return IGEPProcessor.from_base(checkpoint_folders["qwen3_vl"])


def test_a_model_trained_on_questions_sees_its_number_of_frames_as_they_are(tmp_path, processor):
    model = trained(
        tmp_path, tasks=["depth", "questions"], num_frames=3, frames_as="images", task_options={"depth": DEPTH}
    )
    asking = asked_as_trained(model)
    frames = asking.frames(write_video(tmp_path / "v.mp4", 9))
    assert len(frames) == 3
    assert asking.video_frames_as == "images"
    assert asking.shown(frames, ["How far?"], processor) == (frames, ["How far?"])
    assert len(asked_as_trained(model, num_frames=5).frames(tmp_path / "v.mp4")) == 5
    assert asked_as_trained(model, frames_as="video").video_frames_as == "video"


def test_a_model_that_says_nothing_is_asked_by_the_defaults(tmp_path):
    asking = asked_as_trained(tmp_path)
    assert (asking.num_frames, asking.video_frames_as, asking.vlm3) == (8, "video", None)


def test_a_pixel_alone_is_asked_about_as_the_processor_asks(tmp_path, processor):
    """The prompt and the pixels of `depth_question_inputs`, which the training's questions equal."""
    asking = asked_as_trained(
        trained(tmp_path, tasks=["depth"], task_options={"depth": DEPTH}), field_of_view_degrees=FIELD_OF_VIEW
    )
    (frame,) = random_frames(1)
    frames, (question,) = asking.shown([frame], ["<pixel 20.5 11.5>"], processor)
    intrinsics = intrinsics_from_field_of_view((frame.height, frame.width), FIELD_OF_VIEW)
    expected = processor.depth_question_inputs(
        frame, (20.5, 11.5), intrinsics, focal_pixels=60.0, focal_mode="fx", steps=500
    )
    inputs = processor.question_inputs(frames, question, frames_as="images")
    assert inputs.keys() == expected.keys()
    assert all(np.array_equal(inputs[name], expected[name]) for name in expected)
    assert frames[0].size != frame.size


def test_pixels_inside_a_question_become_text_pixels_of_the_first_image(processor):
    asking = AskedAsTrained(1, "images", VLM3Options(task="objects", focal_pixels=None))
    _, (question,) = asking.shown(random_frames(1), ["Is <pixel 0.5 0.5> nearer than <pixel 24.5 16>?"], processor)
    text = text_from_pixels(np.array([24.5, 16.0]), (32, 48), 1000)
    assert question == f"Is (0, 0) nearer than ({text[0]}, {text[1]})?"
    pair = AskedAsTrained(1, "images", VLM3Options(task="correspondence", focal_pixels=None, think=True))
    assert pair.shown(random_frames(2), ["<pixel 0.5 0.5>"], processor)[1] == [correspondence_question((0, 0), True)]


def test_without_a_field_of_view_a_default_is_taken_where_a_focal_length_is_unified(tmp_path, processor):
    for focal_pixels, resized in ((None, False), (60.0, True)):
        options = DEPTH | {"focal_pixels": focal_pixels}
        asking = asked_as_trained(trained(tmp_path, tasks=["depth"], task_options={"depth": options}))
        frames, _ = asking.shown(random_frames(1), ["How far?"], processor)
        assert (frames[0].size != (48, 32)) == resized


@pytest.mark.parametrize(
    ("usage", "given", "match"),
    [
        ({"tasks": ["depth", "pose"]}, {}, "learned depth, pose: give the one"),
        ({}, {"task": "beauty"}, "task='beauty' is unknown: use one of questions, depth"),
        ({}, {"num_frames": 0}, "num_frames=0 must be at least 1"),
        ({}, {"frames_as": "film"}, "frames_as='film' is unknown"),
    ],
)
def test_bad_values_are_named(usage, given, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        asked_as_trained(trained(tmp_path, **usage), **given)


@pytest.mark.parametrize(
    ("task", "question", "match"),
    [
        ("questions", "How far is <pixel 1.5 1.5>?", "give task=depth or another"),
        ("depth", "How far is <pixel 48.5 1.5>?", "outside what is shown of the first image"),
        ("objects", "<pixel 1.5 1.5>", "a pixel alone, about which task=objects asks nothing"),
    ],
)
def test_pixels_that_cannot_be_asked_about_are_named(task, question, match, processor):
    asking = AskedAsTrained(1, "images", None if task == "questions" else VLM3Options(task=task, focal_pixels=None))
    with pytest.raises(ValueError, match=match):
        asking.shown(random_frames(1), [question], processor)


def test_an_image_that_the_processor_would_resize_is_refused(checkpoint_folders, tmp_path):
    processor = IGEPProcessor.from_base(checkpoint_folders["llava_onevision"])
    asking = asked_as_trained(trained(tmp_path, tasks=["depth"], task_options={"depth": DEPTH}))
    with pytest.raises(ValueError, match="set canvas_size"):
        asking.shown(random_frames(1), ["How far?"], processor)
