import math
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_checkpoints import FAMILIES, PATCH_SIZE, build_checkpoint, random_frames
from torch.nn import functional
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from igep.configuration_igep import IGEPConfig
from igep.frame_grids import read_frame_grids
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor


SIZE = (16, 24)
MODALITIES = ("video", "images")
every_family = pytest.mark.parametrize("family", FAMILIES)
every_modality = pytest.mark.parametrize("frames_as", MODALITIES)


def objective(**given):
    """A stand-in with the same contract as the real one; keeps what it was given."""
    objective.given = given
    terms = {}
    mask = given["frame_mask"]
    if given["geometry_weight"] > 0:
        error = (given["predicted_depth_metres"] - given["depth_metres"]).abs() * given["confidence"]
        terms["loss_geometry"] = error[mask].mean()
        terms["confidence_mean"] = given["confidence"][mask].mean().detach()
    if given["cross_view_weight"] > 0:
        terms["loss_cross_view"] = given["predicted_depth_metres"][mask].square().mean()
    if given["global_weight"] > 0:
        terms["loss_global"] = (
            1
            - functional.cosine_similarity(
                given["student"][mask].mean(dim=(1, 2)), given["teacher_descriptors"][mask].mean(dim=(1, 2)), dim=-1
            ).mean()
        )
    return terms


def build(family, tie_word_embeddings=False, **fields):
    vlm, processor = build_checkpoint(family, tie_word_embeddings=tie_word_embeddings)
    model = IGEPForConditionalGeneration.from_base(vlm, **{"teacher_channels": 8, **fields})
    return model, IGEPProcessor.from_base(processor)


def batch_of(processor, num_frames=(3,), frames_as="video", size=(32, 48), supervised=True):
    """One sample per entry of `num_frames`, right padded, the last five tokens of each supervised."""
    frames = [random_frames(count, seed=index, size=size) for index, count in enumerate(num_frames)]
    texts = [
        processor.apply_chat_template(
            [
                {
                    "role": "user",
                    "content": [{"type": "video"}] if frames_as == "video" else [{"type": "image"}] * count,
                },
                {"role": "assistant", "content": "two metres" + " or so" * index},
            ],
            tokenize=False,
        )
        for index, count in enumerate(num_frames)
    ]
    inputs = processor(
        text=texts,
        padding=True,
        padding_side="right",
        return_tensors="pt",
        **processor.vision_inputs(frames, frames_as),
    )
    labels = torch.full_like(inputs["input_ids"], -100)
    if supervised:
        for row, length in enumerate(inputs["attention_mask"].sum(dim=1)):
            labels[row, length - 5 : length] = inputs["input_ids"][row, length - 5 : length]
    longest = max(num_frames)
    generator = torch.Generator().manual_seed(0)
    geometry = {
        "frame_mask": torch.arange(longest) < torch.tensor(num_frames).unsqueeze(1),
        "depth_metres": torch.rand(len(num_frames), longest, *SIZE, generator=generator) + 1,
        "teacher_descriptors": torch.randn(len(num_frames), longest, 2, 2, 8, generator=generator),
    }
    return dict(inputs), labels, geometry


def count_encoder_calls(model):
    calls = []
    model.vlm.get_encoder(modality="image").register_forward_hook(lambda *_: calls.append(1))
    return calls


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


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
@every_modality
def test_samples_with_different_numbers_of_frames(family, frames_as):
    """Every frame of a batch is predicted as it is alone, and padded frames are empty."""
    model, processor = build(family)
    model.add_training_heads(objective)
    model.eval()
    inputs, _, geometry = batch_of(processor, num_frames=(3, 1, 4), frames_as=frames_as)
    together = model(**inputs, **geometry).predicted_depth_metres
    assert together.shape[:2] == (3, 4)
    assert together[~geometry["frame_mask"]].abs().max() == 0
    assert together[geometry["frame_mask"]].min() > 0
    for index, count in enumerate((3, 1, 4)):
        frames = random_frames(count, seed=index)
        alone = processor.question_inputs(frames, "?", frames_as=frames_as)
        predicted = model(
            **alone,
            frame_mask=torch.ones(1, count, dtype=torch.bool),
            depth_metres=geometry["depth_metres"][index : index + 1, :count],
            teacher_descriptors=geometry["teacher_descriptors"][index : index + 1, :count],
        ).predicted_depth_metres
        torch.testing.assert_close(together[index, :count], predicted[0], atol=1e-4, rtol=1e-4)


