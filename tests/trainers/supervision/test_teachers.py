"""Teachers: what their descriptors mean, that frozen stays frozen, and clear errors."""

import pytest
import torch
from transformers import (
    BitImageProcessor,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from igep.trainers.supervision.teachers import (
    BackboneTeacher,
    GeometryOracleTeacher,
    PrecomputedTeacher,
    TeacherGeometry,
    write_descriptors,
)


SIZE = 16


def make_geometry(depth_metres: torch.Tensor, frame_mask: torch.Tensor | None = None) -> TeacherGeometry:
    batch, frames = depth_metres.shape[:2]
    intrinsics = torch.tensor([[10.0, 0, SIZE / 2], [0, 10.0, SIZE / 2], [0, 0, 1]]).expand(batch, frames, 3, 3)
    return TeacherGeometry(
        depth_metres=depth_metres,
        intrinsics=intrinsics,
        world_from_camera=torch.eye(4).expand(batch, frames, 4, 4),
        frame_mask=torch.ones(batch, frames, dtype=torch.bool) if frame_mask is None else frame_mask,
        scene_ids=[f"scene {sample}" for sample in range(batch)],
        frame_ids=[[str(frame) for frame in range(frames)] for _ in range(batch)],
    )


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


# ---- geometry oracle


def test_oracle_points_are_those_of_the_depth_map():
    depth = torch.full((1, 2, SIZE, SIZE), 2.0)
    depth[0, 1] = 4.0
    points = GeometryOracleTeacher(grid=SIZE).patch_points(make_geometry(depth))
    assert points.shape == (1, 2, SIZE, SIZE, 3)
    # Pixel (row 0, column 15): centre (15.5, 0.5), focal 10, principal point 8.
    torch.testing.assert_close(points[0, 0, 0, 15], torch.tensor([0.75 * 2, -0.75 * 2, 2.0]))
    torch.testing.assert_close(points[0, 1], 2 * points[0, 0])


def test_oracle_takes_the_median_depth_of_a_patch_on_a_surface():
    depth = torch.full((1, 1, SIZE, SIZE), 2.0)
    depth[0, 0, 0, 0] = 50.0  # one flying pixel
    depth[0, 0, 0, 1] = 0.0  # one invalid pixel
    points = GeometryOracleTeacher(grid=4).patch_points(make_geometry(depth))
    assert (points[..., 2] == 2.0).all()


def test_oracle_is_zero_where_nothing_is_known():
    depth = torch.full((2, 2, SIZE, SIZE), 2.0)
    depth[0, 0, :8, :8] = 0.0
    depth[0, 1, 0, 0] = torch.nan
    mask = torch.tensor([[True, True], [True, False]])
    geometry = make_geometry(depth, mask)
    geometry.intrinsics[0].clone()
    descriptors = GeometryOracleTeacher(grid=2)(None, geometry)
    assert descriptors.isfinite().all()
    norms = descriptors.norm(dim=-1)
    assert norms[0, 0, 0, 0] == 0
    assert (norms[0, 0].flatten()[1:] > 0).all()
    assert (norms[0, 1] > 0).all()
    assert (norms[1, 1] == 0).all()


def test_oracle_unknown_intrinsics_give_no_target():
    geometry = make_geometry(torch.full((1, 1, SIZE, SIZE), 2.0))
    unknown = TeacherGeometry(**(vars(geometry) | {"intrinsics": torch.full((1, 1, 3, 3), torch.nan)}))
    assert (GeometryOracleTeacher(grid=4)(None, unknown) == 0).all()


def test_oracle_closed_form_mean_is_the_mean_over_normal_points():
    """Points drawn from the assumed normal distribution have descriptors of mean zero; without the term they have not."""
    mean, std = (0.2, -0.1, 3.0), (0.7, 0.5, 0.4)
    teacher = GeometryOracleTeacher(grid=1, mean_metres=mean, std_metres=std)
    points = torch.tensor(mean) + torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        std
    )
    phase = points @ teacher.frequencies
    raw = torch.cat([phase.cos(), phase.sin()], -1)
    assert (raw.mean(0) - teacher.mean_descriptor).abs().max() < 0.01
    assert raw.mean(0).norm() > 2


