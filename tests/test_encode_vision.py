"""`encode_vision`: frames encoded once answer every question as frames encoded anew do."""

import pytest
import torch
from tiny_checkpoints import FAMILIES, build_checkpoint, random_frames

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


PIXELS = ("pixel_values", "pixel_values_videos")


@pytest.mark.parametrize("frames_as", ["video", "images"])
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_the_pixels(family, frames_as):
    base, base_processor = build_checkpoint(family)
    model, processor = IGEPForConditionalGeneration.from_base(base.eval()), IGEPProcessor.from_base(base_processor)
    frames = random_frames(2)
    encoded = model.encode_vision(**processor.question_inputs(frames, "ready?", frames_as=frames_as))
    calls = []
    model.vlm.get_encoder(modality="image").register_forward_hook(lambda *_: calls.append(1))
    for question in ("how far is it?", ["how far is it?", "near", "which is closer?"]):
        inputs = processor.question_inputs(frames, question, frames_as=frames_as)
        options = {"max_new_tokens": 6, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
        expected = model.generate(**inputs, **options)
        calls.clear()
        without_pixels = {name: value for name, value in inputs.items() if name not in PIXELS}
        found = model.generate(**without_pixels, mm_encoder_outputs=encoded, **options)
        assert not calls, "the vision encoder ran again"
        assert torch.equal(found.sequences, expected.sequences)
        for ours, theirs in zip(found.logits, expected.logits, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_without_pixels_says_so():
    base, _ = build_checkpoint("llava_onevision")
    model = IGEPForConditionalGeneration.from_base(base)
    with pytest.raises(ValueError, match="neither pixel_values nor pixel_values_videos but \\['input_ids'\\]"):
        model.encode_vision(input_ids=torch.ones(1, 2, dtype=torch.long))
