"""Tiny random checkpoints of the real model and processor classes, written to disk as a Hub repository would be.

The tokenizer is byte-level with no merges: any text goes in and comes back unchanged. Frames of 32 x 48 pixels give
every family a grid of patches that is not square, so a transposed or permuted feature map cannot pass a test.
"""

from pathlib import Path

import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.conversion_mapping import get_model_conversion_mapping


FAMILIES = ("llava_onevision", "qwen3_vl", "qwen2_5_vl")
PATCH_SIZE = 8
FRAME_SIZE = (32, 48)  # height, width of `random_frames`
LLAVA_GRID = (4, 4)  # patches per frame of the LLaVA-OneVision checkpoint, whatever the size of the frame
QWEN_GRID = (4, 6)  # patches per frame of 32 x 48 pixels in the two Qwen checkpoints

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<image>",
    "<video>",
)

CHAT_TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{{- 'IMAGE' -}}
{%- elif part['type'] == 'video' -%}{{- 'VIDEO' -}}
{%- elif part['type'] == 'text' -%}{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""


def random_frames(num_frames: int, seed: int = 0, size: tuple[int, int] = FRAME_SIZE) -> list[Image.Image]:
    """Returns `num_frames` RGB images of uniform noise, `size` = (height, width)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (num_frames, *size, 3), generator=generator, dtype=torch.uint8)
    return [Image.fromarray(frame.numpy()) for frame in noise]


def build_tokenizer(image_token: str, video_token: str) -> Qwen2Tokenizer:
    """Returns a byte-level tokenizer whose chat template puts the given placeholders where images and videos go."""
    characters = sorted(ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(characters)}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary | {token: len(characters) + index for index, token in enumerate(SPECIAL_TOKENS)},
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
    )
    tokenizer.chat_template = CHAT_TEMPLATE.replace("IMAGE", image_token).replace("VIDEO", video_token)
    return tokenizer


def build_checkpoint(
    family: str, seed: int = 0, tie_word_embeddings: bool = False
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Builds a random model and its processor.

    Args:
        family (`str`): One of `FAMILIES`.
        seed (`int`, *optional*, defaults to `0`): Seed of the weights.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`): Share input and output embeddings, as the small
            published checkpoints do.

    Returns:
        The model in eval mode (fp32) and its processor.
    """
    torch.manual_seed(seed)
    builder = {"llava_onevision": _llava_onevision, "qwen3_vl": _qwen3_vl, "qwen2_5_vl": _qwen2_5_vl}[family]
    model, processor = builder(tie_word_embeddings)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return model.eval(), processor


def save_checkpoint(family: str, folder: Path, seed: int = 0, tie_word_embeddings: bool = False) -> Path:
    """Writes the model and the processor of `build_checkpoint` to `folder` and returns it."""
    model, processor = build_checkpoint(family, seed, tie_word_embeddings)
    # As the published checkpoints name their weights; left alone, a model that was built drops some of the prefixes.
    model._weight_conversions = get_model_conversion_mapping(model, add_legacy=False)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _text_fields(tokenizer: Qwen2Tokenizer, tie_word_embeddings: bool) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": tie_word_embeddings,
        "initializer_range": 0.2,  # the default leaves the logits of so small a model too flat to tell texts apart
    }


def _llava_onevision(tie_word_embeddings: bool) -> tuple[PreTrainedModel, ProcessorMixin]:
    tokenizer = build_tokenizer("<image>", "<video>")
    pinpoints = [[32, 32], [32, 64], [64, 32], [64, 64]]
    size = {"height": 32, "width": 32}
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": PATCH_SIZE,
            "vision_use_head": False,
        },
        text_config={"model_type": "qwen2", **_text_fields(tokenizer, tie_word_embeddings)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=tie_word_embeddings,
    )
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=LLAVA_GRID[0] * LLAVA_GRID[1],
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def _qwen_fields(tokenizer: Qwen2Tokenizer) -> dict:
    return {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def _qwen_tokenizer() -> Qwen2Tokenizer:
    return build_tokenizer(
        "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
    )


def _qwen3_vl(tie_word_embeddings: bool) -> tuple[PreTrainedModel, ProcessorMixin]:
    tokenizer = _qwen_tokenizer()
    config = Qwen3VLConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": PATCH_SIZE,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config={
            **_text_fields(tokenizer, tie_word_embeddings),
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
        tie_word_embeddings=tie_word_embeddings,
        **_qwen_fields(tokenizer),
    )
    patches = {"patch_size": PATCH_SIZE, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64 * 64}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=size, cap_pixels_per_frame=False, **patches),
        chat_template=tokenizer.chat_template,
    )
    return Qwen3VLForConditionalGeneration(config), processor


def _qwen2_5_vl(tie_word_embeddings: bool) -> tuple[PreTrainedModel, ProcessorMixin]:
    tokenizer = _qwen_tokenizer()
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": PATCH_SIZE,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "window_size": 32,  # 4 x 4 patches: narrower than a frame, so the blocks do run in window order
            "fullatt_block_indexes": [2],
        },
        text_config={
            **_text_fields(tokenizer, tie_word_embeddings),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
        tie_word_embeddings=tie_word_embeddings,
        **_qwen_fields(tokenizer),
    )
    patches = {"patch_size": PATCH_SIZE, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64 * 64}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size, **patches),
        chat_template=tokenizer.chat_template,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor
