"""The one loop that answers: whatever is asked together, every answer is that of `generate` to its question alone."""

from dataclasses import dataclass

import pytest
from tiny_batches import build, count_encoder_calls, every_family, every_modality
from tiny_checkpoints import random_frames

from igep.trainers.evaluation import answering
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples


QUESTIONS = [f"How far is point {k}?" + "!" * k for k in range(5)]


def alone(model, processor, sample, question, max_new_tokens):
    """The answer of a plain `generate`, without a batch."""
    inputs = processor.question_inputs(list(sample.frames), question, frames_as=sample.frames_as)
    tokens = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def stream(frames_as="video"):
    """Samples of one and of several questions, and one whose frames do not stack with its neighbours'."""
    return [
        Sample("one", random_frames(2, seed=1), QUESTIONS[:1], frames_as),
        Sample("two", random_frames(2, seed=2), QUESTIONS[3:4], frames_as),
        Sample("many", random_frames(2, seed=3), QUESTIONS, frames_as),
        Sample("three", random_frames(2, seed=4), QUESTIONS[1:2], frames_as),
        Sample("longer", random_frames(3, seed=5), QUESTIONS[2:3], frames_as),
        Sample("larger", random_frames(3, seed=6, size=(48, 32)), QUESTIONS[2:3], frames_as),
    ]


@every_family
@every_modality
@pytest.mark.parametrize("share_prefix", [True, False])
def test_answers_are_those_of_generate_in_the_order_of_the_stream(family, frames_as, share_prefix):
    model, processor = build(family)
    model.eval()
    options = AnsweringOptions(max_new_tokens=6, batch_size=3, questions_per_pass=3, share_prefix=share_prefix)
    samples = stream(frames_as)
    found = list(answer_samples(model, processor, iter(samples), options))
    assert [sample for sample, _ in found] == samples
    for sample, texts in found:
        assert texts == [alone(model, processor, sample, question, 6) for question in sample.questions]


def test_a_plain_vlm_answers_as_the_model_that_wraps_it():
    model, processor = build("qwen3_vl")
    model.eval()
    options = AnsweringOptions(max_new_tokens=4)
    assert list(answer_samples(model, processor, stream(), options)) == list(
        answer_samples(model.vlm, processor, stream(), options)
    )


def test_frames_are_encoded_once_for_all_questions_of_a_pass():
    model, processor = build("llava_onevision")
    calls = count_encoder_calls(model.eval())
    sample = Sample("s", random_frames(2), QUESTIONS)
    list(answer_samples(model, processor, [sample], AnsweringOptions(max_new_tokens=2)))
    assert len(calls) == 1
    list(answer_samples(model, processor, [sample], AnsweringOptions(max_new_tokens=2, questions_per_pass=2)))
    assert len(calls) == 1 + 3


def test_neighbours_of_one_question_are_generated_together(monkeypatch):
    model, processor = build("llava_onevision")
    sizes = []
    generate = answering.generate_texts

    def counted(vlm, processor, inputs, max_new_tokens):
        sizes.append(len(inputs["input_ids"]))
        return generate(vlm, processor, inputs, max_new_tokens)

    monkeypatch.setattr(answering, "generate_texts", counted)
    samples = [Sample(f"{k}", random_frames(2, seed=k), [QUESTIONS[k]]) for k in range(5)]
    list(answer_samples(model.eval(), processor, samples, AnsweringOptions(max_new_tokens=2, batch_size=2)))
    assert sizes == [2, 2, 1]


def test_the_stream_is_read_as_it_is_answered():
    model, processor = build("llava_onevision")
    read = []

    def samples():
        for k in range(6):
            read.append(k)
            yield Sample(f"{k}", random_frames(2, seed=k), [QUESTIONS[0]])

    answers = answer_samples(model.eval(), processor, samples(), AnsweringOptions(max_new_tokens=1, batch_size=2))
    for number in range(6):
        next(answers)
        assert len(read) <= number // 2 * 2 + 2, "never more than the batch that is answered"


def test_a_subclass_comes_back_with_the_answers():
    @dataclass(frozen=True)
    class Known(Sample):
        truth: str = ""

    model, processor = build("llava_onevision")
    known = Known("s", random_frames(2), QUESTIONS[:1], truth="two metres")
    ((sample, _),) = answer_samples(model.eval(), processor, [known], AnsweringOptions(max_new_tokens=1))
    assert sample.truth == "two metres"


def test_settings_that_one_pass_does_not_follow_are_said_and_kept():
    """Qwen2.5-VL is published with a repetition penalty, which `generate` applies to greedy decoding as well."""
    model, processor = build("qwen2_5_vl")
    model.eval()
    model.generation_config.repetition_penalty = 1.7
    sample = Sample("s", random_frames(2), QUESTIONS[:3])
    options = AnsweringOptions(max_new_tokens=8)
    with pytest.warns(UserWarning, match=r"repetition_penalty=1\.7.*one by one"):
        ((_, texts),) = answer_samples(model, processor, [sample], options)
    assert texts == [alone(model, processor, sample, question, 8) for question in sample.questions]
    model.generation_config.repetition_penalty = 1.0
    ((_, without),) = answer_samples(model, processor, [sample], options)
    assert without != texts, "the penalty changes what this model says"


def test_an_end_that_the_model_does_not_know_is_no_error():
    model, processor = build("llava_onevision")
    model.eval().generation_config.eos_token_id = None
    sample = Sample("s", random_frames(2), QUESTIONS[:2])
    ((_, texts),) = answer_samples(model, processor, [sample], AnsweringOptions(max_new_tokens=3))
    assert texts == [alone(model, processor, sample, question, 3) for question in sample.questions]


def test_progress_counts_samples(capsys):
    model, processor = build("llava_onevision")
    list(answer_samples(model.eval(), processor, stream(), AnsweringOptions(max_new_tokens=1), progress="x", total=6))
    assert "6/6" in capsys.readouterr().err
    list(answer_samples(model, processor, stream()[:1], AnsweringOptions(max_new_tokens=1)))
    assert capsys.readouterr().err == ""


def test_bad_samples_and_options_are_errors():
    with pytest.raises(ValueError, match="'s' has no questions"):
        Sample("s", random_frames(1), [])
    with pytest.raises(ValueError, match="'s' has no frames"):
        Sample("s", [], ["?"])
    for name in ("max_new_tokens", "batch_size", "questions_per_pass"):
        with pytest.raises(ValueError, match=f"{name}=0: give 1 or more"):
            AnsweringOptions(**{name: 0})
