"""Tiny random checkpoints, with their processors, of bases beyond those that are tested throughout."""

from tiny_checkpoints import CHAT_TEMPLATE, build_tokenizer
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Config,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    Idefics3Config,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InternVLConfig,
    InternVLProcessor,
    InternVLVideoProcessor,
    Mistral3Config,
    PixtralImageProcessor,
    PixtralProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    SmolVLMConfig,
    VideoLlama3Config,
    VideoLlama3ImageProcessor,
    VideoLlama3Processor,
    VideoLlama3VideoProcessor,
)

from igep.processing_igep import IGEPProcessor


VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
SIZE = {"image_size": 32, "patch_size": 8}
SPECIAL = {
    "idefics3": ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"],
    "smolvlm": ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"],
    "gemma3": ["<start_of_image>", "<end_of_image>"],
    "internvl": ["<img>", "</img>", "<IMG_CONTEXT>"],
    "mistral3": ["[IMG]", "[IMG_BREAK]", "[IMG_END]"],
    "video_llama_3": [],
}


def build_other(family: str, *, tiles: bool = False) -> tuple[PreTrainedModel, IGEPProcessor]:
    """Builds a random model and its processor.

    Args:
        family (`str`): A key of `SPECIAL`.
        tiles (`bool`, *optional*, defaults to `False`): Let the processor cut images into tiles, as published ones do.

    Returns:
        `tuple[PreTrainedModel, IGEPProcessor]`
    """
    image_token = {"gemma3": "<start_of_image>", "internvl": "<IMG_CONTEXT>", "mistral3": "[IMG]"}.get(
        family, "<image>"
    )
    tokenizer = build_tokenizer(image_token, "<video>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[family]})
    ids = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "pad_token_id": tokenizer.pad_token_id,
    }
    template = tokenizer.chat_template
    config: PreTrainedConfig
    if family in ("idefics3", "smolvlm"):
        kind = {"idefics3": Idefics3Config, "smolvlm": SmolVLMConfig}[family]
        config = kind(
            vision_config={**VISION, **SIZE},
            text_config={"model_type": "llama", **text},
            scale_factor=2,
            image_token_id=ids("<image>"),
            pad_token_id=tokenizer.pad_token_id,
        )
        edge = {"longest_edge": 32}
        options = {
            "size": {"longest_edge": 64} if tiles else edge,
            "max_image_size": edge,
            "do_image_splitting": tiles,
        }
        # SmolVLM's own processor needs a package more, and writes images as this one does.
        processor = Idefics3Processor(
            Idefics3ImageProcessor(**options), tokenizer, image_seq_len=4, chat_template=template
        )
    elif family == "gemma3":
        config = Gemma3Config(
            vision_config={"model_type": "siglip_vision_model", **VISION, **SIZE, "vision_use_head": False},
            text_config=text,
            mm_tokens_per_image=4,
            image_token_id=ids("<image>"),
            boi_token_id=ids("<start_of_image>"),
            eoi_token_id=ids("<end_of_image>"),
        )
        tokenizer.boi_token, tokenizer.eoi_token, tokenizer.image_token = (
            "<start_of_image>",
            "<end_of_image>",
            "<image>",
        )
        tokenizer.image_token_id, tokenizer.boi_token_id = ids("<image>"), ids("<start_of_image>")
        size = {"height": 32, "width": 32}
        processor = Gemma3Processor(
            Gemma3ImageProcessor(size=size, do_pan_and_scan=False),
            tokenizer,
            chat_template=template,
            image_seq_length=4,
        )
    elif family == "internvl":
        config = InternVLConfig(
            vision_config={**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
            text_config={"model_type": "qwen2", **text},
            image_token_id=ids("<IMG_CONTEXT>"),
            downsample_ratio=0.5,
        )
        tokenizer.start_image_token, tokenizer.end_image_token = "<img>", "</img>"
        tokenizer.context_image_token, tokenizer.context_image_token_id = "<IMG_CONTEXT>", ids("<IMG_CONTEXT>")
        tokenizer.video_token = "<video>"
        tokenizer.start_image_token_id, tokenizer.end_image_token_id = ids("<img>"), ids("</img>")
        size = {"height": 32, "width": 32}
        processor = InternVLProcessor(
            GotOcr2ImageProcessor(size=size, crop_to_patches=tiles, min_patches=2 if tiles else 1),
            tokenizer,
            InternVLVideoProcessor(size=size),
            image_seq_length=4,
            chat_template=template,
        )
    elif family == "video_llama_3":
        config = VideoLlama3Config(
            vision_config={**VISION, "patch_size": 8},
            text_config={"model_type": "qwen2", **text},
            image_token_id=ids("<image>"),
            video_token_id=ids("<video>"),
        )
        tokenizer.image_token, tokenizer.video_token = "<image>", "<video>"
        processor = VideoLlama3Processor(
            VideoLlama3ImageProcessor(patch_size=8),
            tokenizer,
            VideoLlama3VideoProcessor(patch_size=8),
            chat_template=template,
        )
    else:
        config = Mistral3Config(
            vision_config={"model_type": "pixtral", **VISION, **SIZE, "head_dim": 16},
            text_config={"model_type": "mistral", **text},
            image_token_id=ids("[IMG]"),
            spatial_merge_size=2,
            vision_feature_layer=-1,
        )
        processor = PixtralProcessor(
            PixtralImageProcessor(size={"longest_edge": 32}, patch_size=8),
            tokenizer,
            patch_size=8,
            spatial_merge_size=2,
            chat_template=CHAT_TEMPLATE.replace("IMAGE", "[IMG]"),
        )
    model = AutoModelForImageTextToText.from_config(config)
    return model.eval(), IGEPProcessor.from_base(processor)
