import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_batches import (
    SIZE,
    batch_of,
    build,
    count_encoder_calls,
    every_family,
    every_modality,
    objective,
)
from tiny_checkpoints import build_checkpoint, random_frames
from torch.nn import functional

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


@every_family
@every_modality
def test_without_labels_and_geometry_it_is_the_base_model(family, frames_as):
    model, processor = build(family)
    inputs, _, _ = batch_of(processor, frames_as=frames_as)
    reference, _ = build_checkpoint(family)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, reference(**inputs).logits)


@every_family
@every_modality
@pytest.mark.parametrize("supervise", ["encoder", "llm"])
def test_training_forward(family, frames_as, supervise):
    model, processor = build(family, supervise=supervise)
    model.add_training_heads(objective)
    inputs, labels, geometry = batch_of(processor, num_frames=(3, 3), frames_as=frames_as)
    calls = count_encoder_calls(model)

    output = model.train()(**inputs, labels=labels, **geometry)
    output.loss.backward()

    assert len(calls) == 1
    supervised = labels[:, 1:] != -100
    assert output.logits.shape[0] == output.supervised_labels.shape[0] == supervised.sum()
    with torch.no_grad():
        logits = build_checkpoint(family)[0](**inputs).logits
    torch.testing.assert_close(output.logits, logits[:, :-1][supervised], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        output.loss_ce, functional.cross_entropy(logits[:, :-1][supervised], labels[:, 1:][supervised])
    )
    torch.testing.assert_close(
        output.loss,
        output.loss_ce + 1.0 * output.loss_geometry + 0.1 * output.loss_cross_view + 0.5 * output.loss_global,
    )
    assert output.predicted_depth_metres.shape == output.confidence.shape == (2, 3, *SIZE)
    assert output.predicted_depth_metres.dtype == output.confidence.dtype == torch.float32
    assert output.confidence.min() > 0
    assert 0.1 < output.predicted_depth_metres.min() < output.predicted_depth_metres.max() < 20
    assert output.confidence_mean is not None
    assert output.cross_view_coverage is None
    without_gradient = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert without_gradient == []


@every_family
def test_a_batch_without_supervised_tokens_keeps_its_graph(family):
    model, processor = build(family)
    model.add_training_heads(objective)
    inputs, labels, geometry = batch_of(processor, supervised=False)
    output = model(**inputs, labels=labels, **geometry)
    output.loss.backward()
    assert output.loss_ce.item() == 0
    assert output.loss.item() > 0
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_cross_entropy_is_divided_by_the_items_of_the_whole_step():
    model, processor = build("llava_onevision")
    inputs, labels, _ = batch_of(processor)
    mean = model(**inputs, labels=labels).loss
    share = model(**inputs, labels=labels, num_items_in_batch=torch.tensor(20)).loss
    torch.testing.assert_close(share, mean * 5 / 20)


def test_labels_without_geometry_need_no_heads():
    model, processor = build("qwen3_vl")
    inputs, labels, _ = batch_of(processor)
    output = model(**inputs, labels=labels)
    assert output.loss.item() == output.loss_ce.item() > 0
    assert output.predicted_depth_metres is None


def test_zero_weights_build_no_heads_and_compute_no_terms():
    model, processor = build("qwen3_vl", geometry_weight=0, cross_view_weight=0, global_weight=0)
    model.add_training_heads(objective)
    objective.given = None
    inputs, labels, geometry = batch_of(processor)
    output = model(**inputs, labels=labels, **geometry)
    assert model.training_heads == {}
    assert objective.given is None
    assert output.loss.item() == output.loss_ce.item()


def test_geometry_alone_does_not_run_the_language_model():
    model, processor = build("llava_onevision")
    model.add_training_heads(objective)
    inputs, _, geometry = batch_of(processor)
    calls = []
    model.vlm.get_decoder().register_forward_hook(lambda *_: calls.append(1))
    output = model(**inputs, **geometry)
    output.loss.backward()
    assert calls == []
    assert output.logits is None


@every_family
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(family, use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model, processor = build(family)
        torch.manual_seed(0)
        model.add_training_heads(objective)
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        inputs, labels, geometry = batch_of(processor)
        model(**inputs, labels=labels, **geometry).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@every_family
def test_bf16_autocast_leaves_geometry_in_fp32(family):
    model, processor = build(family)
    model.add_training_heads(objective)
    inputs, labels, geometry = batch_of(processor)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**inputs, labels=labels, **geometry)
    assert output.predicted_depth_metres.dtype == output.confidence.dtype == torch.float32
    output.loss.backward()
    assert output.loss.isfinite()


def test_a_bf16_model_has_fp32_heads():
    vlm, processor = build_checkpoint("qwen3_vl")
    model = IGEPForConditionalGeneration.from_base(vlm.to(torch.bfloat16), teacher_channels=8)
    model.add_training_heads(objective)
    inputs, labels, geometry = batch_of(IGEPProcessor.from_base(processor))
    output = model(**inputs, labels=labels, **geometry)
    output.loss.backward()
    assert {p.dtype for head in model.training_heads.values() for p in head.parameters()} == {torch.float32}
    assert output.predicted_depth_metres.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@every_family
def test_lora_on_the_language_model(family):
    model, processor = build(family)
    model.add_training_heads(objective)
    lora = LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)", task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, lora)
    inputs, labels, geometry = batch_of(processor)
    wrapped(**inputs, labels=labels, **geometry).loss.backward()
    adapters = {name: p for name, p in wrapped.named_parameters() if "lora_" in name}
    assert adapters
    assert all(p.grad is not None and model.part_of_parameter(name) == "language" for name, p in adapters.items())
    generated = wrapped.generate(**processor.question_inputs(random_frames(2), "?"), max_new_tokens=2)
    assert generated.shape[0] == 1


