import copy
import logging

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, build_checkpoint, build_tokenizer, random_frames
from transformers import AutoProcessor

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


every_family = pytest.mark.parametrize("family", FAMILIES)


def build(family):
    return IGEPProcessor.from_base(build_checkpoint(family)[1])


@every_family
@pytest.mark.parametrize("frames_as", ["video", "images"])
def test_question_inputs_drive_generation(family, frames_as):
    model, base = build_checkpoint(family)
    processor = IGEPProcessor.from_base(base)
    inputs = processor.question_inputs(random_frames(3), "How far is the chair?", frames_as=frames_as)
    text = processor.batch_decode(inputs["input_ids"])[0]
    assert text.count("How far is the chair?") == 1
    assert text.endswith("<|im_start|>assistant\n")
    pixels = "pixel_values_videos" if frames_as == "video" else "pixel_values"
    assert pixels in inputs
    if "mm_token_type_ids" in processor.model_input_names:
        assert inputs["mm_token_type_ids"].any()
    answer = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert answer.shape[1] <= inputs["input_ids"].shape[1] + 3


@every_family
def test_every_frame_given_is_used(family):
    """The processors' own sampling would pick a few frames of a long video."""
    processor = build(family)
    few = processor.question_inputs(random_frames(2), "?")["input_ids"].shape[1]
    many = processor.question_inputs(random_frames(12), "?")["input_ids"].shape[1]
    tokens_per_frame = {"llava_onevision": 4, "qwen3_vl": 3, "qwen2_5_vl": 3}[family]
    assert many - few >= 10 * tokens_per_frame


@every_family
def test_one_frame_is_a_video_too(family):
    model, base = build_checkpoint(family)
    inputs = IGEPProcessor.from_base(base).question_inputs(random_frames(1), "?")
    assert model(**inputs).logits.isfinite().all()


def test_time_stamps_of_qwen3_vl():
    inputs = build("qwen3_vl").question_inputs(random_frames(4), "?")
    text = build("qwen3_vl").decode(inputs["input_ids"][0])
    assert "<0.2 seconds>" in text  # frames 0 and 1 at two frames a second
    assert "<1.2 seconds>" in text


@every_family
def test_conversations_continue(family):
    processor = build(family)
    turns = ["What?", "A chair.", "How far?"]
    inputs = processor.question_inputs(random_frames(2), turns)
    text = processor.decode(inputs["input_ids"][0])
    assert text.index("What?") < text.index("A chair.") < text.index("How far?")
    question, answered = (processor.prompt_text(turns[:count], 2) for count in (1, 2))
    assert answered.startswith(question)
    assert answered.endswith("A chair.<|im_end|>\n")
    assert processor.prompt_text(turns, 2, frames_as="images").count(processor.image_token) == 2


@every_family
def test_it_behaves_as_the_base_processor(family):
    _, base = build_checkpoint(family)
    processor = IGEPProcessor.from_base(base)
    assert processor.tokenizer is base.tokenizer
    assert processor.image_token == base.image_token
    assert processor.model_input_names == base.model_input_names
    text = f"{base.image_token} what?"
    expected, found = (p(text=text, images=random_frames(1), return_tensors="pt") for p in (base, processor))
    assert found["input_ids"].shape[0] == 1  # one string gives a batch of one
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    processor.chat_template = "{{ 'plain' }}"
    assert base.chat_template == "{{ 'plain' }}"
    assert processor.apply_chat_template([{"role": "user", "content": "x"}]) == "plain"
    assert copy.deepcopy(processor).image_token == base.image_token
    with pytest.raises(AttributeError):
        _ = processor.no_such_attribute


@every_family
def test_save_and_load(family, tmp_path):
    processor = build(family)
    processor.save_pretrained(tmp_path)
    again = IGEPProcessor.from_pretrained(tmp_path)
    assert type(again) is IGEPProcessor
    native = AutoProcessor.from_pretrained(tmp_path, trust_remote_code=False)
    assert type(native) is type(processor.base_processor) is type(again.base_processor)
    frames = random_frames(2)
    expected = processor.question_inputs(frames, "Where?")
    assert all(torch.equal(again.question_inputs(frames, "Where?")[name], value) for name, value in expected.items())
    assert (tmp_path / "processing_igep.py").exists()


@every_family
def test_beside_a_saved_model_it_loads_without_a_warning(family, tmp_path, monkeypatch, caplog):
    """transformers knows no model type `igep`: its tokenizer must be chosen as that of the base."""
    vlm, base = build_checkpoint(family)
    IGEPForConditionalGeneration.from_base(vlm).save_pretrained(tmp_path)
    IGEPProcessor.from_base(base).save_pretrained(tmp_path)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    again = IGEPProcessor.from_pretrained(tmp_path)
    assert not caplog.records
    assert type(again.tokenizer) is type(base.tokenizer)
    assert type(again.base_processor) is type(base)


