"""Boxes and their targets are in one frame, whichever axes they lie along and wherever the first camera stands."""

import pytest
import torch
from analytic_scene import pose
from tiny_checkpoints import random_frames
from tiny_vid_llm import build_vid_llm

from igep.camera_geometry import transform_points
from igep.trainers.joint_trainer import box_terms


@pytest.mark.parametrize("box_axes", ["first_camera", "scene"])
def test_a_true_box_where_a_query_puts_its_own_costs_nothing(box_axes):
    model, processor = build_vid_llm(box_decoder=True, box_axes=box_axes)
    for parameter in model.box_decoder.box.parameters():
        torch.nn.init.zeros_(parameter)  # every query puts a cube of 1 m around itself
    inputs, (question,) = processor.ground_inputs(random_frames(2), ["The chair."])
    input_ids = torch.cat([inputs["input_ids"], torch.tensor([question])], 1)
    # A quarter turn, after which a box along the scene's axes lies along those of the camera.
    first = pose(0.5, -1.0, 2.0, yaw_degrees=90.0).float()
    (encoded,) = model.encode_vision(**inputs).values()
    patch = transform_points(first, encoded.positions_metres[0].flatten(0, 2))[:1]
    grounding = {
        "boxes": [torch.cat([patch, torch.ones(1, 3)], 1)],
        "origin": torch.zeros(1, 3),
        "sample": torch.tensor([0]),
        "row": torch.tensor([0]),
        "column": torch.tensor([input_ids.shape[1] - 1]),
        "meant": [torch.tensor([True, False])],
        "world_from_camera": torch.stack([first, torch.full((4, 4), torch.nan)])[None],
    }
    model.config.box_queries = model.box_decoder.queries = encoded.tokens[0, ..., 0].numel()  # one for every patch
    output = model(
        input_ids=input_ids, pixel_values_videos=inputs["pixel_values_videos"], grounding=grounding, use_cache=False
    )
    terms = box_terms(output, grounding, 0.07, box_axes)
    assert terms["loss_box"].item() == pytest.approx(0, abs=1e-4)
    assert terms["loss_match"].item() > 0
    elsewhere = box_terms(output, grounding | {"boxes": [grounding["boxes"][0] + 0.5]}, 0.07, box_axes)
    assert elsewhere["loss_box"].item() > 0.1
