"""Assembles the processor of Vid-LLM from the tokenizer of any language model, out of parts that transformers has.

A frame of H x W pixels takes `(H // patch // ratio) * (W // patch // ratio)` tokens, which is how
`PerceptionLMProcessor` counts; its parts do the rest. What makes it the processor of a video model is a token that
stands for visual tokens, and a chat template that puts it where frames go.
"""

import tempfile
from pathlib import Path

from transformers import (
    AutoTokenizer,
    PerceptionLMImageProcessor,
    PerceptionLMProcessor,
    PerceptionLMVideoProcessor,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from .processing_igep import IGEPProcessor
from .tokenizer_vocabulary import own_tokenizer


IMAGE_TOKEN, VIDEO_TOKEN = "<image>", "<video>"
COLOUR_MEAN, COLOUR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the DINOv2 models take them
# Templates of language models expect texts. This makes texts of messages with parts, and the model's own template
# follows.
FLATTEN = """{%- set flat = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- set line = namespace(text='') -%}
{%- if message['content'] is string -%}{%- set line.text = message['content'] -%}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'video' -%}{%- set line.text = line.text + 'VIDEO\n' -%}
{%- elif part['type'] == 'image' -%}{%- set line.text = line.text + 'IMAGE\n' -%}
{%- elif part['type'] == 'text' -%}{%- set line.text = line.text + part['text'] -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- set flat.messages = flat.messages + [{'role': message['role'], 'content': line.text}] -%}
{%- endfor -%}
{%- set messages = flat.messages -%}
""".replace("VIDEO", VIDEO_TOKEN).replace("IMAGE", IMAGE_TOKEN)
PLAIN_TEMPLATE = """{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}{{- 'ASSISTANT: ' + message['content'] + eos_token + '\n' -}}
{%- elif message['role'] == 'user' -%}{{- 'USER: ' + message['content'] + '\n' -}}
{%- else -%}{{- message['content'] + '\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}"""


def assemble_processor(
    tokenizer: PreTrainedTokenizerBase | str | Path,
    text_config: PreTrainedConfig,
    *,
    patch_size: int,
    pooling_ratio: int,
    frame_size: int | tuple[int, int] = 518,
    image_mean: tuple[float, float, float] = COLOUR_MEAN,
    image_std: tuple[float, float, float] = COLOUR_STD,
) -> IGEPProcessor:
    """Assembles a processor.

    Args:
        tokenizer (`PreTrainedTokenizerBase`, `str` or `Path`): Tokenizer of the language model, or its id on the Hub
            or its folder. What it lacks of `<image>` and `<video>` is added; without a chat template it gets a plain
            one.
        text_config (`PreTrainedConfig`): Configuration of the language model.
        patch_size (`int`): Side of the encoder's patches in pixels.
        pooling_ratio (`int`): Patches each way that a visual token is the mean of.
        frame_size (`int` or `tuple[int, int]`, *optional*, defaults to `518`): What frames are resized to: their
            shorter side, or height and width. Videos of a batch must have one size: give both sides where their shapes
            differ.
        image_mean (`tuple`, *optional*): What the encoder takes off the colours, in [0, 1]; that of ImageNet unless
            given.
        image_std (`tuple`, *optional*): What it divides them by then; likewise.

    Returns:
        `IGEPProcessor`

    Raises:
        ValueError: Frames so small that a frame would have no token.
        TypeError: Something that is no tokenizer.
    """
    sides = (frame_size, frame_size) if isinstance(frame_size, int) else tuple(frame_size)
    if len(sides) != 2 or min(sides) < patch_size * pooling_ratio:
        raise ValueError(
            f"frame_size={frame_size} is less than one visual token: give at least {patch_size * pooling_ratio} "
            f"pixels (patch_size={patch_size} times pooling_ratio={pooling_ratio}), as one number or as height and "
            "width."
        )
    tokenizer = _with_video_tokens(tokenizer, text_config)
    template = FLATTEN + (tokenizer.chat_template or PLAIN_TEMPLATE)
    colours = {"image_mean": list(image_mean), "image_std": list(image_std)}
    size = {"shortest_edge": frame_size} if isinstance(frame_size, int) else {"height": sides[0], "width": sides[1]}
    processor = PerceptionLMProcessor(
        video_processor=PerceptionLMVideoProcessor(size=size, default_to_square=False, **colours),
        image_processor=PerceptionLMImageProcessor(vision_input_type="vanilla", tile_size=min(sides), **colours),
        tokenizer=tokenizer,
        patch_size=patch_size,
        pooling_ratio=pooling_ratio,
        chat_template=template,
    )
    return IGEPProcessor.from_base(processor)


def _with_video_tokens(
    tokenizer: PreTrainedTokenizerBase | str | Path, text_config: PreTrainedConfig
) -> PreTrainedTokenizerBase:
    """The tokenizer with named tokens for images and videos, which only loading gives it."""
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            return _with_video_tokens(folder, text_config)
    if not isinstance(tokenizer, (str, Path)):
        raise TypeError(f"tokenizer must be a tokenizer, an id or a folder, not {type(tokenizer).__name__}.")
    named = {"image_token": IMAGE_TOKEN, "video_token": VIDEO_TOKEN}
    loaded = own_tokenizer(tokenizer, extra_special_tokens=named)
    if loaded is None:
        loaded = AutoTokenizer.from_pretrained(tokenizer, config=text_config, extra_special_tokens=named)
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded
