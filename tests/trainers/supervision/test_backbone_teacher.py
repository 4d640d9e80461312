"""Backbones as teachers: only patches are described, frames normalised as the checkpoint says, frozen stays frozen."""

import pytest
import torch
from teacher_geometry import SIZE, make_geometry
from transformers import (
    BitImageProcessor,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    LlavaOnevisionForConditionalGeneration,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from igep.trainers.package_files import TINY_BASE
from igep.trainers.supervision.backbone_teacher import BackboneTeacher


def tiny_vision_settings() -> dict:
    return {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 4,
        "image_size": SIZE,
    }


def save_dinov2(folder, **processor_fields):
    Dinov2Model(Dinov2Config(**tiny_vision_settings())).save_pretrained(folder)
    fields = {"size": {"shortest_edge": 20}, "crop_size": {"height": SIZE, "width": SIZE}} | processor_fields
    BitImageProcessor(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25], **fields).save_pretrained(folder)
    return folder


def test_dinov2_class_token_is_stripped_and_frames_are_normalised(tmp_path):
    teacher = BackboneTeacher(str(save_dinov2(tmp_path)))
    assert teacher.frame_size == (SIZE, SIZE)
    assert teacher.channels == 24
    frames = torch.randint(0, 256, (2, 3, 3, SIZE, SIZE), dtype=torch.uint8)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    descriptors = teacher(frames, make_geometry(torch.ones(2, 3, SIZE, SIZE), mask))
    assert descriptors.shape == (2, 3, 4, 4, 24)
    assert not descriptors.requires_grad
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]))
    with torch.no_grad():
        expected = teacher.model((frames[0].float() / 255 - mean) / std).last_hidden_state[:, 1:]
    torch.testing.assert_close(descriptors[0].flatten(1, 2), expected, atol=1e-5, rtol=1e-4)
    assert (descriptors[1, 1:] == 0).all()


def test_registers_are_stripped(tmp_path):
    model = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**tiny_vision_settings(), num_register_tokens=4))
    model.save_pretrained(tmp_path)
    BitImageProcessor(size={"height": SIZE, "width": SIZE}, do_center_crop=False).save_pretrained(tmp_path)
    teacher = BackboneTeacher(str(tmp_path))
    frames = torch.randint(0, 256, (1, 1, 3, SIZE, SIZE), dtype=torch.uint8)
    descriptors = teacher(frames, make_geometry(torch.ones(1, 1, SIZE, SIZE)))
    with torch.no_grad():
        tokens = teacher.model(frames[0] * teacher.gain + teacher.offset).last_hidden_state
    torch.testing.assert_close(descriptors.reshape(1, 16, 24), tokens[:, 5:])


def test_siglip_two_towers_give_the_vision_tower(tmp_path):
    vision = tiny_vision_settings()
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 9,
    }
    SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(tmp_path)
    teacher = BackboneTeacher(str(tmp_path))
    frames = torch.randint(0, 256, (1, 2, 3, SIZE, SIZE), dtype=torch.uint8)
    assert teacher(frames, make_geometry(torch.ones(1, 2, SIZE, SIZE))).shape == (1, 2, 4, 4, 24)
    assert not any("text" in name for name, _ in teacher.model.named_parameters())


def test_depth_anything_features(tmp_path):
    backbone = Dinov2Config(
        **tiny_vision_settings(), out_indices=[1, 2], apply_layernorm=True, reshape_hidden_states=False
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=4,
        reassemble_hidden_size=24,
        reassemble_factors=[1, 0.5],
        neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
    )
    DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    BitImageProcessor(size={"height": 18, "width": 18}, do_center_crop=False).save_pretrained(tmp_path)
    teacher = BackboneTeacher(str(tmp_path))
    assert teacher.is_depth_model
    assert teacher.frame_size == (16, 16)  # rounded to whole patches
    frames = torch.randint(0, 256, (1, 1, 3, SIZE, SIZE), dtype=torch.uint8)
    assert teacher(frames, make_geometry(torch.ones(1, 1, SIZE, SIZE))).shape == (1, 1, 4, 4, 24)


def test_frozen_teacher_gets_no_gradient(tmp_path):
    teacher = BackboneTeacher(str(save_dinov2(tmp_path)))
    assert not teacher.model.training
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_backbone_bad_sizes(tmp_path):
    folder = str(save_dinov2(tmp_path))
    with pytest.raises(ValueError, match=r"frame_size=\(18, 16\).*whole number of patches of 4"):
        BackboneTeacher(folder, frame_size=(18, 16))
    teacher = BackboneTeacher(folder)
    with pytest.raises(ValueError, match="teacher_frame_size=teacher.frame_size"):
        teacher(None, make_geometry(torch.ones(1, 1, SIZE, SIZE)))


def test_the_tower_of_the_embedded_base_describes_frames():
    teacher = BackboneTeacher(str(TINY_BASE))
    assert (teacher.channels, teacher.frame_size) == (96, (64, 64))
    frames = torch.randint(0, 256, (1, 1, 3, 64, 64), dtype=torch.uint8)
    base = LlavaOnevisionForConditionalGeneration.from_pretrained(TINY_BASE).eval()
    with torch.no_grad():
        tokens = base.model.vision_tower(frames[0].float() / 127.5 - 1).last_hidden_state
    found = teacher(frames, make_geometry(torch.ones(1, 1, 64, 64)))
    torch.testing.assert_close(found.flatten(1, 3), tokens, atol=1e-5, rtol=1e-4)
