import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration

from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import correspondence_answer, correspondence_question, depth_answer, depth_question
from igep.trainers.experiments.tiny_vlm import build_processor
from igep.trainers.experiments.tiny_vlm3 import (
    MAX_METRES,
    STEPS,
    coordinate_words,
    prompt_parts,
    vlm3_base,
    vlm3_processor,
)
from igep.trainers.package_files import TINY_BASE


@pytest.fixture(scope="module")
def base():
    return vlm3_base()


def test_every_coordinate_comes_back_as_it_was_written():
    tokenizer = vlm3_processor().tokenizer
    for x in range(STEPS):
        for y in (0, 1, 9, 10, x, STEPS - 1):
            for text in (
                depth_question((x, y), STEPS),
                correspondence_question((x, y)),
                correspondence_answer((x, y)),
            ):
                ids = tokenizer(text).input_ids
                assert tokenizer.decode(ids) == text
                assert tokenizer.unk_token_id not in ids
                assert len(ids) == (2 if text.startswith("(") else 4)


def test_every_centimetre_comes_back_as_it_was_written():
    tokenizer = vlm3_processor().tokenizer
    for centimetres in range(1, 100 * (MAX_METRES + 1)):
        text = depth_answer(centimetres / 100)
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids) == text
        assert tokenizer.unk_token_id not in ids
        assert len(ids) == 9


def test_digits_are_tokens_and_not_whole_numbers():
    tokenizer = vlm3_processor().tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer(depth_answer(12.07)).input_ids)[1:4] == ["12", ".0", "7"]


def test_old_words_keep_their_ids():
    old, new = build_processor().tokenizer, vlm3_processor().tokenizer
    assert all(new.convert_tokens_to_ids(word) == number for word, number in old.get_vocab().items())
    for text in ("How many boxes are there?", "-1.5, 0.5 3.0", "2.5"):
        assert new(text).input_ids == old(text).input_ids
        assert new.decode(new(text).input_ids) == old.decode(old(text).input_ids)


def test_another_number_of_steps_has_its_own_prompt():
    tokenizer = vlm3_processor(32).tokenizer
    assert tokenizer.decode(tokenizer(depth_question((31, 5), 32)).input_ids) == depth_question((31, 5), 32)
    assert tokenizer.unk_token_id in tokenizer(depth_question((31, 5), 64)).input_ids


def test_a_prompt_with_frames_and_answer_goes_through_the_processor_unchanged():
    processor = IGEPProcessor.from_base(vlm3_processor())
    for num_frames, question, answer in (
        (1, depth_question((3, 60), STEPS), depth_answer(2.37)),
        (2, correspondence_question((63, 0)), correspondence_answer((4, 44))),
    ):
        text = processor.prompt_text([question, answer], num_frames)
        ids = processor.tokenizer(text).input_ids
        decoded = processor.decode(ids, skip_special_tokens=True)
        assert decoded == f"{question} {answer}"
        shared = processor.split_prompt(num_frames)
        rest = processor.tokenizer(text[len(shared) :], add_special_tokens=False).input_ids
        assert processor.tokenizer(shared).input_ids + rest == ids


def test_weights_of_the_base_stay_and_new_rows_begin_as_described(base):
    model, processor = base
    old = LlavaOnevisionForConditionalGeneration.from_pretrained(TINY_BASE)
    words = old.config.text_config.vocab_size
    vectors = {"model.language_model.embed_tokens.weight", "lm_head.weight"}
    for name, value in old.state_dict().items():
        torch.testing.assert_close(
            model.state_dict()[name][: len(value)] if name in vectors else model.state_dict()[name], value
        )
    rows = model.get_input_embeddings().weight
    assert len(rows) == len(processor.tokenizer) == model.config.text_config.vocab_size > words
    assert abs(rows[words:].std().item() - 1) < 0.1
    ids = torch.tensor(processor.tokenizer.convert_tokens_to_ids(coordinate_words()))
    columns, lines = torch.nn.functional.normalize(rows[ids], dim=-1).split(STEPS)
    for places in (columns, lines):
        likeness = places @ places.T
        assert likeness.diagonal(1).mean() > 0.95  # neighbours start alike
        assert likeness[0, -1] < 0.5  # opposite edges do not


def test_the_same_seed_gives_the_same_base(base):
    again, _ = vlm3_base()
    assert all(torch.equal(value, base[0].state_dict()[name]) for name, value in again.state_dict().items())


def test_the_base_survives_saving(base, tmp_path):
    model, processor = base
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = IGEPProcessor.from_pretrained(tmp_path)
    text = depth_question((12, 33), STEPS)
    assert loaded.tokenizer(text).input_ids == processor.tokenizer(text).input_ids
    assert loaded.decode(loaded.tokenizer(text).input_ids) == text
    assert loaded.tokenizer.eos_token_id == model.generation_config.eos_token_id


def test_prompt_parts_are_distinct():
    parts = prompt_parts()
    assert len(parts) == len(set(parts)) == 7
    assert all(part == part.strip() and part for part in parts)
