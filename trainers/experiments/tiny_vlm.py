"""The embedded base: a LLaVA-OneVision of 0.6 M parameters with its word-level processor, before any training.

It is the architecture of the IGEP paper (SigLIP + Qwen2) in the original Transformers classes, small enough to train
on two processor cores. `trainers/experiments/pretrain_tiny.py` teaches it 2D; the result ships in
`trainers/tiny_base`.
"""

import math

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from igep.trainers.data.rooms.room_questions import PLURALS, SCREEN_CELLS
from igep.trainers.data.rooms.room_renderer import COLOURS, SHAPES


IMAGE_SIZE = 64
PATCH_SIZE = 8
SPECIAL_TOKENS = ("<pad>", "<eos>", "<image>", "<video>", "<unk>")
QUESTION_WORDS = (
    *("how", "many", "metres", "away", "is", "the", "in", "which", "closer", "or", "left", "right", "of", "tall"),
    *("are", "there", "apart", "and", "what", "3d", "centre"),
    *("colour", "shape", "where", "on", "screen", "row", "column"),
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'video' %}<video>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<eos>{% else %} {% endif %}"
    "{% endfor %}"
)


def vocabulary() -> list[str]:
    """Every word of the synthetic rooms' questions and answers, special tokens first."""
    lengths = [f"{half / 2:.1f}" for half in range(-20, 25)]
    heights = [f"{fifth / 5:.1f}" for fifth in range(8)]
    digits = [str(digit) for digit in range(SCREEN_CELLS)]
    words = [*SPECIAL_TOKENS, *COLOURS, *SHAPES, *PLURALS.values(), *QUESTION_WORDS, *lengths, *heights, *digits]
    return list(dict.fromkeys(words))


def build_processor() -> LlavaOnevisionProcessor:
    """The processor: 64 px frames, one word per token, punctuation and case ignored.

    Returns:
        `LlavaOnevisionProcessor`
    """
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token="<unk>"))
    words.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[?!,;:]|\.(?!\d)"), " ")]
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrap_tokenizer(words)


def wrap_tokenizer(words: Tokenizer) -> LlavaOnevisionProcessor:
    """The processor of 64 px frames around a tokenizer.

    Args:
        words (`Tokenizer`): Its vocabulary holds `SPECIAL_TOKENS`.

    Returns:
        `LlavaOnevisionProcessor`
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        padding_side="left",
        model_max_length=1024,
    )
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    half = [0.5, 0.5, 0.5]
    image_processor = LlavaOnevisionImageProcessor(
        size=size, image_grid_pinpoints=[[IMAGE_SIZE, IMAGE_SIZE]], image_mean=half, image_std=half
    )
    video_processor = LlavaOnevisionVideoProcessor(size=size, image_mean=half, image_std=half)
    return LlavaOnevisionProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        video_processor=video_processor,
        num_image_tokens=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        vision_aspect_ratio="anyres_max_1",
    )


def build_model(
    processor: LlavaOnevisionProcessor,
    *,
    vision_width: int = 96,
    vision_layers: int = 3,
    language_width: int = 128,
    language_layers: int = 2,
) -> LlavaOnevisionForConditionalGeneration:
    """An untrained model initialised so that a few hundred steps are enough to bind words to places.

    Args:
        processor (`LlavaOnevisionProcessor`): Gives the vocabulary and the special tokens.
        vision_width (`int`, *optional*, defaults to `96`), vision_layers (`int`, *optional*, defaults to `3`): SigLIP.
        language_width (`int`, *optional*, defaults to `128`), language_layers (`int`, *optional*, defaults to `2`):
            Qwen2.

    Returns:
        `LlavaOnevisionForConditionalGeneration`
    """
    tokenizer = processor.tokenizer
    vision = SiglipVisionConfig(
        hidden_size=vision_width,
        intermediate_size=2 * vision_width,
        num_hidden_layers=vision_layers,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=language_width,
        intermediate_size=2 * language_width,
        num_hidden_layers=language_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[IMAGE_SIZE, IMAGE_SIZE]],
        vision_aspect_ratio="anyres_max_1",
        tie_word_embeddings=False,
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    _initialise(model)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=16, do_sample=False
    )
    return model


@torch.no_grad()
def _initialise(model: LlavaOnevisionForConditionalGeneration) -> None:
    """Scales that let a tiny model start: the stock ones (std 0.02, learned positions near zero) leave it at chance.

    Word embeddings have unit variance so that they are as loud as the attention outputs; key projections start equal
    to query projections, so attention begins as similarity of content; image positions start as sines and cosines.
    """
    text = model.config.text_config
    width, layers = text.hidden_size, text.num_hidden_layers
    for name, parameter in model.model.language_model.named_parameters():
        if parameter.ndim < 2:
            continue
        if "embed" in name:
            parameter.normal_(0, 1)
        elif "o_proj" in name:
            parameter.normal_(0, (2 * layers * width) ** -0.5)
        elif "down_proj" in name:
            parameter.normal_(0, (2 * layers * text.intermediate_size) ** -0.5)
        else:
            parameter.normal_(0, width**-0.5)
    for layer in model.model.language_model.layers:
        layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
    model.lm_head.weight.normal_(0, 0.3 * width**-0.5)

    projector = model.model.multi_modal_projector
    vision_width = model.config.vision_config.hidden_size
    projector.linear_1.weight.normal_(0, vision_width**-0.5)
    projector.linear_2.weight.normal_(0, 1.6 * width**-0.5)
    model.model.image_newline.normal_(0, 1)
    grid = IMAGE_SIZE // PATCH_SIZE
    model.model.vision_tower.embeddings.position_embedding.weight.copy_(_sine_positions(grid, vision_width))


def _sine_positions(grid: int, width: int) -> torch.Tensor:
    """(grid * grid, width) sines and cosines of row and column, high frequencies damped."""
    count = width // 4
    frequency = math.pi * torch.arange(1, count + 1) / 3
    row, column = torch.meshgrid(torch.linspace(0, 1, grid), torch.linspace(0, 1, grid), indexing="ij")
    waves = []
    for coordinate in (row, column):
        angle = coordinate.reshape(-1, 1) * frequency
        waves += [angle.sin(), angle.cos()]
    return 1.2 * torch.cat(waves, -1) * torch.exp(-torch.arange(count) / 6.0).repeat(4)
