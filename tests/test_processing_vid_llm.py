import pytest
import torch
from tiny_checkpoints import build_tokenizer, random_frames
from tiny_vid_llm import build_vid_llm
from transformers import AutoProcessor, Qwen2Config

from igep.processing_igep import IGEPProcessor
from igep.processing_vid_llm import IMAGE_TOKEN, VIDEO_TOKEN, assemble_processor


CONFIG = Qwen2Config(hidden_size=32, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=1)
OPTIONS = {"patch_size": 8, "pooling_ratio": 2}
TEMPLATE = (  # of a language model: contents are texts
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' "
    "-}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def assemble(template=TEMPLATE, **options):
    tokenizer = build_tokenizer("<image>", "<video>")
    tokenizer.chat_template = template
    return assemble_processor(tokenizer, CONFIG, **(OPTIONS | options))


def test_frames_go_where_a_language_models_template_takes_texts():
    processor = assemble(frame_size=32)
    assert processor.prompt_text(["How far?"], 3) == (
        f"<|im_start|>user\n{VIDEO_TOKEN}\nHow far?<|im_end|>\n<|im_start|>assistant\n"
    )
    turns = ["How far?", "two metres", "Is it red?"]
    written = processor.prompt_text(turns, 2, frames_as="images")
    assert written.startswith(
        f"<|im_start|>user\n{IMAGE_TOKEN}\n{IMAGE_TOKEN}\nHow far?<|im_end|>\n<|im_start|>assistant\ntwo"
    )
    assert processor.split_prompt(3).endswith(VIDEO_TOKEN)


def test_a_tokenizer_without_a_template_gets_a_plain_one():
    processor = assemble(None, frame_size=32)
    asked, answered = processor.prompt_text(["How far?"], 1), processor.prompt_text(["How far?", "two metres"], 1)
    assert asked == f"USER: {VIDEO_TOKEN}\nHow far?\nASSISTANT:"
    assert answered == f"{asked} two metres<|im_end|>\n"


@pytest.mark.parametrize(
    ("size", "seen"), [(32, (32, 48)), (40, (40, 60)), ((32, 32), (32, 32))], ids=["exact", "not whole", "squeezed"]
)
def test_as_many_places_as_the_model_makes_tokens(size, seen):
    model, processor = build_vid_llm(frame_size=size)
    inputs = processor.question_inputs(random_frames(3), "?")
    assert inputs["pixel_values_videos"].shape == (1, 3, 3, *seen)
    places = int((inputs["input_ids"] == model.config.video_token_id).sum())
    assert places == 3 * (seen[0] // 8 // 2) * (seen[1] // 8 // 2)
    assert len(model.encode_vision(**inputs)["video"].pooler_output[0]) == places


def test_colours_are_those_that_the_encoder_expects():
    grey = random_frames(1)[0].point(lambda _: 127)
    inputs = assemble(frame_size=32).question_inputs([grey], "?")
    expected = (127 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(inputs["pixel_values_videos"][0, 0, :, 5, 5], expected)
    own = assemble(frame_size=32, image_mean=(0.5, 0.5, 0.5), image_std=(1.0, 1.0, 1.0))
    assert own.question_inputs([grey], "?")["pixel_values_videos"][0, 0, 0, 5, 5].item() == pytest.approx(
        127 / 255 - 0.5
    )


def test_it_is_saved_and_found_with_the_model(tmp_path):
    model, processor = build_vid_llm()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for again in (
        IGEPProcessor.from_pretrained(tmp_path),
        AutoProcessor.from_pretrained(tmp_path, trust_remote_code=True),
    ):
        assert type(again.tokenizer) is type(processor.tokenizer)
        first, second = (each.question_inputs(random_frames(2), "How far?") for each in (processor, again))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert again.tokenizer.video_token_id == model.config.video_token_id


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="frame_size=8 is less than one visual token: give at least 16 pixels"):
        assemble(frame_size=8)
    with pytest.raises(TypeError, match="tokenizer must be a tokenizer, an id or a folder, not int"):
        assemble_processor(3, CONFIG, **OPTIONS)
