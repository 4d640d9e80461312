"""The tiny base with the words of VLM3: fixed parts of prompts and answers, coordinates, and metres as digits.

    model, processor = vlm3_base()

The vocabulary of `trainers/tiny_base` holds none of these words. Here a fixed part of a prompt is one token, and so is
each half of a pair of coordinates, as cutting at white space would give it: "(12," and "33)". A depth question takes
four tokens. Old words keep their ids and weights; how new ones begin is said at `vlm3_base`.
"""

from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional
from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from igep.spatial_prompts import correspondence_question, depth_answer, depth_question
from igep.trainers.data.rooms.room_renderer import RoomSpec
from igep.trainers.data.rooms.synthetic_rooms import rendered_chunks
from igep.trainers.experiments.tiny_vlm import IMAGE_SIZE, PATCH_SIZE, build_processor, vocabulary, wrap_tokenizer
from igep.trainers.package_files import TINY_BASE


STEPS = IMAGE_SIZE  # text pixels at the resolution of the images
MAX_METRES = 20
LOOKED_AT_ROOMS = 128
LOOKED_AT_SEED = 31_415  # rooms that nobody trains or tests on
OUTPUT_SCALE = 0.3  # of new rows of the output matrix, as in the base before its training


def prompt_parts(steps: int = STEPS) -> list[str]:
    """What stays the same in the prompts and answers of metric depth and pixel correspondence.

    Args:
        steps (`int`, *optional*, defaults to `64`): Text pixels along each side of an image.

    Returns:
        `list[str]`: Every piece of text before, between and after the numbers, without white space around it.
    """
    questions = [depth_question((1, 2), steps), correspondence_question((1, 2))]
    parts = [part for question in questions for part in question.split("(1, 2)")] + depth_answer(1.25).split("1.25")
    return [part.strip() for part in parts]


def coordinate_words(steps: int = STEPS) -> list[str]:
    """The words of the columns, "(0," and so on, then those of the rows, "0)" and so on."""
    return [f"({x}," for x in range(steps)] + [f"{y})" for y in range(steps)]


def vlm3_processor(steps: int = STEPS) -> LlavaOnevisionProcessor:
    """The processor of the tiny base with the words of VLM3 added; old words keep their ids.

    Decoding the tokens of a question or an answer gives its text back, character by character.

    Args:
        steps (`int`, *optional*, defaults to `64`): Text pixels along each side of an image.

    Returns:
        `LlavaOnevisionProcessor`
    """
    digits = [str(metres) for metres in range(MAX_METRES + 1)] + [f".{tenth}" for tenth in range(10)]
    all_words = list(dict.fromkeys([*vocabulary(), *digits]))
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(all_words)}, unk_token="<unk>"))
    words.normalizer = build_processor().tokenizer.backend_tokenizer.normalizer
    # "2.37" becomes "2", ".3", "7". Numbers with one decimal are words of the base and stay whole.
    tenths = pre_tokenizers.Split(Regex(r"(?<=\d)\.\d(?=\d(?!\d))"), "isolated")
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), tenths])
    words.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="\0", cleanup=False),  # no word begins like this: all are joined by a space
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<= \.\d) (?=\d)"), ""),
            decoders.Replace(Regex(r"(?<=\d) (?=\.\d\d)"), ""),
        ]
    )
    processor = wrap_tokenizer(words)
    added = [AddedToken(part, lstrip=True, rstrip=True, normalized=False) for part in prompt_parts(steps)]
    added += [AddedToken(word, lstrip=True, rstrip=True, normalized=False) for word in coordinate_words(steps)]
    processor.tokenizer.add_tokens(added)
    return processor


def vlm3_base(
    steps: int = STEPS, base: str | Path = TINY_BASE, seed: int = 0
) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]:
    """The pretrained tiny base with rows for the words of VLM3 (see `base_with_rows`).

    The rows of coordinates are not random: a column starts as the mean of what the vision tower and projector hand to
    the language model at that column of the image (over rooms that are used for nothing else), a row likewise. So
    neighbouring coordinates start alike, and a coordinate starts like the visual tokens it speaks of.

    Args:
        steps (`int`, *optional*, defaults to `64`): Text pixels along each side of an image.
        base (`str` or `Path`, *optional*): Folder of the tiny base.
        seed (`int`, *optional*, defaults to `0`): Seed of the random rows.

    Returns:
        The model and its processor.
    """
    processor = vlm3_processor(steps)
    tokenizer = processor.tokenizer
    model = base_with_rows(len(tokenizer), base, seed)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    coordinates = torch.tensor(tokenizer.convert_tokens_to_ids(coordinate_words(steps)))
    places = _places(model, steps)
    with torch.no_grad():
        inputs[coordinates] = places
        outputs[coordinates] = OUTPUT_SCALE * inputs.shape[1] ** -0.5 * places
    return model, processor


def base_with_rows(num_words: int, base: str | Path, seed: int) -> LlavaOnevisionForConditionalGeneration:
    """The pretrained tiny base with rows for new words; every weight it had stays as it was.

    Args:
        num_words (`int`): Old and new words in all.
        base (`str` or `Path`): Folder of the tiny base.
        seed (`int`): Seed of the new rows: input rows normal with unit variance, output rows normal with the scale
            that the base began with.

    Returns:
        `LlavaOnevisionForConditionalGeneration`
    """
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(base)
    old_words = model.config.text_config.vocab_size
    model.resize_token_embeddings(num_words, mean_resizing=False)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    generator = torch.Generator().manual_seed(seed)
    new = (num_words - old_words, inputs.shape[1])
    with torch.no_grad():
        inputs[old_words:] = torch.randn(new, generator=generator)
        outputs[old_words:] = OUTPUT_SCALE * inputs.shape[1] ** -0.5 * torch.randn(new, generator=generator)
    return model


@torch.no_grad()
def _places(model: LlavaOnevisionForConditionalGeneration, steps: int) -> torch.Tensor:
    """(2 * steps, width) mean visual token of each column and of each row, between them linear, with unit variance."""
    rooms = torch.cat(
        [chunk.frames for chunk in rendered_chunks(LOOKED_AT_ROOMS, seed=LOOKED_AT_SEED, spec=RoomSpec(num_frames=1))]
    )
    pixels = rooms[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1
    seen = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    grid = IMAGE_SIZE // PATCH_SIZE
    tokens = model.model.multi_modal_projector(seen).mean(0).reshape(grid, grid, -1)
    tokens = tokens - tokens.mean((0, 1))
    lines = torch.stack([tokens.mean(0), tokens.mean(1)]).transpose(1, 2)  # (column or row, width, grid)
    smooth = functional.interpolate(lines, size=steps, mode="linear").transpose(1, 2)
    return (smooth / smooth.std((1, 2), keepdim=True)).reshape(2 * steps, -1)