@every_family
def test_every_parameter_belongs_to_a_part(family):
    model, _ = build(family, tie_word_embeddings=True)
    model.add_training_heads(objective)
    parts = {}
    for name, _ in model.named_parameters(remove_duplicate=False):
        parts.setdefault(model.part_of_parameter(name), set()).add(name)
    assert set(parts) == {"vision", "projector", "language", "heads"}
    assert all(name.startswith(("depth_verifier.", "teacher_projector.")) for name in parts["heads"])
    assert all("language_model" in name or "lm_head" in name for name in parts["language"])
    assert all("vision_tower" in name or "visual" in name for name in parts["vision"])
    assert all(
        any(module in name for module in ("multi_modal_projector", "image_newline", "merger"))
        for name in parts["projector"]
    )


def test_heads_are_added_once_and_removed():
    model, _ = build("llava_onevision")
    assert model.training_heads == {}
    model.add_training_heads(objective)
    heads = dict(model.training_heads)
    assert set(heads) == {"depth_verifier", "teacher_projector"}
    model.add_training_heads(objective)
    assert model.training_heads == heads
    model.remove_training_heads()
    assert model.training_heads == {}
    assert set(model.state_dict()) == set(build("llava_onevision")[0].state_dict())


def test_an_untrained_verifier_starts_in_the_middle_of_a_room():
    model, processor = build("llava_onevision")
    model.add_training_heads(objective)
    inputs, _, geometry = batch_of(processor)
    output = model(**inputs, **geometry)
    assert 1 < output.predicted_depth_metres.median() < 6
    assert 0.3 < output.confidence.median() < 3


def test_the_verifier_learns_the_depth_of_one_batch():
    model, processor = build("llava_onevision", global_weight=0, cross_view_weight=0)
    model.add_training_heads(objective)
    inputs, _, geometry = batch_of(processor)
    geometry["depth_metres"] = torch.linspace(1, 5, SIZE[1]).expand(1, 3, *SIZE)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        output = model(**inputs, **geometry)
        error = (output.predicted_depth_metres - geometry["depth_metres"]).abs().mean()
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[-1] < errors[0] / 4


def test_more_taps_than_layers_is_refused():
    model, _ = build("qwen3_vl", verifier_taps=9)
    with pytest.raises(ValueError, match="verifier_taps=9 is more than the 3 layers"):
        model.add_training_heads(objective)


def test_geometry_that_does_not_fit_is_refused():
    model, processor = build("qwen3_vl")
    inputs, labels, geometry = batch_of(processor)
    with pytest.raises(ValueError, match="add_training_heads"):
        model(**inputs, labels=labels, **geometry)
    model.add_training_heads(objective)

    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            model(**{**inputs, **geometry, **changes}, labels=labels)

    refused("frame_mask must be", frame_mask=None)
    refused("frame_mask must be", frame_mask=torch.ones(1, 3))
    refused(r"depth_metres has shape \(1, 2, 16, 24\)", depth_metres=torch.ones(1, 2, *SIZE))
    refused("intrinsics has shape", intrinsics=torch.ones(1, 3, 4, 4))
    refused("teacher_descriptors has shape", teacher_descriptors=torch.ones(1, 3, 2, 2, 5))
    refused("real frames of a sample must come first", frame_mask=torch.tensor([[False, True, True]]))
    six = {"frame_mask": torch.ones(1, 6, dtype=torch.bool), "depth_metres": None, "teacher_descriptors": None}
    refused("marks 6 of 6 frames of sample 0.*features of 2 x 2 frames", **six)
    two = {"frame_mask": torch.ones(2, 3, dtype=torch.bool), "depth_metres": None, "teacher_descriptors": None}
    refused("frame_mask has 2 samples but the batch holds 1 videos", **two)
    refused("all images or all videos", pixel_values=torch.ones(4, 384))
    refused("found neither", pixel_values_videos=None)
    refused("mm_encoder_outputs cannot be given", mm_encoder_outputs={})

    images, labels, geometry = batch_of(processor, frames_as="images")
    inputs = images
    refused(
        "marks 3 frames.*holds 2 images",
        image_grid_thw=images["image_grid_thw"][:2],
        pixel_values=images["pixel_values"][:48],
    )


def test_teacher_descriptors_without_a_projector_are_refused():
    model, processor = build("qwen3_vl", teacher_channels=None)
    model.add_training_heads(objective)
    inputs, labels, geometry = batch_of(processor)
    with pytest.raises(ValueError, match="teacher_channels"):
        model(**inputs, labels=labels, **geometry)


def test_taps_are_evenly_spaced_and_end_at_the_layer_that_is_read():
    vlm, processor = build_checkpoint("llava_onevision")
    vlm.config.vision_feature_layer = -2
    model = IGEPForConditionalGeneration.from_base(vlm, verifier_taps=2)
    inputs = processor.__class__.__call__(processor, text=["<video>"], videos=[random_frames(2)], return_tensors="pt")
    taps = model.encode_frames(**inputs)
    hidden = vlm.model.get_video_features(inputs["pixel_values_videos"], output_hidden_states=True).hidden_states
    assert torch.equal(taps[-1].flatten(1, 2), hidden[-2])
    assert torch.equal(taps[0].flatten(1, 2), hidden[1])
    model.add_training_heads(objective)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert any("layers.2." in name for name in frozen)
    assert any("post_layernorm" in name for name in frozen)
    assert not any("layers.1." in name for name in frozen)
