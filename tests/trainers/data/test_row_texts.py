"""What the model of a run cannot take is found before training: its own special tokens, and words it does not know."""

import logging

import pytest
import torch
from tiny_checkpoints import build_tokenizer
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from igep.trainers.data.mixture import MixtureDataset, MixturePart
from igep.trainers.data.row_source import RowText
from igep.trainers.data.row_texts import add_words, check_texts, knows_every_word, row_texts, unknown_words
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.package_files import TINY_BASE


def texts(*pairs: tuple[str, str]) -> list[RowText]:
    return [RowText(f"q.jsonl, line {line}", kind, text) for line, (kind, text) in enumerate(pairs, 1)]


@pytest.fixture
def tiny():
    return AutoTokenizer.from_pretrained(TINY_BASE)


def test_bytes_know_every_word():
    assert knows_every_word(build_tokenizer("<image>", "<video>"))
    assert unknown_words(texts(("question", "ꙮ?")), build_tokenizer("<image>", "<video>")) is None


def test_a_tokenizer_that_loses_every_word_is_found(tiny):
    """A vocabulary of whole words under the class of another kind of tokenizer."""
    mistaken = Qwen2Tokenizer(vocab=tiny.get_vocab(), merges=[])
    with pytest.raises(SpatialDataError, match="line 1: the tokenizer makes no token of the question 'many'"):
        check_texts(texts(("question", "many")), mistaken)
    check_texts(texts(("question", "many"), ("answer", " ")), tiny)


def test_unknown_words_are_named_and_counted(tiny):
    rows = texts(
        ("question", "How far is the box?"), ("answer", "a study"), ("question", "How far, a box"), ("answer", "14")
    )
    found = unknown_words(rows, tiny)
    assert dict(found.counts) == {"far": 2, "a": 2, "study": 1, "14": 1}
    assert (found.texts, found.where) == (4, "q.jsonl, line 1")
    assert found.words.startswith("'far', 'a', ")
    assert unknown_words(texts(("question", "Is the red box left?"), ("answer", "2.5 metres")), tiny) is None


def test_words_of_a_phrase_that_is_one_token_are_known(tiny):
    phrase = texts(("question", "How many boxes? Answer simply."))
    assert set(unknown_words(phrase, tiny).counts) == {"answer", "simply"}
    tiny.add_tokens([AddedToken("Answer simply.", lstrip=True, rstrip=True, normalized=False)])
    assert unknown_words(phrase, tiny) is None


def test_whole_words_that_are_unknown_are_an_error(tiny):
    message = (
        r"does not know 'a', 'study', which 1 of 2 questions and answers hold \(the first: q\.jsonl, line 2\)\. "
        "It reads '<unk>' in their place, and cannot say them.*add_unknown_words"
    )
    with pytest.raises(SpatialDataError, match=message):
        check_texts(texts(("question", "Where is the box?"), ("answer", "a study")), tiny)
    check_texts(texts(("prompt", "Describe the scene."), ("answer", "2.5 metres")), tiny)


def test_pieces_that_are_unknown_are_a_warning(caplog):
    pieces = Tokenizer(
        models.BPE({character: number for number, character in enumerate("<unk> abc")}, [], unk_token="<")
    )
    pieces.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="<")
    with caplog.at_level(logging.WARNING):
        check_texts(texts(("question", "abc cab"), ("answer", "abz")), tokenizer)
    assert "does not know 'abz', which 1 of 2" in caplog.text
    with pytest.raises(ValueError, match="add_unknown_words is for tokenizers of whole words"):
        add_words(tokenizer, ["abz"])


def test_special_tokens_of_the_base_are_named_with_their_place():
    tokenizer = build_tokenizer("<image>", "<video>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[CROP]"]})
    rows = texts(("question", "Where?"), ("answer", "a[CROP]"))
    with pytest.raises(SpatialDataError, match=r"q\.jsonl, line 2: the answer 'a\[CROP\]' holds '\[CROP\]'"):
        check_texts(rows, tokenizer)


def test_added_words_are_read_and_said(tiny, tmp_path):
    before = len(tiny)
    rows = texts(("question", "How far is the chair?"), ("answer", "A study, 14 metres"))
    add_words(tiny, unknown_words(rows, tiny).counts)
    tiny.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == before + 5
    assert unknown_words(rows, tokenizer) is None
    ids = tokenizer("A study, 14 metres", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == "a study 14 metres"
    old = ["red", "box", "2.5", "<image>", "<unk>"]
    assert tokenizer.convert_tokens_to_ids(old) == AutoTokenizer.from_pretrained(TINY_BASE).convert_tokens_to_ids(old)


class Rows(torch.utils.data.Dataset):
    task, usage, sample_ids = "asked", {}, ("0",)

    def __len__(self):
        return 1

    def texts(self):
        return iter(texts(("question", "Where?")))

    def example(self, row, draw):
        raise AssertionError("no row is read")


def test_texts_of_mixtures_and_of_classes_of_ones_own():
    mixture = MixtureDataset([MixturePart("one", Rows()), MixturePart("two", Rows())], samples_per_step=1, seed=0)
    assert [text.text for text in row_texts(mixture)] == ["Where?", "Where?"]
    assert list(row_texts(torch.utils.data.TensorDataset(torch.zeros(1)))) == []
