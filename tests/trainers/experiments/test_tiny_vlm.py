import json

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from igep.trainers.data.rooms.room_questions import PLANAR_QUESTION_TYPES, PLANAR_QUESTIONS, SPATIAL_QUESTIONS
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.experiments.pretrain_tiny import (
    BLOCK,
    answer_logits,
    block_mask,
    encode,
    exact_match,
    planar_rooms,
    pretrain,
)
from igep.trainers.experiments.tiny_vlm import build_model, build_processor
from igep.trainers.package_files import TINY_BASE


@pytest.fixture(scope="module")
def processor():
    return build_processor()


def test_the_vocabulary_covers_every_question_and_answer(processor):
    writers = SPATIAL_QUESTIONS + PLANAR_QUESTIONS
    _, questions = synthetic_rooms(64, seed=1, questions_per_room=16, writers=writers)
    tokenizer = processor.tokenizer
    for row in questions:
        ids = tokenizer(row["question"]).input_ids, tokenizer(row["answers"][0]).input_ids
        assert tokenizer.unk_token_id not in ids[0] + ids[1], row
        assert tokenizer.decode(ids[1]) == row["answers"][0]


def test_case_and_punctuation_do_not_matter(processor):
    tokenizer = processor.tokenizer
    assert tokenizer("How many boxes are there?").input_ids == tokenizer("how many boxes are there").input_ids
    assert tokenizer("-1.5, 0.5").input_ids == tokenizer("-1.5 0.5").input_ids


def test_chat_template_puts_frames_first_and_ends_answers(processor):
    user = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "how many boxes are there"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "2"}]}
    prompt = processor.apply_chat_template([user], add_generation_prompt=True)
    both = processor.apply_chat_template([user, answer])
    assert prompt.startswith("<video>")
    assert both.startswith(prompt)
    assert both.endswith("2<eos>")


def test_packed_questions_do_not_see_each_other(processor):
    """The logits of a question are the same alone and among eleven others."""
    torch.manual_seed(0)
    model = build_model(processor).eval()
    rooms = planar_rooms(2, 12, seed=3, processor=processor)
    with torch.no_grad():
        vision = encode(model, rooms.pixels)
        packed, _, where = answer_logits(model, rooms, vision)
        for question in (0, 5, 11):
            alone = rooms.batch(torch.arange(2))
            alone.tokens, alone.is_answer = (
                rooms.tokens[:, question : question + 1],
                rooms.is_answer[:, question : question + 1],
            )
            separate, _, _ = answer_logits(model, alone, vision)
            torch.testing.assert_close(packed[where[:, 1] == question], separate, rtol=1e-4, atol=1e-5)


def test_block_mask_restarts_positions():
    mask, positions = block_mask(3, 2)
    assert positions[3].item() == positions[3 + BLOCK].item() == 3
    assert mask[3 + BLOCK, :3].all()
    assert not mask[3 + BLOCK, 3 : 3 + BLOCK].any()
    assert not mask[3, 4]


@torch.no_grad()
def held_out_loss(model, rooms):
    logits, targets, _ = answer_logits(model.eval(), rooms, encode(model, rooms.pixels))
    return torch.nn.functional.cross_entropy(logits, targets).item()


@pytest.mark.slow
def test_a_few_steps_of_pretraining_learn_something(tmp_path, processor):
    options = {"questions_per_room": 4, "batch_size": 16, "learning_rate": 2e-3, "naming_steps": 10, "seed": 0}
    model, saved_processor, scores = pretrain(rooms=128, question_steps=40, **options)
    rooms = planar_rooms(64, 4, seed=42, processor=processor)
    assert held_out_loss(model, rooms) < 0.5 * held_out_loss(build_model(processor), rooms)
    assert set(scores) == set(PLANAR_QUESTION_TYPES)
    model.save_pretrained(tmp_path)
    saved_processor.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_shipped_base_knows_2d(processor):
    """The weights in the repository are the ones their training script made: they answer its held-out questions."""
    model = AutoModelForImageTextToText.from_pretrained(TINY_BASE)
    shipped = AutoProcessor.from_pretrained(TINY_BASE)
    assert shipped.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert sum(path.stat().st_size for path in TINY_BASE.iterdir()) < 4e6
    scores = exact_match(model, planar_rooms(128, 8, seed=99, processor=shipped))
    assert scores["left_right"] > 0.9
    assert scores["screen_position"] > 0.5
    assert json.loads((TINY_BASE / "config.json").read_text())["model_type"] == "llava_onevision"
