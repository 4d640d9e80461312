"""More tiny random bases, with their processors: those of which it is known what works with them."""

from tiny_checkpoints import PATCH_SIZE, build_tokenizer
from transformers import (
    AutoModelForImageTextToText,
    Glm4vConfig,
    Glm4vImageProcessor,
    Glm4vProcessor,
    Glm4vVideoProcessor,
    Idefics2Config,
    Idefics2ImageProcessor,
    Idefics2Processor,
    Lfm2VlConfig,
    Lfm2VlImageProcessor,
    Lfm2VlProcessor,
    LlavaConfig,
    LlavaProcessor,
    Ovis2Config,
    Ovis2ImageProcessor,
    Ovis2Processor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SiglipImageProcessor,
)

from igep.processing_igep import IGEPProcessor


VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
SQUARE = {"height": 32, "width": 32}
PIXELS = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64 * 64}
PATCHES = {"patch_size": PATCH_SIZE, "temporal_patch_size": 2, "merge_size": 2}
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}


def build_more(family: str) -> tuple[PreTrainedModel, IGEPProcessor]:
    """Builds a random model and its processor.

    Args:
        family (`str`): A key of `BUILDERS`.

    Returns:
        `tuple[PreTrainedModel, IGEPProcessor]`
    """
    config, processor = BUILDERS[family]()
    return AutoModelForImageTextToText.from_config(config).eval(), IGEPProcessor.from_base(processor)


def _text(tokenizer: Qwen2Tokenizer, **fields) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **fields,
    }


def _with_tokens(names: list[str], image: str = "<image>", video: str = "<video>") -> Qwen2Tokenizer:
    tokenizer = build_tokenizer(image, video)
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    return tokenizer


def _ovis2() -> tuple[PreTrainedConfig, ProcessorMixin]:
    marks = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    tokenizer = _with_tokens(["<IMG_ATOM>", *marks])
    config = Ovis2Config(
        vision_config={**VISION, "image_size": 32, "patch_size": PATCH_SIZE, "hidden_stride": 2, "vocab_size": 40},
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(marks),
        vocab_size=len(tokenizer),
        hidden_size=32,
    )
    images = Ovis2ImageProcessor(size=SQUARE, crop_to_patches=False)
    return config, Ovis2Processor(images, tokenizer, chat_template=tokenizer.chat_template, image_seq_length=4)


def _lfm2_vl() -> tuple[PreTrainedConfig, ProcessorMixin]:
    tokenizer = _with_tokens(["<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"])
    layers = {"block_auto_adjust_ff_dim": False, "layer_types": ["conv", "full_attention"]}
    config = Lfm2VlConfig(
        vision_config={
            "model_type": "siglip2_vision_model",
            **VISION,
            "patch_size": PATCH_SIZE,
            "num_patches": 64,
            "vision_use_head": False,
        },
        text_config={"model_type": "lfm2", **_text(tokenizer, **layers)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )
    images = Lfm2VlImageProcessor(
        encoder_patch_size=PATCH_SIZE, tile_size=32, min_image_tokens=1, max_image_tokens=16, do_image_splitting=False
    )
    return config, Lfm2VlProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


def _glm4v() -> tuple[PreTrainedConfig, ProcessorMixin]:
    names = ["image", "video", "begin_of_image", "end_of_image", "begin_of_video", "end_of_video"]
    marks = [f"<|{name}|>" for name in names]
    tokenizer = _with_tokens(marks, f"{marks[2]}{marks[0]}{marks[3]}", f"{marks[4]}{marks[1]}{marks[5]}")
    fields = ["image", "video", "image_start", "image_end", "video_start", "video_end"]
    ids = tokenizer.convert_tokens_to_ids(marks)
    config = Glm4vConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "num_heads": 2,
            "image_size": 32,
            "patch_size": PATCH_SIZE,
            "out_hidden_size": 32,
            "intermediate_size": 32,
        },
        text_config=_text(tokenizer, rope_parameters={**ROPE, "partial_rotary_factor": 1.0}),
        **{f"{field}_token_id": number for field, number in zip(fields, ids, strict=True)},
    )
    images, videos = Glm4vImageProcessor(size=PIXELS, **PATCHES), Glm4vVideoProcessor(size=PIXELS, **PATCHES)
    return config, Glm4vProcessor(images, tokenizer, videos, chat_template=tokenizer.chat_template)


def _qwen2_vl() -> tuple[PreTrainedConfig, ProcessorMixin]:
    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = build_tokenizer(f"{marks[2]}{marks[0]}{marks[3]}", f"{marks[2]}{marks[1]}{marks[3]}")
    fields = ["image", "video", "vision_start", "vision_end"]
    ids = tokenizer.convert_tokens_to_ids(marks)
    config = Qwen2VLConfig(
        vision_config={
            "depth": 3,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": PATCH_SIZE,
            "mlp_ratio": 2,
        },
        text_config=_text(tokenizer, rope_parameters=ROPE),
        **{f"{field}_token_id": number for field, number in zip(fields, ids, strict=True)},
    )
    images = Qwen2VLImageProcessor(size=PIXELS, **PATCHES)
    videos = Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False, **PATCHES)
    return config, Qwen2VLProcessor(images, tokenizer, videos, chat_template=tokenizer.chat_template)


def _idefics2() -> tuple[PreTrainedConfig, ProcessorMixin]:
    tokenizer = build_tokenizer("<image>", "<video>")
    images = Idefics2ImageProcessor(size={"longest_edge": 32, "shortest_edge": 32}, do_image_splitting=False)
    processor = Idefics2Processor(images, tokenizer, image_seq_len=4, chat_template=tokenizer.chat_template)
    config = Idefics2Config(
        vision_config={**VISION, "image_size": 32, "patch_size": PATCH_SIZE},
        text_config={"model_type": "mistral", **_text(tokenizer)},  # with the tokens that the processor adds
        perceiver_config={
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "num_key_value_heads": 1,
            "resampler_head_dim": 16,
            "hidden_size": 32,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return config, processor


def _llava() -> tuple[PreTrainedConfig, ProcessorMixin]:
    tokenizer = build_tokenizer("<image>", "<video>")
    tower = {"model_type": "siglip_vision_model", "image_size": 32, "patch_size": PATCH_SIZE, "vision_use_head": False}
    config = LlavaConfig(
        vision_config={**VISION, **tower},
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    processor = LlavaProcessor(
        SiglipImageProcessor(size=SQUARE),
        tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=tokenizer.chat_template,
    )
    return config, processor


BUILDERS = {
    "glm4v": _glm4v,
    "idefics2": _idefics2,
    "lfm2_vl": _lfm2_vl,
    "llava": _llava,
    "ovis2": _ovis2,
    "qwen2_vl": _qwen2_vl,
}
