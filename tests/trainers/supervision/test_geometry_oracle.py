"""The geometry oracle: what its descriptors mean, and where there are none."""

import pytest
import torch
from teacher_geometry import SIZE, make_geometry

from igep.trainers.supervision.geometry_oracle import GeometryOracleTeacher
from igep.trainers.supervision.teacher import TeacherGeometry


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
    """Points of the assumed normal distribution have descriptors of mean zero; without the term they have not."""
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


def test_a_grid_that_does_not_divide_the_depth_map_shares_pixels_between_patches():
    """16 rows in 5 patches: the second touches rows 3 to 6, the first ends within row 3."""
    depth = (1.0 + torch.arange(SIZE)).expand(SIZE, SIZE).mT[None, None]
    points = GeometryOracleTeacher(grid=5).patch_points(make_geometry(depth))
    # The lower median of the depths 1 to 4, 4 to 7, 7 to 10, 10 to 13, 13 to 16, the same in every column.
    assert points[0, 0, ..., 2].tolist() == [[median] * 5 for median in (2.0, 5.0, 8.0, 11.0, 14.0)]
    finer = GeometryOracleTeacher(grid=3 * SIZE)(None, make_geometry(depth))
    assert finer.shape[2:4] == (3 * SIZE, 3 * SIZE)
    assert (finer.norm(dim=-1) > 0).all()


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="grid=0"):
        GeometryOracleTeacher(grid=0)
