"""A small base from two published models: a LLaVA-OneVision of a DINOv2 encoder and a language model's first layers.

The projector is new. LLaVA-OneVision's own encoder is SigLIP; this one is small, and its licence and size let two
processor cores train on photographs. The encoder keeps the first of its layers alone, the last of which feeds the
projector.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)


IMAGE_TOKENS = ("<image>", "<video>")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what DINOv2 was trained with
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}<image>{%- elif part['type'] == 'video' -%}<video>"
    "{%- elif part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{- '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def assemble_base(
    vision: str,
    language: str,
    frames: Sequence[Image.Image],
    *,
    frame_pixels: int,
    vision_layers: int,
    language_layers: int,
    seed: int,
) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]:
    """Puts a base together.

    Args:
        vision (`str`): Hub id or folder of a DINOv2 encoder without registers.
        language (`str`): Hub id or folder of a causal language model whose tokenizer knows `<|im_start|>` and
            `<|im_end|>`.
        frames (`Sequence[PIL.Image.Image]`): Some frames, by which the projector's scale is set: what it makes of them
            is as large as the word embeddings.
        frame_pixels (`int`): Side of the square frames; a multiple of the encoder's patches. Its position embeddings
            are resampled.
        vision_layers (`int`): Encoder layers to keep.
        language_layers (`int`): Layers of the language model to keep.
        seed (`int`): Draws the projector and the embeddings of new tokens.

    Returns:
        `tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]`: In float32, in eval mode.

    Raises:
        ValueError: The encoder is no DINOv2, a model has fewer layers, or the frames do not divide into patches.
        OSError: No model of a name.
    """
    vision_config = AutoConfig.from_pretrained(vision)
    if vision_config.model_type != "dinov2":
        raise ValueError(
            f"vision={vision!r} is a {vision_config.model_type}: give an encoder of the class Dinov2Model, such as "
            "facebook/dinov2-small."
        )
    text_config = AutoConfig.from_pretrained(language)
    for name, kept, config in (
        ("vision_layers", vision_layers, vision_config),
        ("language_layers", language_layers, text_config),
    ):
        if not 1 <= kept <= config.num_hidden_layers:
            raise ValueError(f"{name}={kept}: the model has {config.num_hidden_layers}; give 1 to as many.")
    patch = vision_config.patch_size
    if frame_pixels < patch or frame_pixels % patch:
        raise ValueError(f"frame_pixels={frame_pixels}: give a multiple of the encoder's patches of {patch} pixels.")
    side = frame_pixels // patch
    processor = _processor(_tokenizer(language), frame_pixels, side)

    set_seed(seed)  # the embeddings of tokens that the language model has not
    source = AutoModel.from_pretrained(vision, dtype=torch.float32)
    text_source = AutoModelForCausalLM.from_pretrained(language, dtype=torch.float32)
    text_source.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    vision_config.image_size, vision_config.num_hidden_layers = frame_pixels, vision_layers
    text_config = text_source.config
    tokenizer = processor.tokenizer
    fields = {
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "video_token_index": tokenizer.convert_tokens_to_ids("<video>"),
        "image_grid_pinpoints": [[frame_pixels, frame_pixels]],
        "vision_aspect_ratio": "anyres_max_1",
        "vision_feature_select_strategy": "default",  # the class token is left out
        "tie_word_embeddings": text_config.tie_word_embeddings,
    }
    set_seed(seed)  # the projector, whatever was drawn before
    model = LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=_encoder_fields(vision_config),
            text_config=_language_fields(text_config, language_layers),
            **fields,
        )
    )
    state = source.state_dict()
    state["embeddings.position_embeddings"] = resample_positions(state["embeddings.position_embeddings"], side)
    _load(model.model.vision_tower, state)
    _load(model.model.language_model, text_source.base_model.state_dict())
    model.lm_head.load_state_dict(text_source.get_output_embeddings().state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    _scale_projector(model.eval(), processor, frames)
    return model, processor


def resample_positions(position_embeddings: torch.Tensor, side: int) -> torch.Tensor:
    """Position embeddings for another number of patches; that of the class token stays.

    Args:
        position_embeddings (`torch.Tensor`): (1, 1 + n * n, C), the class token's first.
        side (`int`): Patches along each side of the new grid.

    Returns:
        `torch.Tensor`: (1, 1 + side * side, C).
    """
    token, patches = position_embeddings[:, :1], position_embeddings[:, 1:]
    stored = round(patches.shape[1] ** 0.5)
    grid = patches.unflatten(1, (stored, stored)).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([token, grid.flatten(2).transpose(1, 2)], 1)


def _encoder_fields(config: AutoConfig) -> dict:
    """Fields of an encoder, but those of a backbone's outputs, which name layers that may be gone."""
    fields = config.to_dict()
    for name in ("out_features", "out_indices", "stage_names"):
        fields.pop(name, None)
    return fields


