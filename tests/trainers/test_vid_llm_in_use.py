"""What is shared with IGEP takes a Vid-LLM as it is: the collator, the answering loop, `igep ask`, grounding."""

import pytest
import torch
from grounded_walls import GroundedWalls, panels
from tiny_checkpoints import random_frames
from tiny_vid_llm import build_vid_llm

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.trainers.commands.ask import ask
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.load_vlm import load_for_answers, load_vlm
from igep.trainers.supervision.box_query_loss import box_query_loss


NOT_OF_THE_MODEL = ("depth_metres", "intrinsics", "world_from_camera", "sample_ids", "scene_ids", "frame_ids")
QUESTIONS = ["How far is the chair?", "Is it red?"]


@pytest.fixture(scope="module")
def built():
    return build_vid_llm(ground_head=True, box_decoder=True)


@pytest.fixture(scope="module")
def folder(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vid_llm")
    for part in built:
        part.save_pretrained(folder)
    return folder


def batch_of(processor, rows, **options):
    dataset = GroundedWalls(rows=4)
    collator = IGEPDataCollator(processor, (16, 24), ground_geometry_inputs="predicted", **options)
    return collator([dataset[row] for row in rows])


def run(model, batch):
    given = {name: value for name, value in batch.items() if name not in NOT_OF_THE_MODEL}
    given["grounding"] = batch["grounding"] | {"world_from_camera": batch["world_from_camera"]}
    return model(**given)


def test_packed_questions_of_a_batch_have_the_losses_of_separate_rows(built):
    model, processor = built
    apart = run(model, batch_of(processor, [2, 1]))
    packed = run(model, batch_of(processor, [2, 1], pack_questions=True, max_packed_tokens=4096))
    torch.testing.assert_close(packed.loss_ground, apart.loss_ground, rtol=1e-2, atol=1e-2)
    assert apart.loss.isfinite()
    assert packed.supervised_labels.tolist() == apart.supervised_labels.tolist()


def test_grounding_trains_its_heads_and_nothing_of_the_reconstruction(built):
    model, processor = build_vid_llm(ground_head=True, box_decoder=True)
    batch = batch_of(processor, [0, 1, 3])
    output = run(model, batch)
    assert 0 <= output.ground_accuracy <= 1
    assert output.box_predictions[2] is None
    targets = [
        boxes[meant[:-1]]
        for boxes, meant in zip(batch["grounding"]["boxes"], batch["grounding"]["meant"], strict=False)
    ]
    losses = [
        box_query_loss(found, [wanted])
        for found, wanted in zip(output.box_predictions, targets, strict=False)
        if found
    ]
    assert len(losses) == 2
    total = output.loss_ground + sum(sum(each.values()) for each in losses)
    total.backward()
    parts = {"ground_head": 0, "box_decoder": 0, "vision": 0, "language": 0}
    for name, parameter in model.named_parameters():
        part = model.part_of_parameter(name)
        gradient = 0.0 if parameter.grad is None else parameter.grad.abs().max().item()
        if part in ("reconstruction", "metric_depth"):
            assert gradient == 0, name
        elif part in parts:
            parts[part] += gradient > 0
    assert all(parts.values()), parts


def test_a_batch_without_grounding_questions_keeps_the_graph_of_the_head(built):
    model, processor = built
    output = run(model, batch_of(processor, [3]))
    assert output.loss_ground.item() == 0
    assert output.loss_ground.requires_grad
    assert output.box_predictions == [None]


def test_proposals_are_grounded_by_the_models_own_reconstruction(built):
    model, processor = built
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS)
    first = torch.eye(4)[None]
    together = model.ground(dict(inputs), questions, panels(3), world_from_camera=first)
    apart = model.ground(dict(inputs), questions, panels(3), world_from_camera=first, share_prefix=False)
    for one, other in zip(together, apart, strict=True):
        assert len(one.similarities) == 4
        assert one.similarities == pytest.approx(other.similarities, abs=1e-4)
    assert model.ground(dict(inputs), questions, [], world_from_camera=first)[0].best is None
    with pytest.raises(ValueError, match="grounds by its own reconstruction"):
        model.ground(dict(inputs), questions, panels(3), world_from_camera=first, geometry_inputs="pose")
    without, _ = build_vid_llm()
    with pytest.raises(ValueError, match="has no ground head"):
        without.ground(dict(inputs), questions, panels(3), world_from_camera=first)


@pytest.mark.parametrize("frames_as", ["video", "images"])
def test_answers_are_those_of_generate_however_many_are_asked_together(built, frames_as):
    model, processor = built
    frames = random_frames(3)
    expected = []
    for question in QUESTIONS:
        inputs = processor.question_inputs(frames, question, frames_as=frames_as)
        tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        expected.append(processor.batch_decode([tokens], skip_special_tokens=True)[0].strip())
    for share_prefix in (True, False):
        options = AnsweringOptions(max_new_tokens=6, share_prefix=share_prefix)
        ((_, answers),) = answer_samples(model, processor, [Sample("a", frames, QUESTIONS, frames_as)], options)
        assert answers == expected
    single = [Sample(str(number), frames, [question], frames_as) for number, question in enumerate(QUESTIONS)]
    options = AnsweringOptions(max_new_tokens=6)
    assert [answers[0] for _, answers in answer_samples(model, processor, single, options)] == expected


def test_a_saved_model_is_loaded_by_its_name_and_asked(folder, tmp_path):
    model, processor = load_for_answers(folder, "cpu")
    assert type(model).__module__.startswith("transformers_modules.")
    assert type(load_vlm(folder)) is VidLLMForConditionalGeneration
    with pytest.raises(ValueError, match="cannot be trained as IGEP is"):
        load_vlm(folder, wrapped=True)
    for number, frame in enumerate(random_frames(3)):
        frame.save(tmp_path / f"{number}.png")
    inputs = processor.question_inputs(random_frames(3), QUESTIONS[0])
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = processor.batch_decode([tokens], skip_special_tokens=True)[0].strip()
    assert ask(folder, tmp_path, QUESTIONS[0], max_new_tokens=6, device="cpu") == expected
    assert isinstance(ask(folder, tmp_path / "0.png", QUESTIONS[0], max_new_tokens=6, device="cpu"), str)
