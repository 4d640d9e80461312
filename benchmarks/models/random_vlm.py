"""Random models with the proportions of Qwen3-VL-4B and LLaVA-OneVision-7B, small enough for a processor.

Vision tower and language model are to each other as in the published ones; random weights answer with random words.
"""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


FAMILIES = ("qwen3_vl", "llava_onevision")
SPECIAL = ("<pad>", "<end>", "<start>", "<image>", "<video>", "<vision_start>", "<vision_end>")
TEMPLATE = """{%- for message in messages -%}<start>{{ message['role'] }} {% if message['content'] is string -%}
{{ message['content'] }}{%- else -%}{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}{{ part['text'] }}{%- else -%}BEFORE<{{ part['type'] }}>BEHIND{%- endif -%}
{%- endfor -%}{%- endif -%}<end>{%- endfor -%}{%- if add_generation_prompt -%}<start>assistant {% endif -%}"""


def tokenizer_of(texts: Sequence[str], before: str = "", behind: str = "") -> PreTrainedTokenizerFast:
    """Words of texts as tokens, numbers digit by digit as in Qwen's vocabulary; what is around images and videos."""
    words = Tokenizer(models.WordLevel(unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Whitespace()]
    )
    words.train_from_iterator([*texts, "user assistant"], trainers.WordLevelTrainer(special_tokens=list(SPECIAL)))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<end>",
        extra_special_tokens={
            "image_token": "<image>",
            "video_token": "<video>",
            "vision_bos_token": "<vision_start>",
            "vision_eos_token": "<vision_end>",
        },
    )
    tokenizer.chat_template = TEMPLATE.replace("BEFORE", before).replace("BEHIND", behind)
    return tokenizer


def text_config(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 192,
        "head_dim": 64,
        "max_position_embeddings": 32768,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def build(family: str, texts: Sequence[str]) -> tuple[IGEPForConditionalGeneration, IGEPProcessor]:
    """A random model of a family's classes and proportions, and its processor.

    Args:
        family (`str`): One of `FAMILIES`.
        texts (`Sequence[str]`): What is asked and answered: each word, punctuation mark and digit is a token.

    Returns:
        `tuple[IGEPForConditionalGeneration, IGEPProcessor]`
    """
    torch.manual_seed(0)
    if family == "qwen3_vl":
        tokenizer = tokenizer_of(texts, before="<vision_start>", behind="<vision_end>")
        ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(list(SPECIAL)), strict=True))
        config = Qwen3VLConfig(
            vision_config={
                "depth": 3,
                "hidden_size": 192,
                "intermediate_size": 768,
                "num_heads": 3,
                "out_hidden_size": 384,
                "deepstack_visual_indexes": [1, 2],
            },
            text_config=text_config(tokenizer, 384, 6)
            | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [12, 10, 10]}},
            image_token_id=ids["<image>"],
            video_token_id=ids["<video>"],
            vision_start_token_id=ids["<vision_start>"],
            vision_end_token_id=ids["<vision_end>"],
        )
        patches = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
        size = {"shortest_edge": 65536, "longest_edge": 16777216}
        processor = Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(size=size, **patches),
            tokenizer=tokenizer,
            video_processor=Qwen3VLVideoProcessor(size=size, cap_pixels_per_frame=False, **patches),
            chat_template=tokenizer.chat_template,
        )
        vlm = Qwen3VLForConditionalGeneration(config)
    else:
        tokenizer = tokenizer_of(texts)
        pinpoints = [[384, 768], [768, 384], [768, 768]]
        config = LlavaOnevisionConfig(
            vision_config={
                "model_type": "siglip_vision_model",
                "hidden_size": 192,
                "intermediate_size": 720,
                "num_hidden_layers": 3,
                "num_attention_heads": 3,
                "image_size": 384,
                "patch_size": 14,
                "vision_use_head": False,
            },
            text_config={"model_type": "qwen2", **text_config(tokenizer, 384, 6)},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
            image_grid_pinpoints=pinpoints,
        )
        size = {"height": 384, "width": 384}
        processor = LlavaOnevisionProcessor(
            image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints),
            tokenizer=tokenizer,
            video_processor=LlavaOnevisionVideoProcessor(size=size),
            num_image_tokens=729,
            vision_feature_select_strategy="full",
            chat_template=tokenizer.chat_template,
        )
        vlm = LlavaOnevisionForConditionalGeneration(config)
    vlm.generation_config.eos_token_id = tokenizer.eos_token_id
    vlm.generation_config.pad_token_id = tokenizer.pad_token_id
    return IGEPForConditionalGeneration.from_base(vlm), IGEPProcessor.from_base(processor)
