"""Bases: which are taken and refused, what is known of their parts, by name and beyond the three tested throughout."""

import pytest
import torch
from tiny_batches import SIZE, build, every_family, objective
from tiny_checkpoints import build_checkpoint
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from igep.base_vlm import (
    cache_argument,
    check_base,
    encoder_shape,
    frames_per_feature,
    freeze_unread_parameters,
    has_three_axes,
    part_of_parameter,
    read_layer,
)
from igep.configuration_igep import IGEPConfig
from igep.modeling_igep import IGEPForConditionalGeneration


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


def test_config_is_that_of_the_base():
    model, _ = build("qwen3_vl")
    assert isinstance(model.config, IGEPConfig)
    assert model.config.get_text_config() is model.vlm.config.text_config
    assert model.get_input_embeddings() is model.vlm.get_input_embeddings()
    assert model.get_output_embeddings() is model.vlm.lm_head


# ---- What is known of a base


@every_family
def test_what_is_read_of_each_family(family):
    vlm, _ = build_checkpoint(family)
    is_qwen = family != "llava_onevision"
    assert encoder_shape(vlm.config) == (32, 3)
    assert frames_per_feature(vlm.config) == (2 if is_qwen else 1)
    assert has_three_axes(vlm) is is_qwen
    assert cache_argument(vlm) in ("cache", "past_key_values")
    check_base(vlm)


def test_the_layer_that_is_read():
    config = LlavaConfig()
    for given, index in ((-1, 24), (-2, 23), (5, 5), ([3, -4], None), ([3, 7], 7)):
        config.vision_feature_layer = given
        if index is not None:
            assert read_layer(config, 24) == index
    assert read_layer(Qwen2VLConfig(), 24) == 24, "a base that names no layer reads the last"


def test_a_base_whose_head_changes_the_logits_is_refused():
    vlm, _ = build_checkpoint("qwen3_vl")
    vlm.config.text_config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="its head changes the logits \\(final_logit_softcapping=30.0\\)"):
        check_base(vlm)


def test_an_encoder_without_a_size_is_refused():
    config = build_checkpoint("llava_onevision")[0].config
    config.vision_config = PreTrainedConfig(width=3)
    with pytest.raises(ValueError, match="llava_onevision cannot be supervised: its vision_config names neither"):
        encoder_shape(config)


def test_what_nobody_reads_is_frozen():
    vlm, _ = build_checkpoint("llava_onevision")
    vlm.config.vision_feature_layer = -2
    freeze_unread_parameters(vlm)
    frozen = {name for name, parameter in vlm.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all(".layers.2." in name or ".post_layernorm." in name for name in frozen)
    reads_all, _ = build_checkpoint("qwen3_vl")
    freeze_unread_parameters(reads_all)
    assert all(parameter.requires_grad for parameter in reads_all.parameters())


def test_parts_of_parameters_through_wrappers():
    vlm, _ = build_checkpoint("qwen3_vl")
    for name, part in (
        ("vlm.model.visual.blocks.0.attn.qkv.weight", "vision"),
        ("vlm.model.visual.merger.norm.weight", "projector"),
        (
            "module.base_model.model.vlm.model.language_model.layers.0.self_attn.q_proj.lora_A.default.weight",
            "language",
        ),
        ("vlm.lm_head.weight", "language"),
        ("vlm.model.something_else.weight", "projector"),
    ):
        assert part_of_parameter(vlm, name) == part, name
