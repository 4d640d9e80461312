"""Packed questions must be what separate ones are: the same losses, gradients, weights after a step, and answers."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_batches import build, every_family, every_modality, objective
from tiny_checkpoints import random_frames, save_checkpoint
from tiny_training import SlantedWalls, make_trainer, weights
from torch.nn.functional import cross_entropy

from igep import question_packing
from igep.base_vlm import cache_argument
from igep.question_packing import (
    additive_mask,
    answer_questions,
    offsets_in_blocks,
    packed_block_mask,
    packed_mask,
    packed_positions,
)
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample


SIZE = (16, 24)
NAMES = ("sample_ids", "scene_ids", "frame_ids")
GEOMETRY = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")
TURNS = tuple((f"How far is point {k}?" + "!" * k, f"{k}.{k} metres") for k in range(4))


def example(number=0, turns=TURNS, num_frames=3):
    walls = SlantedWalls(8, num_frames)[number]
    frames = tuple(random_frames(num_frames, seed=number))
    return SpatialExample(
        f"s{number}",
        walls.scene_id,
        walls.frame_ids,
        frames,
        walls.depth_metres,
        walls.intrinsics,
        walls.world_from_camera,
        turns,
    )


def alone(examples):
    """One example per question."""
    return [
        SpatialExample(
            f"{one.sample_id}-{k}",
            one.scene_id,
            one.frame_ids,
            one.frames,
            one.depth_metres,
            one.intrinsics,
            one.world_from_camera,
            (turn,),
        )
        for one in examples
        for k, turn in enumerate(one.conversation)
    ]


def inputs_of(collator, examples, geometry=False):
    batch = {name: value for name, value in collator(examples).items() if name not in NAMES}
    return batch if geometry else {name: value for name, value in batch.items() if name not in GEOMETRY}


def gradients(model, inputs):
    model.zero_grad()
    output = model(**inputs)
    output.loss.backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return output, found


def assert_same_gradients(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        scale = max(value.abs().max().item(), 1e-3)
        torch.testing.assert_close(
            second[name], value, rtol=0, atol=2e-5 * scale, msg=lambda text, n=name: f"{n}: {text}"
        )


# ---- The mask and the positions


def test_mask_of_two_sets_by_hand():
    sets = torch.tensor([[0, 0, 0, 0, 1, 1, -1]])
    blocks = torch.tensor([[0, 0, 1, 2, 0, 1, 0]])
    expected = [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
    assert packed_mask(sets, blocks)[0, 0].long().tolist() == expected
    flex = packed_block_mask(sets, blocks)
    attends = [
        [bool(flex.mask_mod(torch.tensor(0), torch.tensor(0), torch.tensor(q), torch.tensor(k))) for k in range(7)]
        for q in range(7)
    ]
    assert attends == [[bool(cell) for cell in row] for row in expected]
    added = additive_mask(packed_mask(sets, blocks), torch.float32)
    assert torch.equal(added[0, 0] == 0, torch.tensor(expected).bool())
    assert added.softmax(-1).isfinite().all()


def test_offsets_restart_in_every_block():
    sets = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, -1]])
    blocks = torch.tensor([[0, 0, 1, 1, 2, 0, 1, 1, 0]])
    assert offsets_in_blocks(sets, blocks).tolist() == [[0, 1, 0, 1, 0, 0, 0, 1, 0]]


def test_text_positions_go_on_behind_the_prefix_of_their_set():
    model, _ = build("llava_onevision")
    sets = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, -1]])
    blocks = torch.tensor([[0, 0, 1, 1, 2, 0, 1, 1, 0]])
    ids = torch.zeros_like(sets)
    assert packed_positions(model.vlm, ids, sets, blocks, {}).tolist() == [[0, 1, 2, 3, 2, 0, 1, 2, 0]]


# ---- Losses and gradients


@every_family
@every_modality
@pytest.mark.parametrize("max_packed_tokens", [None, 4000])
def test_packed_equals_separate(family, frames_as, max_packed_tokens):
    model, processor = build(family)
    examples = [example(0), example(1, TURNS[1:3])]
    packed = inputs_of(
        IGEPDataCollator(
            processor, SIZE, frames_as=frames_as, pack_questions=True, max_packed_tokens=max_packed_tokens
        ),
        examples,
    )
    separate = inputs_of(IGEPDataCollator(processor, SIZE, frames_as=frames_as), alone(examples))
    assert len(packed["input_ids"]) == (2 if max_packed_tokens is None else 1)
    assert len(separate["input_ids"]) == 6
    output, found = gradients(model, packed)
    expected_output, expected = gradients(model, separate)
    assert torch.equal(output.supervised_labels, expected_output.supervised_labels)
    # One row of logits per supervised token, question by question: these are the losses of each question.
    per_token = cross_entropy(output.logits, output.supervised_labels, reduction="none")
    torch.testing.assert_close(
        per_token,
        cross_entropy(expected_output.logits, expected_output.supervised_labels, reduction="none"),
        rtol=0,
        atol=2e-5,
    )
    assert_same_gradients(expected, found)


def test_a_question_sees_nothing_of_its_neighbours():
    model, processor = build("qwen3_vl")
    collator = IGEPDataCollator(processor, SIZE, pack_questions=True)
    first = model(**inputs_of(collator, [example(0)]))
    changed = (TURNS[0], ("Something else altogether, and much longer than it was?", "17"), *TURNS[2:])
    second = model(**inputs_of(collator, [example(0, changed)]))
    kept = len(processor.tokenizer(TURNS[0][1] + "<|im_end|>\n").input_ids)
    torch.testing.assert_close(first.logits[:kept], second.logits[:kept], rtol=0, atol=1e-5)
    leaky = IGEPDataCollator(processor, SIZE)
    third, fourth = (model(**inputs_of(leaky, [example(0, turns)])) for turns in (TURNS, changed))
    assert not torch.allclose(third.logits[-kept:], fourth.logits[-kept:], atol=1e-3)


@pytest.mark.parametrize(
    ("implementation", "as_block_mask"),
    [
        ("eager", False),
        pytest.param("flex_attention", True, marks=pytest.mark.slow),
    ],
)
def test_other_attention_implementations_agree_with_sdpa(implementation, as_block_mask):
    model, processor = build("llava_onevision")
    inputs = inputs_of(IGEPDataCollator(processor, SIZE, pack_questions=True), [example(0), example(1, TURNS[:1])])
    with torch.no_grad():
        expected = model(**inputs).logits
        model.vlm.set_attn_implementation({"text_config": implementation})
        assert model.vlm.config.get_text_config()._attn_implementation == implementation
        model.packs_with_block_mask = as_block_mask
        found = model(**inputs).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])
def test_lora_and_checkpointing_change_nothing(family):
    model, processor = build(family)
    model.train()
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    examples = [example(0), example(1, TURNS[1:3])]
    packed = inputs_of(IGEPDataCollator(processor, SIZE, pack_questions=True), examples)
    _, expected = gradients(adapted, inputs_of(IGEPDataCollator(processor, SIZE), alone(examples)))
    assert expected
    assert all("lora" in name for name in expected)
    assert_same_gradients(expected, gradients(adapted, packed)[1])
    model.activation_checkpointing_enable({"use_reentrant": False})
    adapted.enable_input_require_grads()
    assert_same_gradients(expected, gradients(adapted, packed)[1])


@every_family
@every_modality
@pytest.mark.parametrize("supervise", ["encoder", "llm"])
def test_geometry_is_that_of_the_sets(family, frames_as, supervise):
    """Geometry looks at each set once, whether its questions share a row, and whether rows are joined."""
    model, processor = build(family, supervise=supervise)
    model.add_training_heads(objective)
    examples = [example(0), example(1, TURNS[1:3])]
    torch.manual_seed(0)
    teacher = torch.randn(2, 3, 2, 2, 8)
    results = []
    for tokens in (None, 4000):
        collator = IGEPDataCollator(
            processor, SIZE, frames_as=frames_as, pack_questions=True, max_packed_tokens=tokens
        )
        inputs = inputs_of(collator, examples, geometry=True) | {"teacher_descriptors": teacher}
        results.append(gradients(model, inputs))
    plain = IGEPDataCollator(processor, SIZE, frames_as=frames_as)
    inputs = inputs_of(plain, examples, geometry=True) | {"teacher_descriptors": teacher}
    expected, _ = gradients(model, inputs)
    for output, _ in results:
        torch.testing.assert_close(output.predicted_depth_metres, expected.predicted_depth_metres, rtol=0, atol=1e-5)
        torch.testing.assert_close(output.loss_geometry, expected.loss_geometry)
        torch.testing.assert_close(output.loss_global, expected.loss_global, rtol=1e-5, atol=1e-6)
    assert_same_gradients(results[0][1], results[1][1])


class Rows(torch.utils.data.Dataset):
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, row):
        return self.examples[row]


def test_a_trainer_step_is_that_of_separate_rows(tmp_path):
    base = save_checkpoint("qwen3_vl", tmp_path / "base")
    examples = [example(0), example(1, TURNS[1:3])]
    after = []
    for rows, packs in ((examples, True), (alone(examples), False)):
        trainer = make_trainer(
            base,
            tmp_path / str(packs),
            Rows(rows),
            pack_questions=packs,
            per_device_train_batch_size=len(rows),
            max_steps=1,
            geometry_weight=0.0,
            cross_view_weight=0.0,
            global_weight=0.0,
            optim="sgd",
            learning_rate=0.1,
        )
        before = weights(trainer)
        trainer.train()
        after.append(weights(trainer))
    assert all(not torch.equal(before[name], value) for name, value in after[0].items() if "q_proj" in name)
    for name, value in after[0].items():
        torch.testing.assert_close(after[1][name], value, rtol=0, atol=2e-6, msg=lambda text, n=name: f"{n}: {text}")


def test_trainer_packs_with_geometry_and_joined_rows(tmp_path):
    base = save_checkpoint("llava_onevision", tmp_path / "base")
    trainer = make_trainer(
        base,
        tmp_path / "run",
        Rows([example(number, TURNS[: number + 1]) for number in range(4)]),
        pack_questions=True,
        max_packed_tokens=600,
        max_steps=2,
    )
    before = weights(trainer)
    trainer.train()
    unchanged = [name for name, value in weights(trainer).items() if torch.equal(value, before[name])]
    assert not [name for name in unchanged if trainer.igep_model.get_parameter(name).requires_grad]
    assert {"loss_ce", "loss_geometry", "loss_cross_view", "loss_global"} <= trainer.state.log_history[0].keys()


# ---- The collator


def test_rows_are_filled_in_order_up_to_the_budget():
    _, processor = build("qwen3_vl")
    examples = [example(number, TURNS[: 1 + number % 2]) for number in range(5)]
    lengths = IGEPDataCollator(processor, SIZE, pack_questions=True)(examples)["attention_mask"].sum(1)
    budget = int(lengths[:2].sum())
    batch = IGEPDataCollator(processor, SIZE, pack_questions=True, max_packed_tokens=budget)(examples)
    assert [row[row >= 0].unique().tolist() for row in batch["set_index"]] == [[0, 1], [2, 3], [4]]
    assert batch["attention_mask"].sum() == lengths.sum()
    assert batch["sample_ids"] == [f"s{number}" for number in range(5)]


def test_unannotated_set_has_a_block_without_labels():
    _, processor = build("llava_onevision")
    batch = IGEPDataCollator(processor, SIZE, pack_questions=True)([example(0, ())])
    assert (batch["labels"] == -100).all()
    assert batch["block_index"].max() == 1


def test_a_budget_that_a_sample_exceeds_is_an_error():
    _, processor = build("llava_onevision")
    with pytest.raises(SpatialDataError, match="'s0'.*4 questions.*max_packed_tokens=50"):
        IGEPDataCollator(processor, SIZE, pack_questions=True, max_packed_tokens=50)([example(0)])
    with pytest.raises(SpatialDataError, match="'s0'.*max_length=50"):
        IGEPDataCollator(processor, SIZE, pack_questions=True, max_length=50)([example(0)])
    with pytest.raises(ValueError, match="max_packed_tokens=50 needs pack_questions"):
        IGEPDataCollator(processor, SIZE, max_packed_tokens=50)


def test_a_question_that_merges_with_the_prefix_is_refused(monkeypatch):
    _, processor = build("llava_onevision")
    collator = IGEPDataCollator(processor, SIZE, pack_questions=True)
    monkeypatch.setattr(collator, "_ids", lambda text: [len(text)])
    with pytest.raises(ValueError, match="cannot be packed"):
        collator([example(0)])


# ---- Evaluation


@every_family
@every_modality
@pytest.mark.parametrize("num_frames", [1, 9])
def test_answers_are_those_of_separate_generation(family, frames_as, num_frames):
    model, processor = build(family)
    frames = random_frames(num_frames)
    questions = [question for question, _ in TURNS]
    prefix, ids = processor.packed_question_inputs(frames, questions, frames_as=frames_as)
    stop = processor.tokenizer.eos_token_id
    answers = answer_questions(model.vlm, prefix, ids, max_new_tokens=12, eos_token_ids=[stop])
    for question, answer in zip(questions, answers, strict=True):
        inputs = processor.question_inputs(frames, question, frames_as=frames_as)
        alone = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert answer == alone.tolist()


def test_finished_answers_stop_while_others_go_on():
    model, processor = build("llava_onevision")
    prefix, ids = processor.packed_question_inputs(random_frames(2), [question for question, _ in TURNS])
    free = answer_questions(model.vlm, prefix, ids, max_new_tokens=6, eos_token_ids=[-1])
    stop = free[1][2]
    finished = []
    answers = answer_questions(model.vlm, prefix, ids, max_new_tokens=6, eos_token_ids=[stop], on_step=finished.append)
    for answer, unstopped in zip(answers, free, strict=True):
        length = unstopped.index(stop) + 1 if stop in unstopped else 6
        assert answer == unstopped[:length]
    assert finished == sorted(finished)


def test_the_prefix_is_read_once_and_cached_once():
    model, processor = build("qwen3_vl")
    prefix, ids = processor.packed_question_inputs(random_frames(4), [question for question, _ in TURNS])
    calls = []
    model.vlm.get_encoder(modality="image").register_forward_hook(lambda *_: calls.append("encoder"))
    widths = []
    model.vlm.get_decoder().register_forward_hook(
        lambda _, args, kwargs, output: widths.append(kwargs["inputs_embeds"].shape[:2]), with_kwargs=True
    )
    answer_questions(model.vlm, prefix, ids, max_new_tokens=3, eos_token_ids=[-1])
    assert calls == ["encoder"]
    assert widths == [(1, prefix["input_ids"].shape[1] + sum(map(len, ids))), (1, 4), (1, 4)]


def test_settings_that_it_does_not_follow_are_said_once(monkeypatch):
    model, processor = build("llava_onevision")
    prefix, ids = processor.packed_question_inputs(random_frames(2), ["a"])
    said = []
    monkeypatch.setattr(question_packing.logger, "warning", said.append)
    question_packing.logger.warning_once.cache_clear()
    options = {"max_new_tokens": 1, "eos_token_ids": [0]}
    answer_questions(model.vlm, prefix, ids, **options)
    assert said == []
    model.vlm.generation_config.repetition_penalty = 1.3
    for _ in range(2):
        answer_questions(model.vlm, prefix, ids, **options)
    (warning,) = said
    assert "repetition_penalty=1.3 in generation_config is not followed" in warning


def test_bad_questions_are_errors():
    model, processor = build("llava_onevision")
    prefix, ids = processor.packed_question_inputs(random_frames(2), ["a"])
    with pytest.raises(ValueError, match="0 questions"):
        answer_questions(model.vlm, prefix, [], max_new_tokens=1, eos_token_ids=[0])
    doubled = {"input_ids": prefix["input_ids"].repeat(2, 1)}
    with pytest.raises(ValueError, match="2 rows"):
        answer_questions(model.vlm, doubled, ids, max_new_tokens=1, eos_token_ids=[0])
    with pytest.raises(ValueError, match="questions is empty"):
        processor.packed_question_inputs(random_frames(2), [])


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_cache_bears_the_name_that_the_model_knows(name, monkeypatch):
    """transformers renamed it; a base with code of its own may follow later, or never."""
    model, processor = build("llava_onevision")
    prefix, ids = processor.packed_question_inputs(random_frames(2), [question for question, _ in TURNS])
    expected = answer_questions(model.vlm, prefix, ids, max_new_tokens=4, eos_token_ids=[-1])
    decoder = type(model.vlm.base_model)
    forward, own = decoder.forward, cache_argument(model.vlm)
    signatures = {
        "cache": lambda self, cache, **inputs: forward(self, **{own: cache}, **inputs),
        "past_key_values": lambda self, past_key_values, **inputs: forward(self, **{own: past_key_values}, **inputs),
    }
    monkeypatch.setattr(decoder, "forward", signatures[name])
    assert cache_argument(model.vlm) == name
    assert answer_questions(model.vlm, prefix, ids, max_new_tokens=4, eos_token_ids=[-1]) == expected


def test_offsets_restart_where_a_set_begins_with_the_block_of_the_one_before():
    sets, blocks = torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 0, 0, 1]])
    assert offsets_in_blocks(sets, blocks).tolist() == [[0, 1, 0, 1, 0]]


def test_answers_about_a_long_video_go_on_behind_the_question():
    """The times of a long Qwen2.5-VL video run past the positions of the text behind it; answers follow the text."""
    model, processor = build("qwen2_5_vl")
    frames, question = random_frames(40), TURNS[0][0]
    prefix, ids = processor.packed_question_inputs(frames, [question, TURNS[1][0]])
    inputs = processor.question_inputs(frames, question)
    counted = []
    model.vlm.get_decoder().register_forward_hook(
        lambda _, args, kwargs, output: counted.append(kwargs["position_ids"]), with_kwargs=True
    )
    answers = answer_questions(model.vlm, prefix, ids, max_new_tokens=4, eos_token_ids=[-1])
    first, *later = counted
    counted.clear()
    alone = model.generate(**inputs, max_new_tokens=4, eos_token_id=-1, do_sample=False)
    assert answers[0] == alone[0, inputs["input_ids"].shape[1] :].tolist()
    assert first.max() > first[..., -1].max() + 1, "the video must be long for this test to mean anything"
    assert [step[-3:, 0, :1].flatten().tolist() for step in later] == [
        step[-3:, 0].flatten().tolist() for step in counted[1:]
    ]
