"""Where tokens lie in frames: nothing moves, and nothing comes from elsewhere."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_batches import SIZE, batch_of, build, count_encoder_calls, every_family, every_modality, objective
from tiny_checkpoints import PATCH_SIZE, random_frames
from transformers import Qwen2VLConfig
from transformers.image_processing_utils import select_best_resolution
from transformers.vision_utils import get_vision_window_index

from igep.frame_grids import read_frame_grids, tiled_size, window_order


SIDES = st.integers(1, 9)
PIXELS = st.integers(1, 900)


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


def test_an_encoder_layout_without_a_grid_is_refused():
    model, processor = build("llava_onevision")
    inputs, _, _ = batch_of(processor)
    with pytest.raises(ValueError, match="7 tokens per view, which is not the 4 x 4 grid"):
        read_frame_grids(model.vlm.config, torch.ones(3, 7, 32), inputs, True)
    with pytest.raises(ValueError, match=r"hidden states of shape \(3, 32\)"):
        read_frame_grids(model.vlm.config, torch.ones(3, 32), inputs, True)


def test_window_order_by_hand():
    # One frame of 2 x 3 merge blocks in windows of 2 x 2, then one of 1 x 1: the third column is a window of its own.
    assert window_order(((1, 4, 6), (1, 2, 2)), merge_size=2, window_side=2).tolist() == [0, 1, 3, 4, 2, 5, 6]


@given(
    st.lists(st.tuples(st.integers(1, 3), SIDES, SIDES), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 4)
)
def test_window_order_is_that_of_the_encoder(grids, merge_size, window_side):
    units = tuple((frames, rows * merge_size, columns * merge_size) for frames, rows, columns in grids)
    window_size = window_side * merge_size * PATCH_SIZE
    expected, _ = get_vision_window_index(torch.tensor(units), merge_size, window_size, PATCH_SIZE)
    assert torch.equal(window_order(units, merge_size, window_side), expected)


def test_tiled_size_by_hand():
    pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336]]
    assert tiled_size((400, 900), pinpoints) == (
        336,
        672,
    )  # 298 x 672 pixels survive here and in 672 x 672, with less padding
    assert tiled_size((900, 400), pinpoints) == (1008, 336)
    assert tiled_size((100, 100), pinpoints) == (336, 672), "whole in all of them: the first with the least padding"


@given(PIXELS, PIXELS, st.lists(st.tuples(PIXELS, PIXELS).map(list), min_size=1, max_size=6))
def test_tiled_size_is_that_of_the_processor(height, width, pinpoints):
    assert tiled_size((height, width), pinpoints) == select_best_resolution((height, width), pinpoints)


def test_windows_of_unknown_order_are_refused():
    vision_config = Qwen2VLConfig().vision_config
    vision_config.window_size = 32
    config = SimpleNamespace(model_type="other", vision_config=vision_config)
    inputs = {"image_grid_thw": torch.tensor([[1, 4, 4]])}
    with pytest.raises(ValueError, match="attention windows"):
        read_frame_grids(config, torch.ones(16, 8), inputs, False)