def _language_fields(config: AutoConfig, layers: int) -> dict:
    """Fields of a language model that keeps the first of its layers; some classes say of what kind each layer is."""
    fields = config.to_dict() | {"num_hidden_layers": layers}
    if fields.get("layer_types") is not None:
        fields["layer_types"] = fields["layer_types"][:layers]
    return fields


def _load(part: PreTrainedModel, state: dict[str, torch.Tensor]) -> None:
    """Loads what a shorter model has of a longer one."""
    part.load_state_dict({name: state[name] for name in part.state_dict()})


def _tokenizer(language: str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(language)
    unknown = [word for word in ("<|im_start|>", "<|im_end|>") if word not in tokenizer.get_vocab()]
    if unknown:
        raise ValueError(
            f"language={language!r}: its tokenizer has no {unknown[0]}, with which chats are written here. Give a "
            "model that was taught to chat with it, such as HuggingFaceTB/SmolLM2-135M-Instruct."
        )
    tokenizer.add_special_tokens({"extra_special_tokens": list(IMAGE_TOKENS)})
    tokenizer.image_token, tokenizer.video_token = IMAGE_TOKENS
    tokenizer.eos_token = "<|im_end|>"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.padding_side = "left"
    return tokenizer


def _processor(tokenizer: PreTrainedTokenizerBase, frame_pixels: int, side: int) -> LlavaOnevisionProcessor:
    look = {
        "size": {"height": frame_pixels, "width": frame_pixels},
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
    }
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(image_grid_pinpoints=[[frame_pixels, frame_pixels]], **look),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(**look),
        num_image_tokens=side * side,
        vision_feature_select_strategy="full",  # `side * side` counts no class token that it could take off
        chat_template=CHAT_TEMPLATE,
        vision_aspect_ratio="anyres_max_1",
    )


@torch.no_grad()
def _scale_projector(
    model: LlavaOnevisionForConditionalGeneration, processor: LlavaOnevisionProcessor, frames: Sequence[Image.Image]
) -> None:
    """Draws the projector so that it standardises the encoder's channels, with outputs as large as word embeddings.

    Left as it is drawn by the class, visual tokens are hundreds of times louder than words, and nearly alike.
    """
    projector = model.model.multi_modal_projector
    pixels = processor.video_processor([list(frames)], return_tensors="pt")["pixel_values_videos"][0]
    hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
    tokens = hidden.flatten(0, 1)
    mean, scale = tokens.mean(0), tokens.std(0) + 1e-6
    width = tokens.shape[1]
    projector.linear_1.weight.normal_(0, width**-0.5).div_(scale)
    projector.linear_1.bias.copy_(-projector.linear_1.weight @ mean)
    projector.linear_2.weight.normal_(0, projector.linear_2.in_features**-0.5)
    projector.linear_2.bias.zero_()
    words = model.get_input_embeddings().weight.square().mean().sqrt()
    projector.linear_2.weight.mul_(words / projector(tokens).square().mean().sqrt())
    model.model.image_newline.normal_(0, float(words))