def test_padded_videos_in_llava_onevision():
    """Its processor stacks videos of one length only, so short ones repeat a frame, which is not supervised."""
    model, processor = build("llava_onevision")
    model.add_training_heads(objective)
    frames = [random_frames(3), [*random_frames(2), random_frames(2)[-1]]]
    text = processor.prompt_text(["?"], 3)
    inputs = processor(text=[text, text], return_tensors="pt", **processor.vision_inputs(frames))
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    targets = {"depth_metres": torch.ones(2, 3, *SIZE), "teacher_descriptors": torch.ones(2, 3, 2, 2, 8)}
    predicted = model(**inputs, frame_mask=frame_mask, **targets).predicted_depth_metres
    assert predicted[1, 2].abs().max() == 0
    torch.testing.assert_close(predicted[0, :2], predicted[1, :2])


def test_images_of_several_samples_in_llava_onevision():
    """A sample of one image is cut into tiles, a sample of three is not: only whole views are supervised."""
    model, processor = build("llava_onevision")
    model.add_training_heads(objective)
    model.eval()
    inputs, _, geometry = batch_of(processor, num_frames=(1, 3), frames_as="images")
    assert inputs["pixel_values"].shape[1] > 1
    predicted = model(**inputs, **geometry).predicted_depth_metres
    assert predicted[~geometry["frame_mask"]].abs().max() == 0
    whole_view = processor.question_inputs(random_frames(1, seed=0), "?", frames_as="video")
    alone = model.encode_frames(**whole_view)[-1]
    torch.testing.assert_close(model.encode_frames(**inputs)[-1][:1], alone, atol=1e-3, rtol=1e-3)


