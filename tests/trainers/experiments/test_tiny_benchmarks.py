import pytest
import torch
from transformers import LlavaOnevisionForConditionalGeneration

from igep.text_boxes import ANY_NUMBER_OF_BOXES, ONE_BOX, TextBox, box_answer, parse_boxes
from igep.trainers.data.scan2cap import PROMPT as CAPTION_PROMPT
from igep.trainers.data.scanqa import PROMPT as SCANQA_PROMPT
from igep.trainers.data.vsi_bench import vsi_bench_question
from igep.trainers.experiments.tiny_benchmarks import benchmark_base, benchmark_processor, prompt_parts
from igep.trainers.experiments.tiny_vlm import build_processor
from igep.trainers.package_files import TINY_BASE


TEXTS = [
    "I am standing by the box in red. Where is the sphere? Answer the question using a single word or phrase.",
    CAPTION_PROMPT,
    "behind",
]


@pytest.fixture(scope="module")
def tokenizer():
    return benchmark_processor(TEXTS).tokenizer


def test_the_words_of_the_texts_are_known_and_those_of_prompts_are_one_token(tokenizer):
    for text in (*TEXTS, "Behind!", "the SPHERE, behind 1.25"):
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids
    assert tokenizer.unk_token_id in tokenizer("the sofa").input_ids
    for part in prompt_parts():
        assert len(tokenizer(part).input_ids) == 1
    words = tokenizer.convert_ids_to_tokens(tokenizer(CAPTION_PROMPT.replace("<coord>", "[1.23, -0.40]")).input_ids)
    assert words == [
        "Given an object located at",
        *("[", "1", ".2", "3", ",", "-0", ".4", "0", "]"),
        ", describe the object in detail.",
    ]


def test_letters_of_choices_are_words():
    text = vsi_bench_question("Where is the box?", ["A. behind", "B. the sphere"])
    tokenizer = benchmark_processor([text]).tokenizer
    words = tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)
    assert words == ["where", "is", "the", "box", "options", "a", "behind", "b", "the", "sphere"]
    assert tokenizer.decode(tokenizer("B").input_ids) == "b"


def test_a_question_of_scanqa_is_that_of_the_base():
    question = "How many boxes are there?"
    ids = benchmark_processor(TEXTS).tokenizer(SCANQA_PROMPT.format(question=question)).input_ids
    assert ids == build_processor().tokenizer(question).input_ids


def test_boxes_come_back_as_they_were_written(tokenizer):
    boxes = [
        TextBox(0, (-0.31, 0.42, 12.05, 0.5, 1.0, 0.52, 12.3, -8.0, 1.5)),
        TextBox(1, (0.0, -1.99, 3.0, 1.3, 0.3, 0.45, -179.9, 45.2, 0.0)),
    ]
    for text in (box_answer(boxes[:1]), box_answer(boxes, any_number=True), box_answer([], any_number=True)):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert parse_boxes(tokenizer.decode(ids), 2) == parse_boxes(text, 2)
    assert len(tokenizer(ONE_BOX).input_ids) == len(tokenizer(ANY_NUMBER_OF_BOXES).input_ids) == 1


def test_old_words_keep_their_ids_and_weights():
    old = build_processor().tokenizer
    model, processor = benchmark_base(TEXTS)
    assert all(processor.tokenizer.convert_tokens_to_ids(word) == number for word, number in old.get_vocab().items())
    before = LlavaOnevisionForConditionalGeneration.from_pretrained(TINY_BASE).state_dict()
    after = model.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name][: len(value)], value)
    rows = model.get_input_embeddings().weight
    assert len(rows) == len(processor.tokenizer) > len(old)
    assert rows[len(old) :].std().item() == pytest.approx(1, abs=0.05)
