"""A tiny random Vid-LLM of the real classes: DINOv2 with registers, Qwen2, a byte-level tokenizer."""

import torch
from tiny_checkpoints import PATCH_SIZE, build_tokenizer
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor


FIELDS = {
    "bridge_tokens": 4,
    "geometry_blocks": 2,
    "geometry_taps": 2,
    "register_tokens": 2,
    "camera_layers": 1,
    "camera_iterations": 2,
    "depth_channels": 16,
    "metric_channels": 16,
    "metric_taps": 2,
    "metric_bins": 8,
    "metric_stride": 1,
    "pooling_ratio": 2,
    "box_queries": 6,
    "box_layers": 2,
}
GRID, POOLED_GRID = (4, 6), (2, 3)  # patches and visual tokens of a frame of 32 x 48 pixels


def tiny_encoder(registers: int = 4, layers: int = 3) -> PreTrainedModel:
    """A DINOv2 of 32 channels and so many layers, with so many registers or, of 0, without the class that has them."""
    fields = {
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": PATCH_SIZE,
        "mlp_ratio": 2,
    }
    if registers:
        return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(num_register_tokens=registers, **fields)).eval()
    return Dinov2Model(Dinov2Config(**fields)).eval()


def tiny_language_model(vocab_size: int, tie_word_embeddings: bool = True) -> PreTrainedModel:
    """A Qwen2 of 32 channels and 2 layers."""
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=258,  # <|im_end|>
        pad_token_id=256,  # <|endoftext|>
        tie_word_embeddings=tie_word_embeddings,
        initializer_range=0.2,
    )
    return Qwen2ForCausalLM(config).eval()


def build_vid_llm(
    seed: int = 0,
    *,
    registers: int = 4,
    frame_size: int | tuple[int, int] = 32,
    vision: PreTrainedModel | None = None,
    tie_word_embeddings: bool = True,
    **fields,
) -> tuple[VidLLMForConditionalGeneration, IGEPProcessor]:
    """Builds a random model in eval mode (fp32) and its processor.

    Args:
        seed (`int`, *optional*, defaults to `0`): Seed of the weights.
        registers (`int`, *optional*, defaults to `4`): Registers of the encoder.
        frame_size (`int` or `tuple[int, int]`, *optional*, defaults to `32`): See `build_processor`.
        vision (`PreTrainedModel`, *optional*): Another encoder than DINOv2.
        tie_word_embeddings (`bool`, *optional*, defaults to `True`): Of the language model.
        **fields: Fields of `VidLLMConfig`, over `FIELDS`.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer("<image>", "<video>")
    parts = vision or tiny_encoder(registers), tiny_language_model(len(tokenizer), tie_word_embeddings)
    model = VidLLMForConditionalGeneration.from_parts(*parts, **(FIELDS | fields)).eval()
    return model, model.build_processor(tokenizer, frame_size=frame_size)