@every_family
@every_modality
def test_a_change_in_one_patch_stays_at_its_place(family, frames_as):
    """The features of the first layer, rearranged, change where the pixels changed and nowhere else."""
    model, processor = build(family)
    size = (32, 32) if family == "llava_onevision" else (32, 48)
    frame, row, column = 2, 1, 3
    frames = random_frames(4, size=size)
    changed = [image.copy() for image in frames]
    left, top = column * PATCH_SIZE, row * PATCH_SIZE
    changed[frame].paste((255, 0, 0), (left, top, left + PATCH_SIZE, top + PATCH_SIZE))
    maps = []
    for images in (frames, changed):
        inputs = processor.question_inputs(images, "?", frames_as=frames_as)
        pixels = "pixel_values_videos" if frames_as == "video" else "pixel_values"
        features = {
            "pixel_values_videos": model.vlm.model.get_video_features,
            "pixel_values": model.vlm.model.get_image_features,
        }[pixels]
        accepted = {
            name: inputs[name]
            for name in (pixels, "video_grid_thw", "image_grid_thw", "image_sizes", "batch_num_images")
            if name in inputs and (name.startswith(pixels[:11]) or frames_as != "video" or name == "video_grid_thw")
        }
        hidden = features(**accepted, output_hidden_states=True, return_dict=True).hidden_states[0]
        grids = read_frame_grids(model.vlm.config, hidden, inputs, frames_as == "video")
        maps.append(grids.encoder_maps(hidden))
    difference = (maps[1] - maps[0]).abs().amax(dim=-1)
    place = (frame // grids.temporal_patch_size if frames_as == "video" else frame, row, column)
    assert difference[place] > 1e-3
    difference[place] = 0
    assert difference.max() < 1e-5


@every_family
@every_modality
@pytest.mark.parametrize("supervise", ["encoder", "llm"])
def test_predictions_and_students_lie_where_the_frame_does(family, frames_as, supervise):
    """With attention switched off, depth and student descriptors change around the changed patch."""
    model, processor = build(family, supervise=supervise, verifier_channels=8)
    model.add_training_heads(objective)
    model.eval()
    with torch.no_grad():
        for name, parameter in model.vlm.named_parameters():
            if any(part in name for part in ("out_proj.", "attn.proj.", "o_proj.")):
                parameter.zero_()
    size = (32, 32) if family == "llava_onevision" else (32, 48)
    frame, row, column = 2, 0, 3
    frames = random_frames(4, size=size)
    changed = [image.copy() for image in frames]
    left, top = column * PATCH_SIZE, row * PATCH_SIZE
    changed[frame].paste((255, 0, 0), (left, top, left + PATCH_SIZE, top + PATCH_SIZE))
    depths, students = [], []
    for images in (frames, changed):
        inputs = processor.question_inputs(images, "?", frames_as=frames_as)
        depths.append(
            model(
                **inputs,
                frame_mask=torch.ones(1, 4, dtype=torch.bool),
                depth_metres=torch.ones(1, 4, *size),
                teacher_descriptors=torch.ones(1, 4, 2, 2, 8),
            ).predicted_depth_metres[0]
        )
        students.append(objective.given["student"][0])
    moved = (depths[1] - depths[0]).abs()
    merged = 2 if frames_as == "video" and family != "llava_onevision" else 1
    touched = [index for index in range(4) if index // merged == frame // merged]
    assert moved[[index for index in range(4) if index not in touched]].max() < 1e-4
    strongest = torch.unravel_index(moved[frame].argmax(), moved[frame].shape)
    assert abs(strongest[0].item() - (top + PATCH_SIZE / 2)) <= PATCH_SIZE
    assert abs(strongest[1].item() - (left + PATCH_SIZE / 2)) <= PATCH_SIZE

    moved = (students[1] - students[0]).abs().amax(dim=-1)
    rows, columns = moved.shape[1:]
    strongest = torch.unravel_index(moved[frame].argmax(), moved[frame].shape)
    assert strongest[0].item() == int((row + 0.5) * rows * PATCH_SIZE / size[0])
    assert strongest[1].item() == int((column + 0.5) * columns * PATCH_SIZE / size[1])


def test_images_padded_to_a_square_are_supervised_on_the_frame_alone():
    """LLaVA-OneVision pads several wide images to squares; the maps cover the image without the bars."""
    model, processor = build("llava_onevision")
    wide = random_frames(2, size=(16, 32))
    changed = [image.copy() for image in wide]
    changed[0].paste((255, 0, 0), (0, 0, 8, 8))
    maps = []
    for images in (wide, changed):
        inputs = processor.question_inputs(images, "?", frames_as="images")
        hidden = model.vlm.model.get_image_features(
            inputs["pixel_values"],
            inputs["image_sizes"],
            batch_num_images=inputs["batch_num_images"],
            output_hidden_states=True,
        ).hidden_states[0]
        maps.append(read_frame_grids(model.vlm.config, hidden, inputs, False).encoder_maps(hidden))
    moved = (maps[1] - maps[0]).abs().amax(dim=-1)[0]
    # The 16 x 32 image fills rows 1 and 2 of the 4 x 4 patches. Its map has rows at 0.75, 1.25, 1.75 and 2.25 of them,
    # so a change in patch row 1 enters those with the bilinear weights 3/4, 3/4, 1/4 and 0.
    torch.testing.assert_close(moved[:, 0] / moved[0, 0], torch.tensor([1, 1, 1 / 3, 0]), atol=1e-4, rtol=0)
    assert moved[0, 0] > 1e-2
    assert moved[:, 2:].max() < 1e-5


@every_family
def test_frames_of_different_sizes_share_a_batch(family):
    model, processor = build(family)
    model.add_training_heads(objective)
    frames = [random_frames(2, size=(32, 48)), random_frames(2, size=(64, 32))]
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}]}], tokenize=False, add_generation_prompt=True
    )
    inputs = processor(text=[text, text], padding=True, return_tensors="pt", **processor.vision_inputs(frames))
    output = model(
        **inputs,
        frame_mask=torch.ones(2, 2, dtype=torch.bool),
        depth_metres=torch.ones(2, 2, *SIZE),
        teacher_descriptors=torch.ones(2, 2, 2, 2, 8),
    )
    assert output.predicted_depth_metres.shape == (2, 2, *SIZE)
    assert output.loss.isfinite()