def test_wrapping_twice_wraps_once():
    processor = build("qwen3_vl")
    assert IGEPProcessor.from_base(processor).base_processor is processor.base_processor


def test_bad_input_is_refused():
    processor = build("qwen3_vl")
    with pytest.raises(ValueError, match="sample 0 has no frames"):
        processor.question_inputs([], "?")
    with pytest.raises(ValueError, match="frames_as='film'"):
        processor.question_inputs(random_frames(2), "?", frames_as="film")
    with pytest.raises(ValueError, match="2 turns"):
        processor.question_inputs(random_frames(2), ["?", "yes"])
    with pytest.raises(ValueError, match="turns is empty"):
        processor.prompt_text([], 2)
    with pytest.raises(ValueError, match="mixes images of"):
        processor.question_inputs(random_frames(1) + random_frames(1, size=(16, 16)), "?")
    with pytest.raises(TypeError, match="Qwen2Tokenizer is not the processor of a VLM"):
        IGEPProcessor.from_base(build_tokenizer("<image>", "<video>"))


# ---- Focal unification and the base's own resizing


@pytest.mark.parametrize("family", FAMILIES)
def test_size_seen_by_the_encoder_is_what_the_processor_makes(family):
    processor = build(family)
    seen = processor.size_seen_by_encoder((70, 90))
    assert seen == ((32, 32) if family == "llava_onevision" else (64, 96))


def test_rounding_to_patches_is_no_second_resize_and_a_limit_is():
    processor = build("qwen3_vl")
    processor.check_unified_size((70, 90))
    processor.image_processor.size = {"shortest_edge": 256, "longest_edge": 64 * 64}
    with pytest.raises(ValueError, match="90 x 70 pixels to .*256 to 4096 pixels. Set image_max_pixels"):
        processor.check_unified_size((70, 90))
    processor.image_processor.size = {"shortest_edge": 200 * 200, "longest_edge": 400 * 400}
    with pytest.raises(ValueError, match="undoes the unification"):
        processor.check_unified_size((70, 90))


def test_an_encoder_of_one_size_names_it():
    processor = build("llava_onevision")
    processor.check_unified_size((32, 32))
    with pytest.raises(ValueError, match=r"canvas_size to \[32, 32\]"):
        processor.check_unified_size((70, 90))


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_depth_question_unifies_and_names_the_pixel(family):
    processor = build(family)
    frame = random_frames(1, size=(48, 64))[0]
    intrinsics = np.array([[64.0, 0, 32], [0, 48.0, 24], [0, 0, 1]])
    inputs = processor.depth_question_inputs(frame, (20.5, 30.5), intrinsics, focal_pixels=96, steps=500)
    assert inputs["image_grid_thw"].tolist() == [[1, 12, 12]]  # 96 x 96: each axis by its own factor
    text = processor.tokenizer.decode(inputs["input_ids"][0])
    x, y = round((20.5 * 1.5 - 0.5) * 500 / 96), round((30.5 * 2 - 0.5) * 500 / 96)
    assert f"coordinates ({x}, {y}) from the camera" in text
    assert "[0, 500]" in text


def test_depth_question_without_a_camera_asks_the_calibrator():
    processor = build("qwen3_vl")
    frame = random_frames(1, size=(48, 64))[0]
    inputs = processor.depth_question_inputs(frame, (1.5, 2.5), calibrator=lambda image: 90.0, focal_pixels=64)
    assert inputs["image_grid_thw"].tolist() == [[1, 12, 16]]


def test_depth_question_refuses_what_the_model_would_not_see():
    processor = build("llava_onevision")
    frame = random_frames(1, size=(48, 64))[0]
    intrinsics = np.array([[64.0, 0, 32], [0, 64.0, 24], [0, 0, 1]])
    with pytest.raises(ValueError, match="canvas_size to"):
        processor.depth_question_inputs(frame, (20.5, 30.5), intrinsics, focal_pixels=96)
    processor.depth_question_inputs(frame, (32.0, 24.0), intrinsics, focal_pixels=96, canvas_size=(32, 32))
    with pytest.raises(ValueError, match="outside the 32 x 32 pixels"):
        processor.depth_question_inputs(frame, (1.5, 2.5), intrinsics, focal_pixels=96, canvas_size=(32, 32))
    with pytest.raises(ValueError, match="outside the image"):
        processor.depth_question_inputs(frame, (65.0, 2.5), intrinsics, focal_pixels=96)
