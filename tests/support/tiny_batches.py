"""Batches and models of the tiny checkpoints, shared by the model tests."""

import pytest
import torch
from tiny_checkpoints import FAMILIES, build_checkpoint, random_frames
from torch.nn import functional

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
