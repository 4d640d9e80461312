"""The paper's sizes, on the meta device: what is built has the parameters it should, and the memory that follows."""

import pytest
import torch
from transformers import Dinov2Config, LlamaConfig, Qwen2Config

from igep.configuration_vid_llm import VidLLMConfig
from igep.modeling_vid_llm import VidLLMForConditionalGeneration


BILLION, GIBIBYTE = 1e9, 2**30
FRAMES, FRAME_SIZE = 32, (518, 686)  # of 4:3 frames: the shorter side is 518
DINOV2_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 518,
}
QWEN2_7B = Qwen2Config(
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    tie_word_embeddings=False,
)
VICUNA_7B = LlamaConfig(vocab_size=32000, tie_word_embeddings=False)  # the defaults are those of LLaMA-7B
MILLIONS = {  # of parameters, by part
    "vision": 304,
    "adapter": 34,
    "reconstruction": 265,
    "metric_depth": 6.5,
}


def built(text_config, **fields):
    config = VidLLMConfig(vision_config=Dinov2Config(**DINOV2_LARGE), text_config=text_config, **fields)
    with torch.device("meta"):
        return VidLLMForConditionalGeneration(config)


def millions_by_part(model):
    found = {}
    for name, parameter in model.named_parameters():
        part = model.part_of_parameter(name)
        found[part] = found.get(part, 0) + parameter.numel() / 1e6
    return found


@pytest.mark.parametrize(
    ("text_config", "billions"), [(QWEN2_7B, 7.62), (VICUNA_7B, 6.74)], ids=["Qwen2-7B", "Vicuna-7B"]
)
def test_parameters_and_memory_at_the_papers_size(text_config, billions):
    """Run with `-s` it prints the table of docs/vid_llm.md."""
    model = built(text_config)
    found = millions_by_part(model)
    for part, value in found.items():
        print(f"{part:20} {value:8.1f} M")  # noqa: T201
    assert found["language"] * 1e6 == pytest.approx(billions * BILLION, rel=0.01)
    for part, expected in MILLIONS.items():
        assert found[part] == pytest.approx(expected, rel=0.02), part
    rows, columns = (side // 14 for side in FRAME_SIZE)
    assert (rows, columns) == (37, 49)
    visual = FRAMES * (rows // 3) * (columns // 3)
    assert visual == 6144  # fits the 32768 tokens of Qwen2 and, with a question, not the 4096 of Vicuna
    in_all = sum(found.values()) * 1e6
    of_others = in_all - found["language"] * 1e6
    weights = 2 * in_all / GIBIBYTE  # bfloat16
    trained = 16 * in_all / GIBIBYTE  # float32 weights, gradients and the two moments of AdamW
    frozen = (2 * found["language"] * 1e6 + 16 * of_others) / GIBIBYTE  # language model in bfloat16, LoRA aside
    print(f"weights {weights:.1f}, all trained {trained:.1f}, language model frozen {frozen:.1f} GiB")  # noqa: T201
    assert weights < 16.5
    assert frozen < 26
    assert model.config.bridge_tokens == 16


def test_grounding_and_boxes_at_the_papers_size():
    found = millions_by_part(built(QWEN2_7B, ground_head=True, box_decoder=True))
    assert 20 < found["box_decoder"] < 120
    assert 20 < found["ground_head"] < 120