def test_oracle_likeness_falls_with_distance_in_metres():
    teacher = GeometryOracleTeacher(grid=1, num_frequencies=256)

    def at(metres):
        return teacher(None, make_geometry(torch.full((1, 1, SIZE, SIZE), metres))).flatten()

    cosine = [torch.cosine_similarity(at(2.0), at(2.0 + step), dim=0).item() for step in (0.0, 0.3, 1.0, 2.0)]
    assert cosine[0] == pytest.approx(1.0)
    assert cosine[0] > cosine[1] > cosine[2] > cosine[3]


def test_oracle_is_the_same_every_time():
    geometry = make_geometry(torch.rand(1, 2, SIZE, SIZE) + 1)
    assert torch.equal(GeometryOracleTeacher()(None, geometry), GeometryOracleTeacher()(None, geometry))


def test_oracle_keeps_its_precision_under_autocast():
    geometry = make_geometry(torch.rand(1, 2, SIZE, SIZE) + 1)
    expected = GeometryOracleTeacher()(None, geometry)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(GeometryOracleTeacher()(None, geometry), expected)


def test_oracle_grid_that_does_not_divide_the_depth_map():
    with pytest.raises(ValueError, match="geometry_size=16x16 is not divisible by the oracle's grid of 5"):
        GeometryOracleTeacher(grid=5)(None, make_geometry(torch.ones(1, 1, SIZE, SIZE)))
    with pytest.raises(ValueError, match="grid=0"):
        GeometryOracleTeacher(grid=0)


# ---- backbone


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


# ---- precomputed


def test_precomputed_round_trip_by_scene_frame_and_transform(tmp_path):
    geometry = make_geometry(torch.ones(2, 3, SIZE, SIZE), torch.tensor([[True] * 3, [True, True, False]]))
    geometry = TeacherGeometry(**(vars(geometry) | {"frame_ids": [["2", "0", "1"], ["1", "0"]]}))
    written = torch.randn(2, 3, 4, 5, 6)
    for sample, scene_id in enumerate(geometry.scene_ids):
        write_descriptors(tmp_path, scene_id, ["0", "1"], written[sample, :2])
        write_descriptors(tmp_path, scene_id, ["2"], written[sample, 2:])  # added to the same file
        write_descriptors(tmp_path, scene_id, ["0"], torch.zeros(1, 4, 5, 6), transform="flip")
    teacher = PrecomputedTeacher(tmp_path, open_files=1)
    assert teacher.channels == 6
    for _ in range(2):
        descriptors = teacher(None, geometry)
        assert torch.equal(descriptors[0], written[0, [2, 0, 1]])
        assert torch.equal(descriptors[1, :2], written[1, [1, 0]])
        assert (descriptors[1, 2] == 0).all()
    assert not list(tmp_path.glob("*.part"))


def test_precomputed_scene_ids_cannot_leave_the_folder(tmp_path):
    path = write_descriptors(tmp_path / "store", "../../etc/passwd", ["0"], torch.zeros(1, 2, 2, 3))
    assert path.parent == tmp_path / "store"


def test_precomputed_missing_entries_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="write_descriptors"):
        PrecomputedTeacher(tmp_path)
    write_descriptors(tmp_path, "scene 0", ["0"], torch.zeros(1, 2, 2, 3))
    geometry = make_geometry(torch.ones(1, 2, SIZE, SIZE))
    with pytest.raises(KeyError, match="'1/resize'.*frame '1' of scene 'scene 0'"):
        PrecomputedTeacher(tmp_path)(None, geometry)
    with pytest.raises(KeyError, match="transform 'flip'"):
        PrecomputedTeacher(tmp_path, transform="flip")(None, geometry)
    with pytest.raises(FileNotFoundError, match="scene 'other'"):
        PrecomputedTeacher(tmp_path)(None, TeacherGeometry(**(vars(geometry) | {"scene_ids": ["other"]})))


def test_bad_descriptors_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"\(2, 2, 3\) for 1 frames"):
        write_descriptors(tmp_path, "scene", ["0"], torch.zeros(2, 2, 3))
    with pytest.raises(ValueError, match="not all finite"):
        write_descriptors(tmp_path, "scene", ["0"], torch.full((1, 2, 2, 3), torch.nan))
    assert not list(tmp_path.iterdir())
