"""The tiny base with the words of six benchmarks: fixed parts of prompts, numbers as digits, and words of the rooms.

    model, processor = benchmark_base(texts)

As in `tiny_vlm3`, a fixed part of a prompt is one token, and old words keep their ids and weights. A number with
decimals is cut behind each: "2.37" becomes "2", ".3", "7". Commas and square brackets are tokens, so that boxes come
back as the JSON they are.

Sentences that ask for a short answer are not read at all. The base answers where the last word of its question stands,
and a token there that it does not know makes it forget in the first steps what it saw: before any training it then
answers no question about colours and shapes, otherwise three of five.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from igep.spatial_prompts import GROUND_ANY_NUMBER, GROUND_ONE, GROUND_TOKEN
from igep.text_boxes import ANY_NUMBER_OF_BOXES, ONE_BOX
from igep.trainers.data import scan2cap, scanqa, sqa3d, vsi_bench
from igep.trainers.experiments.tiny_vlm import vocabulary, wrap_tokenizer
from igep.trainers.experiments.tiny_vlm3 import base_with_rows
from igep.trainers.package_files import TINY_BASE


# Whole parts of all numbers: degrees, centimetres, square metres, metres.
WHOLE_NUMBERS = [*(f"{number}" for number in range(200)), *(f"-{number}" for number in range(181))]
DECIMALS = [f".{digit}" for digit in range(10)]
PUNCTUATION = (",", "[", "]")
BOX_PARTS = ('{"frame":', ', "bbox_3d": [', "]}")  # of a box as text, between its numbers
NOT_READ = (  # they say nothing about the question
    *(scanqa.PROMPT.removeprefix("{question} "), sqa3d.PROMPT.removeprefix("{situation} {question} ")),
    *(vsi_bench.BEFORE_QUESTION, vsi_bench.AFTER_CHOICE, vsi_bench.AFTER_NUMBER),
)
PROMPTS = (GROUND_ONE, GROUND_ANY_NUMBER, scan2cap.PROMPT)


def prompt_parts() -> list[str]:
    """What stays the same in the benchmarks' prompts, without white space around it."""
    parts = [part for prompt in PROMPTS for part in re.split(r"\{\w+\}|<coord>|\n", prompt)]
    parts += [GROUND_TOKEN, ONE_BOX, ANY_NUMBER_OF_BOXES, *BOX_PARTS]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def benchmark_processor(texts: Iterable[str]) -> LlavaOnevisionProcessor:
    """The processor of the tiny base with further words; old words keep their ids.

    Args:
        texts (`Iterable[str]`): Questions and answers to train on, whose words are learned.

    Returns:
        `LlavaOnevisionProcessor`
    """
    silent = [normalizers.Replace(sentence, " ") for sentence in NOT_READ]
    marks = normalizers.Replace(Regex(r"[?!;:]|\.(?!\d)"), " ")
    normalizer = normalizers.Sequence([*silent, normalizers.Lowercase(), marks])
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[\[\],]"), "isolated"),
            pre_tokenizers.Split(Regex(r"(?<=\d)\.\d"), "isolated"),
        ]
    )
    parts = prompt_parts()
    between_parts = re.compile("|".join(map(re.escape, sorted(parts, key=len, reverse=True))))
    pieces = {piece for text in texts for piece in between_parts.split(text)}
    found = {word for piece in pieces for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(piece))}
    all_words = dict.fromkeys([*vocabulary(), *WHOLE_NUMBERS, *DECIMALS, *PUNCTUATION, *sorted(found)])
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(all_words)}, unk_token="<unk>"))
    words.normalizer, words.pre_tokenizer = normalizer, pre_tokenizer
    words.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="\0", cleanup=False),  # no word begins like this: all are joined by a space
            decoders.Fuse(),
            decoders.Replace(Regex(r"(?<=\d) (?=\.\d)"), ""),
            decoders.Replace(Regex(r"(?<=\.\d) (?=\d)"), ""),
        ]
    )
    processor = wrap_tokenizer(words)
    processor.tokenizer.add_tokens([AddedToken(part, lstrip=True, rstrip=True, normalized=False) for part in parts])
    return processor


def benchmark_base(
    texts: Iterable[str], base: str | Path = TINY_BASE, seed: int = 0
) -> tuple[LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor]:
    """The pretrained tiny base with random rows for further words; every weight it had stays as it was.

    Args:
        texts (`Iterable[str]`): Questions and answers to train on, whose words are learned.
        base (`str` or `Path`, *optional*): Folder of the tiny base.
        seed (`int`, *optional*, defaults to `0`): Seed of the new rows.

    Returns:
        The model and its processor.
    """
    processor = benchmark_processor(texts)
    return base_with_rows(len(processor.tokenizer), base, seed), processor
