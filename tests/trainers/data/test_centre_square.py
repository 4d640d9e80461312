"""The centre square: the crop of the processor, of depth and of cameras are one."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import SlantedWalls

from igep.camera_geometry import unproject
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.centre_square import centre_square, crop_to_centre, crops_to_centre
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.geometry_batch import seen_in_square


def test_points_stay_where_they_are():
    example = SlantedWalls()[0]  # frames of 32 x 48, depth of 16 x 24
    square = centre_square(example)
    assert {frame.size for frame in square.frames} == {(32, 32)}
    assert square.depth_metres.shape == (2, 16, 16)
    whole = unproject(torch.from_numpy(example.depth_metres), torch.from_numpy(example.intrinsics))
    cut = unproject(torch.from_numpy(square.depth_metres), torch.from_numpy(square.intrinsics))
    torch.testing.assert_close(cut, whole[:, :, 4:20])
    assert np.array_equal(np.asarray(square.frames[0]), np.asarray(example.frames[0])[:, 8:40])


def test_a_tall_frame_and_a_sample_without_depth():
    example = SlantedWalls()[0]
    tall = dataclasses.replace(
        example,
        frames=tuple(frame.transpose(Image.Transpose.ROTATE_90) for frame in example.frames),
        depth_metres=None,
    )
    square = centre_square(tall)
    assert {frame.size for frame in square.frames} == {(32, 32)}
    assert square.intrinsics is None


def test_the_processor_shows_the_square_and_is_saved_that_way(checkpoint_folders, tmp_path):
    processor = IGEPProcessor.from_base(checkpoint_folders["llava_onevision"])
    assert not crops_to_centre(processor)
    crop_to_centre(processor)
    crop_to_centre(processor)  # a second time changes nothing
    processor.save_pretrained(tmp_path)
    loaded = IGEPProcessor.from_base(type(processor.base_processor).from_pretrained(tmp_path))
    assert crops_to_centre(loaded)
    example = SlantedWalls()[0]
    whole = loaded.question_inputs(list(example.frames), "?")["pixel_values_videos"]
    plain = IGEPProcessor.from_base(checkpoint_folders["llava_onevision"])
    cut = plain.question_inputs(list(centre_square(example).frames), "?")["pixel_values_videos"]
    assert torch.equal(whole, cut)


def test_the_collator_crops_geometry_and_the_teachers_frames_alike(checkpoint_folders):
    processor = IGEPProcessor.from_base(checkpoint_folders["llava_onevision"])
    crop_to_centre(processor)
    example = SlantedWalls()[0]
    batch = IGEPDataCollator(processor, (16, 16), teacher_frame_size=(32, 32), carries_colours=True)([example])
    square = centre_square(example)
    assert torch.equal(batch["depth_metres"][0], torch.from_numpy(square.depth_metres))
    assert torch.equal(batch["intrinsics"][0], torch.from_numpy(square.intrinsics))
    assert np.array_equal(batch["teacher_frames"][0, 0].permute(1, 2, 0).numpy(), np.asarray(square.frames[0]))
    colours = np.asarray(square.frames[0].resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(batch["frame_colours"][0, 0].permute(1, 2, 0).numpy(), colours)


def test_what_a_model_is_given_in_use_is_what_it_trained_on(checkpoint_folders):
    processor = IGEPProcessor.from_base(checkpoint_folders["llava_onevision"])
    crop_to_centre(processor)
    example = SlantedWalls()[1]
    batch = IGEPDataCollator(processor, (16, 24), position_range_metres=(15.0, 15.0, 5.0))([example])
    given = seen_in_square(example, (16, 24))
    assert given.frames == example.frames
    for name in ("depth_metres", "intrinsics"):
        assert np.array_equal(vars(given)[name], batch[name][0].numpy())
    np.testing.assert_allclose(given.world_from_camera, batch["world_from_camera"][0].numpy(), atol=1e-6)


def test_a_base_that_sees_frames_in_their_own_shape_has_nothing_to_crop(checkpoint_folders):
    with pytest.raises(ValueError, match="no square of one size: set centre_crop to false"):
        crop_to_centre(IGEPProcessor.from_base(checkpoint_folders["qwen3_vl"]))
