"""Boxes from RGB and description: `ground_boxes` of a model with a box decoder, here and in a process without igep."""

import pytest
import torch
from analytic_scene import pose
from tiny_checkpoints import random_frames
from tiny_vid_llm import build_vid_llm

from igep.camera_geometry import transform_points


QUESTIONS = ["The chair.", "The red table."]


@pytest.fixture(scope="module")
def built():
    return build_vid_llm(box_decoder=True)


def test_boxes_from_rgb_alone_and_in_the_scene(built):
    model, processor = built
    inputs, questions = processor.ground_inputs(random_frames(3), QUESTIONS)
    own = model.ground_boxes(dict(inputs), questions)
    apart = model.ground_boxes(dict(inputs), questions, share_prefix=False)
    for one, other in zip(own, apart, strict=True):
        assert len(one.boxes) == len(one.probabilities) == 6  # queries
        assert one.probabilities == sorted(one.probabilities, reverse=True)
        assert sum(one.probabilities) == pytest.approx(1)
        assert (one.world, one.geometry_inputs) == ("first_camera", "none")
        torch.testing.assert_close(torch.tensor(one.boxes), torch.tensor(other.boxes), atol=1e-4, rtol=1e-4)
    first = pose(5e5, 1.0, 2.0, yaw_degrees=40.0, pitch_degrees=-20.0).double()
    poses = torch.stack([first, torch.full((4, 4), torch.nan).double()])  # of the others none is read
    carried = model.ground_boxes(dict(inputs), questions, world_from_camera=poses)
    for one, other in zip(own, carried, strict=True):
        assert (other.world, other.geometry_inputs) == ("scene", "predicted")
        assert other.axes == first[:3, :3].tolist()
        before, after = torch.tensor(one.boxes, dtype=torch.float64), torch.tensor(other.boxes, dtype=torch.float64)
        torch.testing.assert_close(after[:, 3:], before[:, 3:], atol=1e-4, rtol=1e-4)
        expected = before[:, :3] @ first[:3, :3].T + first[:3, 3]
        torch.testing.assert_close(after[:, :3], expected, atol=1e-4, rtol=0)


def test_along_the_scenes_axes_the_origin_of_the_scene_changes_no_box(built):
    model, processor = build_vid_llm(box_decoder=True, box_axes="scene")
    inputs, questions = processor.ground_inputs(random_frames(2), QUESTIONS)
    with pytest.raises(ValueError, match=r"world_from_camera is missing: .* axes of the scene \(box_axes='scene'\)"):
        model.ground_boxes(dict(inputs), questions)
    near, far = (pose(*place, yaw_degrees=40.0, pitch_degrees=-20.0).double() for place in ((0, 0, 0), (100, -7, 3)))
    (one, _), (other, _) = (
        model.ground_boxes(dict(inputs), questions, world_from_camera=p[None]) for p in (near, far)
    )
    assert one.axes == other.axes == torch.eye(3).tolist()
    moved = torch.tensor(other.boxes, dtype=torch.float64)
    moved[:, :3] -= far[:3, 3]
    torch.testing.assert_close(moved, torch.tensor(one.boxes, dtype=torch.float64), atol=1e-9, rtol=0)
    # The decoder is told where patches lie along the scene's axes.
    seen = {}
    model.box_decoder.register_forward_hook(lambda _, given, __: seen.update(positions=given[1]))
    model.ground_boxes(dict(inputs), questions, world_from_camera=far[None])
    (encoded,) = model.encode_vision(**inputs).values()
    patches = encoded.positions_metres[0].flatten(0, 2)
    torch.testing.assert_close(seen["positions"], transform_points(near.float(), patches))


def test_what_cannot_be_asked_is_said(built):
    model, processor = built
    inputs, questions = processor.ground_inputs(random_frames(2), QUESTIONS)
    plain, plain_processor = build_vid_llm(ground_head=True)
    with pytest.raises(ValueError, match="has no box decoder: train with box_weight .* for proposals call ground"):
        plain.ground_boxes(dict(inputs), questions)
    with pytest.raises(ValueError, match="has no ground head: .* for boxes that it regresses call ground_boxes"):
        model.ground(dict(inputs), questions, [], world_from_camera=torch.eye(4)[None])
    _, words = plain_processor.packed_question_inputs(random_frames(2), QUESTIONS)
    with pytest.raises(ValueError, match=r"questions\[1\] does not end with <ground>"):
        model.ground_boxes(dict(inputs), [questions[0], words[1]])
    with pytest.raises(ValueError, match="first frame is not finite"):
        model.ground_boxes(dict(inputs), questions, world_from_camera=torch.full((1, 4, 4), torch.nan))
    with pytest.raises(ValueError, match="inputs hold no frames"):
        model.ground_boxes({"input_ids": inputs["input_ids"]}, questions)
    assert model.config.location_token_ids == processor.tokenizer("<ground>", add_special_tokens=False).input_ids
