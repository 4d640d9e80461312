"""The texts of rows, read before training and without frames: what a run's model cannot take is found at once."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import models
from transformers import PreTrainedTokenizerBase

from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.row_source import RowText, TextSource
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.special_tokens import refuse_token, special_token_pattern
from igep.trainers.data.vlm3.written_rows import WrittenRows


logger = logging.getLogger(__name__)

SHOWN_WORDS = 12
TOKENISED_TEXTS = 256  # that are looked at for tokens: a tokenizer of another class loses them all alike
RARE_TEXT = "\ua66e \U00013080 \u27c1 xqzzvk"  # which a tokenizer of bytes or characters takes apart


@dataclass(frozen=True)
class UnknownWords:
    """Words that a tokenizer does not know.

    Args:
        counts (`Counter[str]`): How often each comes, the first first.
        texts (`int`): Texts that hold one.
        where (`str`): Place of the first.
    """

    counts: Counter[str]
    texts: int
    where: str

    @property
    def words(self) -> str:
        """The most frequent of them in quotes."""
        shown = [repr(word) for word, _ in self.counts.most_common(SHOWN_WORDS)]
        more = len(self.counts) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def row_texts(dataset: torch.utils.data.Dataset) -> Iterator[RowText]:
    """The texts of a dataset, as far as they are known without reading all rows.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.

    Yields:
        `RowText`: Every text of a `TextSource`; of VLM3's questions, which are written when a row is read, those of
        the first row; of a class of the user's that tells no texts, none.
    """
    if isinstance(dataset, MixtureDataset):
        for part in dataset.parts:
            yield from row_texts(part.dataset)
    elif isinstance(dataset, TextSource):
        yield from dataset.texts()
    elif isinstance(dataset, WrittenRows):
        example = dataset.example(0, 0)
        for question, answer in example.conversation:
            yield RowText(f"Sample {example.sample_id!r}", "question", question)
            yield RowText(f"Sample {example.sample_id!r}", "answer", answer)


def check_texts(texts: Iterable[RowText], tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes sure that a model can take its rows' texts: no special token in them, and words that its tokenizer knows.

    Args:
        texts (`Iterable[RowText]`): The texts.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.

    Raises:
        SpatialDataError: A text holds a special token, has no token at all, or has words that a tokenizer of whole
            words does not know. Other tokenizers only warn of those, which are single rare characters.
    """
    pattern = special_token_pattern(tokenizer)
    knows_all = knows_every_word(tokenizer)
    kept: list[RowText] = []
    for number, text in enumerate(texts):
        if number < TOKENISED_TEXTS and text.text.strip():
            _check_has_tokens(text, tokenizer)
        token = pattern.search(text.text) if pattern else None
        if token is not None:
            refuse_token(text.where, text.kind, text.text, token.group())
        if not knows_all and text.kind != "prompt":
            kept.append(text)
    unknown = unknown_words(kept, tokenizer)
    if unknown is None:
        return
    told = (
        f"The tokenizer of the model does not know {unknown.words}, which {unknown.texts} of {len(kept)} questions "
        f"and answers hold (the first: {unknown.where}). It reads {tokenizer.unk_token!r} in their place"
    )
    if isinstance(tokenizer.backend_tokenizer.model, models.WordLevel):
        raise SpatialDataError(
            f"{told}, and cannot say them. It knows {len(tokenizer)} words: set add_unknown_words to true, which adds "
            "them, or take another base."
        )
    logger.warning("%s.", told)


def _check_has_tokens(text: RowText, tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer(text.text, add_special_tokens=False).input_ids:
        raise SpatialDataError(
            f"{text.where}: the tokenizer makes no token of the {text.kind} {text.text!r}. Its class "
            f"({type(tokenizer).__name__}) cannot be that of its vocabulary: load the processor that was saved with "
            "the model."
        )


def knows_every_word(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer takes any text apart into tokens that it knows, as those of bytes do.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.

    Returns:
        `bool`
    """
    unknown = tokenizer.unk_token_id
    return unknown is None or unknown not in tokenizer(RARE_TEXT, add_special_tokens=False).input_ids


def unknown_words(texts: Iterable[RowText], tokenizer: PreTrainedTokenizerBase) -> UnknownWords | None:
    """The words of some texts that a tokenizer does not know.

    Args:
        texts (`Iterable[RowText]`): The texts.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.

    Returns:
        `UnknownWords`, *optional*: `None` if it knows all.
    """
    if knows_every_word(tokenizer):
        return None
    counts: Counter[str] = Counter()
    found_in, where = 0, ""
    known: dict[str, bool] = {}
    for text in texts:
        if tokenizer.unk_token_id not in tokenizer(text.text, add_special_tokens=False).input_ids:
            continue  # words that it does not know alone may stand in a phrase that it does
        unknown_here = False
        for word in _words(text.text, tokenizer):
            if word not in known:
                known[word] = tokenizer.unk_token_id not in tokenizer(word, add_special_tokens=False).input_ids
            if not known[word]:
                counts[word] += 1
                unknown_here = True
        found_in += unknown_here
        where = where or (text.where if unknown_here else "")
    return UnknownWords(counts, found_in, where) if counts else None


def _words(text: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The words of a text as the tokenizer cuts it, or at white space where it does not cut before it looks up."""
    backend = tokenizer.backend_tokenizer
    if not isinstance(backend.model, models.WordLevel):
        return text.split()
    normal = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
    if backend.pre_tokenizer is None:
        return [normal]
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]


def add_words(tokenizer: PreTrainedTokenizerBase, words: Iterable[str]) -> None:
    """Adds words to a tokenizer of whole words, behind those that it has; a model needs rows for them.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer, which is changed.
        words (`Iterable[str]`): As the tokenizer cuts a text; see `unknown_words`.

    Raises:
        ValueError: The tokenizer is one of pieces of words.
    """
    backend = tokenizer.backend_tokenizer
    if not isinstance(backend.model, models.WordLevel):
        raise ValueError(  # noqa: TRY004 - an option that does not fit, not an argument of the wrong type
            "add_unknown_words is for tokenizers of whole words, as the tiny base has one. This one knows pieces of "
            "words: leave the option out."
        )
    vocabulary = tokenizer.get_vocab()
    for word in words:
        vocabulary.setdefault(word, len(vocabulary))
    backend.model = models.WordLevel(vocabulary, unk_token=tokenizer.unk_token)
