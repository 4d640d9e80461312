"""3D positions of visual tokens: closed forms, and that a model reading them does so wherever it looks at frames."""

import math

import pytest
import torch
from analytic_scene import POSES, AnalyticScene, camera
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import FAMILIES, random_frames
from transformers import AutoModelForImageTextToText

from igep.frame_grids import FrameGrids
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.position_encoding import add_positions, cell_points, sin3d, voxel_indices
from igep.processing_igep import IGEPProcessor


RANGE = (15.0, 15.0, 5.0)
SIZE = (16, 24)
OPTIONS = {"voxel_metres": 0.1, "range_metres": RANGE}


# ---- Closed forms


def test_voxels_count_from_the_lower_end_and_stop_at_the_ends():
    points = torch.tensor([[0.0, 0.0, 0.0], [20.0, -20.0, 9.0], [0.04, -0.06, 0.16]])
    assert voxel_indices(points, 0.1, RANGE).tolist() == [[150, 150, 50], [300, 0, 100], [150, 149, 52]]


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(-20, 20)] * 3), st.integers(0, 10**6))
def test_a_step_of_whole_voxels_moves_the_indices_by_as_much(step, seed):
    points = torch.rand(8, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    moved = points + torch.tensor(step, dtype=torch.float64) / 10
    difference = voxel_indices(moved, 0.1, RANGE) - voxel_indices(points, 0.1, RANGE)
    assert (difference - torch.tensor(step)).abs().max() <= 1  # a point in the middle of two voxels may go either way
    assert (difference == torch.tensor(step)).double().mean() > 0.9


def test_sines_and_cosines_of_each_axis():
    """Four channels an axis: wavelengths 1 and 10000^(1/2), a sine and a cosine of each; the rest is zero."""
    found = sin3d(torch.tensor([3.0, 0.0, 50.0]), 14)
    expected = [f(index / scale) for index in (3, 0, 50) for scale in (1, 100) for f in (math.sin, math.cos)]
    torch.testing.assert_close(found, torch.tensor([*expected, 0, 0]))


def test_the_length_of_every_encoding_at_the_width_of_qwen2_7b():
    """3584 = 3 x 1194 + 2 channels: 597 pairs an axis, each of length 1."""
    encoding = sin3d(torch.tensor([[0.0, 0, 0], [300, 17, 99]]), 3584)
    torch.testing.assert_close(encoding.square().sum(-1), torch.full((2,), 3 * 597.0))
    assert (encoding[:, -2:] == 0).all()


def test_cells_add_up_their_measured_points_and_leave_out_what_no_patch_covers():
    points = torch.arange(4.0)[None, :, None, None].expand(1, 4, 4, 3)  # its row
    measured = torch.ones(1, 4, 4, dtype=torch.bool)
    measured[0, 0, 0] = False
    sums, counts = cell_points(points, measured, (2, 2))
    assert counts.tolist() == [[[3, 4], [4, 4]]]
    assert sums[0, :, :, 0].tolist() == [[0 + 1 + 1, 0 + 0 + 1 + 1], [10, 10]]
    _, counts = cell_points(
        points, measured, (3, 1), covered=(0.75, 0.5)
    )  # the last row and the right half are left out
    assert counts[0, :, 0].tolist() == [1, 2, 2]


def test_depth_that_is_coarser_than_the_tokens_is_refused():
    with pytest.raises(ValueError, match="coarser than the 5 x 2 visual tokens.*geometry_size"):
        cell_points(torch.zeros(1, 4, 4, 3), torch.ones(1, 4, 4, dtype=torch.bool), (5, 2))


def wall(frames: int = 2, size: tuple[int, int] = SIZE) -> tuple[dict, torch.Tensor]:
    """Geometry of the first frames of the analytic scene, a batch of one, and the world point of every pixel."""
    scene, intrinsics = AnalyticScene(), camera(20.0, *size)
    poses = POSES[torch.arange(frames) % len(POSES)]
    depth = torch.stack([scene.depth_metres(intrinsics, pose, *size) for pose in poses])
    points = torch.stack([scene.points_world(intrinsics, pose, *size) for pose in poses])
    geometry = {
        "depth_metres": depth[None].float(),
        "intrinsics": intrinsics.float().expand(1, frames, 3, 3),
        "world_from_camera": poses[None].float(),
        "frame_mask": torch.ones(1, frames, dtype=torch.bool),
    }
    return geometry, points


def grids(frames: int = 2, patch: int = 1) -> FrameGrids:
    return FrameGrids(((frames, 4, 6),), patch, 1, flat=True, is_video=True)


def test_a_token_gets_the_mean_point_of_its_cell():
    geometry, points = wall()
    (moved,) = add_positions([torch.zeros(48, 30)], grids(), torch.arange(2), geometry, **OPTIONS)
    means = points.unflatten(1, (4, 4)).unflatten(3, (6, 4)).mean((2, 4)).flatten(0, 2)  # (48, 3)
    torch.testing.assert_close(moved, sin3d(voxel_indices(means.float(), 0.1, RANGE), 30))


def test_frames_that_an_encoder_merges_share_their_mean_point():
    geometry, points = wall()
    (moved,) = add_positions([torch.zeros(24, 30)], grids(1, 2), torch.arange(2), geometry, **OPTIONS)
    means = points.unflatten(1, (4, 4)).unflatten(3, (6, 4)).mean((0, 2, 4)).flatten(0, 1)  # (24, 3)
    torch.testing.assert_close(moved, sin3d(voxel_indices(means.float(), 0.1, RANGE), 30))


def test_tokens_without_depth_pose_or_place_stay_what_they_are():
    geometry, _ = wall()
    geometry["depth_metres"][0, 0, :4, :4] = 0
    geometry["world_from_camera"] = geometry["world_from_camera"].clone()
    geometry["world_from_camera"][0, 1] = torch.nan
    tokens = torch.randn(49, 30)
    layout = FrameGrids(((2, 4, 6),), 1, 1, flat=False, is_video=True)
    (moved,) = add_positions([tokens], layout, torch.arange(2), geometry, **OPTIONS)
    same = (moved == tokens).all(-1)
    assert same.tolist() == [True] + [False] * 23 + [True] * 25  # the last is the separator of the video


def test_positions_are_float32_under_autocast_and_in_bfloat16_models():
    geometry, _ = wall()
    (exact,) = add_positions([torch.zeros(48, 30)], grids(), torch.arange(2), geometry, **OPTIONS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (inside,) = add_positions([torch.zeros(48, 30)], grids(), torch.arange(2), geometry, **OPTIONS)
    (rounded,) = add_positions([torch.zeros(48, 30).bfloat16()], grids(), torch.arange(2), geometry, **OPTIONS)
    assert torch.equal(inside, exact)
    assert torch.equal(rounded, exact.bfloat16())


# ---- The model


@pytest.fixture(scope="module")
def models(checkpoint_folders):
    return {
        family: (
            IGEPForConditionalGeneration.from_base(folder, position_encoding="sin3d").eval(),
            IGEPProcessor.from_base(folder),
        )
        for family, folder in checkpoint_folders.items()
    }


def asked(processor, frames_as="video", frames=2):
    return processor.question_inputs(random_frames(frames), "How far?", frames_as=frames_as)


CASES = [*((family, "video") for family in FAMILIES), ("qwen3_vl", "images"), ("qwen2_5_vl", "images")]


@pytest.mark.parametrize(("family", "frames_as"), CASES)
def test_all_ways_into_the_model_add_the_same_positions(models, family, frames_as):
    model, processor = models[family]
    inputs, (geometry, _) = asked(processor, frames_as), wall()
    (modality,) = encoded = model.encode_vision(**inputs, **geometry)
    plain = model.vlm
    given = {name: value for name, value in inputs.items() if not name.startswith("pixel_values")}
    logits = plain(**given, mm_encoder_outputs=encoded).logits
    assert torch.equal(model(**inputs, **geometry).logits, logits)
    assert not torch.allclose(plain(**inputs).logits, logits)
    labels = inputs["input_ids"].clone()
    trained = model(**inputs, **geometry, labels=labels)
    torch.testing.assert_close(trained.logits, logits[0, :-1])
    answer = model.generate(**inputs, **geometry, max_new_tokens=3, do_sample=False)
    assert answer[0, inputs["input_ids"].shape[1]] == logits[0, -1].argmax()
    assert set(encoded) == {modality}


def test_the_positions_of_the_model_are_those_of_its_tokens(models):
    model, processor = models["llava_onevision"]
    inputs, (geometry, points) = asked(processor), wall()
    moved = model.encode_vision(**inputs, **geometry)["video"].pooler_output
    model.config.position_encoding = "none"
    plain = model.encode_vision(**inputs)["video"].pooler_output
    model.config.position_encoding = "sin3d"
    means = (
        points.unflatten(1, (2, 8)).unflatten(3, (2, 12)).mean((2, 4)).flatten(0, 2)
    )  # 4 x 4 patches, pooled to 2 x 2
    expected = sin3d(voxel_indices(means.float(), 0.1, RANGE), plain.shape[-1])
    torch.testing.assert_close(moved[0, :8] - plain[0, :8], expected)
    assert torch.equal(moved[0, 8], plain[0, 8])


def test_frames_without_geometry_are_refused_with_the_remedy(models):
    model, processor = models["qwen3_vl"]
    inputs, (geometry, _) = asked(processor), wall()
    labels = inputs["input_ids"].clone()
    calls = (
        lambda: model(**inputs),
        lambda: model(**inputs, labels=labels),
        lambda: model.generate(**inputs, max_new_tokens=1),
        lambda: model.encode_vision(**inputs),
    )
    for call in calls:
        with pytest.raises(ValueError, match="cannot look at frames without depth_metres.*igep score"):
            call()
    with pytest.raises(ValueError, match="without world_from_camera"):
        model(**inputs, **(geometry | {"world_from_camera": None}))


def test_images_that_are_padded_or_tiled_are_refused(models):
    model, processor = models["llava_onevision"]
    geometry, _ = wall()
    with pytest.raises(ValueError, match="padded to a square.*frames_as to video"):
        model.encode_vision(**asked(processor, "images"), **geometry)
    alone, _ = wall(frames=1)
    with pytest.raises(ValueError, match="cuts images into tiles"):
        model.encode_vision(**asked(processor, "images", frames=1), **alone)


def test_a_saved_model_reads_positions_with_its_own_code(models, tmp_path):
    model, processor = models["llava_onevision"]
    model.save_pretrained(tmp_path)
    assert (tmp_path / "position_encoding.py").is_file()
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path, trust_remote_code=True)
    inputs, (geometry, _) = asked(processor), wall()
    expected = model.generate(**inputs, **geometry, max_new_tokens=4, do_sample=False)
    assert torch.equal(loaded.generate(**inputs, **geometry, max_new_tokens=4, do_sample=False), expected)
    assert loaded.config.position_encoding == "sin3d"
    assert loaded.num_parameters() == model.vlm.num_parameters()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_encoding", "learned"),
        ("position_voxel_metres", 0.0),
        ("position_range_metres", [15.0, 15.0]),
        ("position_range_metres", [15.0, 15.0, -5.0]),
    ],
)
def test_bad_values_name_the_field(checkpoint_folders, field, value):
    with pytest.raises(ValueError, match=field):
        IGEPForConditionalGeneration.from_base(checkpoint_folders["llava_onevision"], **{field: value})