@every_family
@every_modality
def test_encode_frames_returns_one_map_per_frame_without_heads(family, frames_as):
    model, processor = build(family)
    frames = random_frames(3)
    inputs = processor.question_inputs(frames, "?", frames_as=frames_as)
    calls = count_encoder_calls(model)
    taps = model.encode_frames(frame_mask=torch.ones(1, 3, dtype=torch.bool), **inputs)
    assert len(calls) == 1
    assert len(taps) == 2
    grid = (4, 4) if family == "llava_onevision" else (4, 6)
    assert all(tap.shape == (3, *grid, 32) for tap in taps)
    assert not taps[-1].requires_grad
    expected = 4 if frames_as == "video" and family != "llava_onevision" else 3
    assert len(model.encode_frames(**inputs)[-1]) == expected


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


def test_from_base_takes_a_folder_and_keeps_weights_mode_and_attention(checkpoint_folders):
    vlm, _ = build_checkpoint("qwen2_5_vl")
    model = IGEPForConditionalGeneration.from_base(checkpoint_folders["qwen2_5_vl"], supervise="llm")
    assert not model.training
    assert model.config.supervise == "llm"
    for name, value in vlm.state_dict().items():
        assert torch.equal(model.vlm.state_dict()[name], value), name
    configs = (model.vlm.config, model.vlm.config.text_config, model.vlm.config.vision_config)
    assert {config._attn_implementation for config in configs} == {"sdpa"}
    half = IGEPForConditionalGeneration.from_base(checkpoint_folders["qwen2_5_vl"], dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_from_base_keeps_eager_attention(checkpoint_folders):
    vlm = build_checkpoint("llava_onevision")[0]
    vlm.set_attn_implementation("eager")
    model = IGEPForConditionalGeneration.from_base(vlm)
    assert model.vlm.config.vision_config._attn_implementation == "eager"


def test_bases_that_cannot_be_supervised_are_refused(tmp_path, checkpoint_folders):
    language = {"vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    with pytest.raises(ValueError, match=r"Qwen2ForCausalLM.*mm_encoder_outputs"):
        IGEPForConditionalGeneration.from_base(
            Qwen2ForCausalLM(Qwen2Config(**language, num_key_value_heads=1, intermediate_size=8))
        )
    with pytest.raises(ValueError, match="mm_encoder_outputs"):
        IGEPForConditionalGeneration.from_base(
            T5ForConditionalGeneration(T5Config(vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
        )
    with pytest.raises(TypeError, match="model_or_id"):
        IGEPForConditionalGeneration.from_base(3)
    with pytest.raises(TypeError, match="verifier_width"):
        IGEPForConditionalGeneration.from_base(checkpoint_folders["qwen3_vl"], verifier_width=3)
    with pytest.raises(ValueError, match="dtype"):
        IGEPForConditionalGeneration.from_base(build_checkpoint("qwen3_vl")[0], dtype=torch.bfloat16)
    build("qwen3_vl")[0].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is an IGEP model already"):
        IGEPForConditionalGeneration.from_base(tmp_path)


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


def test_an_encoder_layout_without_a_grid_is_refused():
    model, processor = build("llava_onevision")
    inputs, _, _ = batch_of(processor)
    with pytest.raises(ValueError, match="7 tokens per view, which is not the 4 x 4 grid"):
        read_frame_grids(model.vlm.config, torch.ones(3, 7, 32), inputs, True)
    with pytest.raises(ValueError, match=r"hidden states of shape \(3, 32\)"):
        read_frame_grids(model.vlm.config, torch.ones(3, 32), inputs, True)


VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}


def other_base(family):
    """A base outside the three that are tested throughout, and an image batch for it."""
    size = {"image_size": 32, "patch_size": 8}
    two_images = {"pixel_values": torch.rand(2, 3, 32, 32)}
    tokens = 8
    if family == "llava":  # class token, and a feature layer below the last
        vision = {"model_type": "clip_vision_model", **VISION, **size}
        config = LlavaConfig(
            vision_config=vision,
            text_config={"model_type": "qwen2", **TEXT},
            image_token_index=99,
            vision_feature_layer=-2,
        )
        base, tokens = LlavaForConditionalGeneration(config), 32
    elif family == "gemma3":  # pooled tokens
        vision = {"model_type": "siglip_vision_model", **VISION, **size, "vision_use_head": False}
        config = Gemma3Config(
            vision_config=vision, text_config={**TEXT, "head_dim": 16}, mm_tokens_per_image=4, image_token_index=99
        )
        base = Gemma3ForConditionalGeneration(config)
        two_images["token_type_ids"] = torch.zeros(1, tokens + 3, dtype=torch.long)
    elif family == "internvl":  # sizes given as pairs
        vision = {**VISION, "image_size": [32, 32], "patch_size": [8, 8]}
        config = InternVLConfig(vision_config=vision, text_config={"model_type": "qwen2", **TEXT}, image_token_id=99)
        base = InternVLForConditionalGeneration(config)
    else:  # qwen2_vl: hidden_size means the width of the output
        vision = {"depth": 3, "embed_dim": 48, "hidden_size": 32, "num_heads": 2, "patch_size": 8}
        text = {**TEXT, "rope_parameters": MROPE}
        config = Qwen2VLConfig(vision_config=vision, text_config=text, image_token_id=99, video_token_id=98)
        base = Qwen2VLForConditionalGeneration(config)
        two_images = {
            "pixel_values": torch.rand(32, 384),
            "image_grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]]),
            "mm_token_type_ids": torch.tensor([[0, 0] + [1] * 4 + [0] + [1] * 4]),
        }
        return base, {"input_ids": torch.tensor([[1, 2] + [99] * 4 + [3] + [99] * 4]), **two_images}
    return base, {"input_ids": torch.tensor([[1, 2] + [99] * tokens + [3]]), **two_images}


@pytest.mark.parametrize("family", ["llava", "gemma3", "internvl", "qwen2_vl"])
@pytest.mark.parametrize("supervise", ["encoder", "llm"])
def test_bases_beyond_the_first_class(family, supervise):
    torch.manual_seed(0)
    base, inputs = other_base(family)
    model = IGEPForConditionalGeneration.from_base(base, supervise=supervise, teacher_channels=8)
    model.add_training_heads(objective)
    output = model.train()(
        **inputs,
        labels=inputs["input_ids"],
        frame_mask=torch.ones(1, 2, dtype=torch.bool),
        depth_metres=torch.ones(1, 2, *SIZE),
        teacher_descriptors=torch.ones(1, 2, 2, 2, 8),
    )
    output.loss.backward()
    assert output.loss.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.encode_frames(**inputs)[-1].shape[:3] == (2, 4, 4)


def test_windows_of_unknown_order_are_refused():
    vision_config = Qwen2VLConfig().vision_config
    vision_config.window_size = 32
    config = SimpleNamespace(model_type="other", vision_config=vision_config)
    inputs = {"image_grid_thw": torch.tensor([[1, 4, 4]])}
    with pytest.raises(ValueError, match="attention windows"):
        read_frame_grids(config, torch.ones(16, 8), inputs, False)


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


def test_uncertainty_and_depth_are_bounded_for_any_activation():
    model, _ = build("llava_onevision")
    model.add_training_heads(objective)
    verifier = model.depth_verifier
    with torch.no_grad():
        verifier.decoder.prediction.weight.mul_(1e6)
        depth, confidence = verifier([torch.randn(2, 4, 4, 32)] * 2, SIZE)
    assert depth.isfinite().all()
    assert depth.min() >= 0.1 - 1e-5
    assert depth.max() <= 20 + 1e-3
    assert confidence.min() >= math.exp(-4) - 1e-5
    assert confidence.max() <= math.exp(4) + 1e-3


def test_config_is_that_of_the_base():
    model, _ = build("qwen3_vl")
    assert isinstance(model.config, IGEPConfig)
    assert model.config.get_text_config() is model.vlm.config.text_config
    assert model.get_input_embeddings() is model.vlm.get_input_embeddings()
    assert model.get_output_embeddings() is model.vlm.lm_head
