"""A checkpoint verifier's depth is that of a forward pass with the heads, whether the encoder merges frames or not."""

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, random_frames

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.evaluation.verifier_depth import load_verifier, verifier_depth
from igep.trainers.loop.training_heads_file import save_heads
from igep.trainers.supervision.geometry_losses import igep_objective


@pytest.mark.parametrize("family", FAMILIES)
def test_each_frame_has_its_own_depth(family, checkpoint_folders, tmp_path):
    torch.manual_seed(0)
    fields = {"geometry_weight": 1.0, "geometry_size": [16, 24]}
    trained = IGEPForConditionalGeneration.from_base(checkpoint_folders[family], **fields).eval()
    trained.add_training_heads(igep_objective)
    save_heads(trained.training_heads, tmp_path)
    saved = IGEPForConditionalGeneration.from_base(checkpoint_folders[family], **fields).eval()
    processor = IGEPProcessor.from_base(checkpoint_folders[family])
    load_verifier(saved, tmp_path)
    for frames_as, count in (("video", 3), ("video", 4), ("images", 2)):
        frames = random_frames(count)
        inputs = processor.question_inputs(frames, "How far is this?", frames_as=frames_as)
        with torch.inference_mode():
            expected = trained(
                **inputs,
                depth_metres=torch.zeros(1, count, 16, 24),
                frame_mask=torch.ones(1, count, dtype=torch.bool),
            ).predicted_depth_metres[0]
        found = verifier_depth(saved, processor, frames, frames_as)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)
        assert len(np.unique(found.reshape(count, -1).round(4), axis=0)) == count


def test_a_checkpoint_without_a_verifier_is_named(checkpoint_folders, tmp_path):
    model = IGEPForConditionalGeneration.from_base(
        checkpoint_folders["qwen3_vl"],
        geometry_weight=0.0,
        cross_view_weight=0.0,
        global_weight=1.0,
        teacher_channels=8,
    )
    model.add_training_heads(igep_objective)
    save_heads(model.training_heads, tmp_path)
    with pytest.raises(ValueError, match="holds no depth verifier"):
        load_verifier(model, tmp_path)
