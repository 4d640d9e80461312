"""Focal unification: the released reference case, closed forms of the geometry, and cameras that cannot be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from igep import focal_unification
from igep.camera_geometry import project
from igep.focal_unification import (
    estimate_intrinsics,
    intrinsics_from_field_of_view,
    unified_size,
    unify_focal_length,
)


def camera(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def gradient(width, height):
    """An image whose red is the column and whose green is the row."""
    ramp = np.zeros((height, width, 3), dtype=np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width)
    ramp[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(ramp)


RELEASED = camera(902.4662475585938, 901.3929443359375, 511.38848876953125, 383.7367858886719)


def test_released_reference_case():
    view = unify_focal_length(Image.new("RGB", (1024, 768)), RELEASED, mode="fx")
    assert view.frame.size == (1134, 851)
    # The release's intrinsics are those before the sides became whole.
    released = camera(1000, 998.8106998731977, 566.6566369135359, 425.2090168765644)
    np.testing.assert_allclose(np.diag([*view.scale, 1]) @ RELEASED, released, rtol=1e-12)
    np.testing.assert_allclose(view.intrinsics, released, rtol=1e-3)
    np.testing.assert_allclose(view.intrinsics, np.diag([*view.factors, 1]) @ RELEASED, rtol=1e-12)


def test_each_axis_by_its_own_factor():
    view = unify_focal_length(Image.new("RGB", (1024, 768)), RELEASED)
    assert view.frame.size == (1134, 852)
    assert view.intrinsics[0, 0] == pytest.approx(1000, abs=1)
    assert view.intrinsics[1, 1] == pytest.approx(1000, abs=1)
    assert view.scale == pytest.approx((1000 / 902.4662475585938, 1000 / 901.3929443359375))


def test_the_sizes_of_the_released_samples():
    """What the authors' label files say of their images; the pose sample's camera is worked out from both sizes."""
    pose = camera(750 * 1752 / 2830.5, 750 * 1168 / 1884.5, 876, 584)
    depth = {"size": (1168, 1752), "intrinsics": pose}
    assert unified_size(**depth, focal_pixels=750) == (1884, 2830)
    assert unified_size(**depth, focal_pixels=750, mode="fx") != (1884, 2830)  # so not by fx alone
    assert unified_size((768, 1024), RELEASED, mode="fx") == (851, 1134)
    eth3d = camera(500, 500, 300, 200)
    assert unified_size((400, 600), eth3d, focal_pixels=None, longest_side=1024) == (683, 1024)
    assert unified_size((400, 600), eth3d, longest_side=1024) == (683, 1024)
    with pytest.raises(ValueError, match="longest_side=0 must be at least 1"):
        unified_size((400, 600), eth3d, longest_side=0)


@pytest.mark.parametrize("options", [{}, {"mode": "fx"}, {"longest_side": 37}, {"max_pixels": 200}])
def test_size_without_the_image(options):
    for width, height, focal in ((40, 31, 37.0), (17, 60, 23.0)):
        intrinsics = camera(focal, focal * 1.07, width / 2.1, height / 1.9)
        view = unify_focal_length(Image.new("RGB", (width, height)), intrinsics, focal_pixels=41, **options)
        assert unified_size((height, width), intrinsics, focal_pixels=41, **options) == view.frame.size[::-1]


def test_pixels_as_the_release_writes_them():
    """Depth labels: `int(u s)`; correspondence: `u s`; of 0-based columns and rows, over the image's whole size."""
    intrinsics, size = camera(559.62, 558.14, 361.87, 241.99), (640, 480)
    index = np.stack(np.meshgrid([0, 1, 17, 318, 639], [0, 2, 55, 479]), -1).reshape(-1, 2)
    factor = 1000 / 559.62
    for mapping, wanted in (("exact", index * factor), ("truncate", np.floor(index * factor))):
        view = unify_focal_length(
            Image.new("RGB", size), intrinsics, mode="fx", pixel_mapping=mapping, pixels=index + 0.5
        )
        assert view.frame.size == (1143, 857)
        np.testing.assert_allclose(view.pixels - 0.5, wanted.clip(max=np.array(view.frame.size) - 0.5), atol=1e-6)
        assert view.inside.all()
        lost = 1 / factor if mapping == "truncate" else 1e-9
        inner = (index < np.array(size) - 1).all(1)
        assert np.abs(view.read_pixels(view.pixels) - index - 0.5)[inner].max() < lost
    with pytest.raises(ValueError, match="pixel_mapping='round' is unknown"):
        unify_focal_length(Image.new("RGB", size), intrinsics, pixel_mapping="round")


def test_pose_focal_length_and_no_change():
    frame = gradient(1000, 600)
    assert unify_focal_length(frame, camera(500, 500, 500, 300), focal_pixels=750).frame.size == (1500, 900)
    same = unify_focal_length(frame, camera(500, 500, 500, 300), focal_pixels=None)
    assert same.frame is frame
    assert same.factors == (1, 1)


def test_sides_that_are_whole_lose_no_pixel_to_rounding():
    # 0.7 / 0.1 is 6.999999999999999 in floating point.
    assert unify_focal_length(gradient(10, 10), camera(0.1, 0.1, 5, 5), focal_pixels=0.7).frame.size == (70, 70)
    rendered = float(np.float32(51.2))  # a little more than 51.2
    assert rendered > 51.2
    assert unify_focal_length(gradient(64, 64), camera(rendered, rendered, 32, 32), focal_pixels=51.2).frame.size == (
        64,
        64,
    )


@given(
    st.integers(20, 200),
    st.integers(20, 200),
    st.floats(30, 300),
    st.floats(30, 300),
    st.floats(40, 200),
    st.sampled_from(["both", "fx"]),
    st.data(),
)
def test_points_and_rays_move_together(width, height, fx, fy, focal, mode, data):
    """A 3D point projects to the same content before and after, exactly, however the sides were truncated."""
    intrinsics = camera(fx, fy, width / 2, height / 2)
    x, y = (data.draw(st.floats(0, side)) for side in (width, height))
    view = unify_focal_length(
        Image.new("RGB", (width, height)), intrinsics, focal_pixels=focal, mode=mode, pixels=np.array([x, y])
    )
    point = np.array([(x - width / 2) / fx, (y - height / 2) / fy, 1.0])
    projected, _ = project(torch.from_numpy(point)[None].float(), torch.from_numpy(view.intrinsics).float())
    assert np.abs(projected[0].numpy() - view.pixels).max() < 1e-3
    assert view.inside
    np.testing.assert_allclose(view.to_original(view.pixels), [x, y], atol=1e-9)


def test_a_point_on_the_edge_stays_on_it():
    # 158 * (361 / 158) is a little more than 361 in floating point.
    view = unify_focal_length(
        Image.new("RGB", (20, 158)), camera(30, 69, 10, 79), focal_pixels=158, pixels=np.array([20.0, 158.0])
    )
    assert view.inside
    assert view.pixels.tolist() == [105, 361]


def test_image_content_moves_with_the_points():
    frame = gradient(64, 48)
    view = unify_focal_length(
        frame, camera(50, 80, 32, 24), focal_pixels=100, pixels=np.array([[16.0, 12.0], [48.0, 36.0]])
    )
    assert view.frame.size == (128, 60)
    for before, after in zip([[16, 12], [48, 36]], view.pixels, strict=True):
        expected = np.array(frame.getpixel(tuple(before)))
        found = np.array(view.frame.getpixel(tuple(int(value) for value in after)))
        assert np.abs(expected - found).max() <= 6


def test_crop_to_a_budget_shifts_the_principal_point():
    frame = gradient(200, 100)
    pixels = np.array([[100.0, 50.0], [1.0, 50.0], [120.0, 60.0]])
    view = unify_focal_length(frame, camera(100, 100, 100, 50), focal_pixels=100, max_pixels=5000, pixels=pixels)
    assert view.frame.size == (100, 50)
    assert view.intrinsics[:2, 2].tolist() == [50, 25]
    assert view.inside.tolist() == [True, False, True]
    assert view.pixels[0].tolist() == [50, 25]
    np.testing.assert_allclose(view.to_original(view.pixels), pixels)
    assert view.frame.getpixel((0, 0)) == frame.getpixel((50, 25))
    whole = unify_focal_length(frame, camera(100, 100, 100, 50), focal_pixels=100, max_pixels=20_000)
    assert whole.frame.size == (200, 100)


def test_canvas_crops_and_pads():
    wide = gradient(100, 40)
    view = unify_focal_length(
        wide,
        camera(50, 50, 50, 20),
        focal_pixels=50,
        canvas_size=(60, 60),
        depth_metres=np.full((20, 50), 2.0, dtype=np.float32),
        boxes=np.array([[10.0, 10.0, 30.0, 30.0], [0.0, 0.0, 5.0, 5.0]]),
    )
    assert view.frame.size == (60, 60)
    assert view.offset == (20, -10)
    assert view.frame.getpixel((30, 5)) == (0, 0, 0)
    assert view.frame.getpixel((0, 10)) == wide.getpixel((20, 0))
    assert view.intrinsics[:2, 2].tolist() == [30, 30]
    assert view.depth_metres.shape == (30, 30)
    assert (view.depth_metres[:5] == 0).all()
    assert (view.depth_metres[5:25] == 2).all()
    assert view.boxes.tolist() == [[0, 20, 10, 40], [0, 10, 0, 15]]


def test_depth_keeps_values_and_resolution_and_is_cut_like_the_image():
    depth = np.arange(6 * 8, dtype=np.float32).reshape(6, 8)
    args = (gradient(80, 60), camera(100, 100, 40, 30))
    assert unify_focal_length(*args, focal_pixels=250, depth_metres=depth).depth_metres is depth
    cut = unify_focal_length(*args, focal_pixels=100, canvas_size=(20, 40), depth_metres=depth)
    np.testing.assert_array_equal(cut.depth_metres, depth[2:4, 2:6])


# ---- Unknown cameras


def test_field_of_view():
    intrinsics = intrinsics_from_field_of_view((480, 640), 90)
    np.testing.assert_allclose(intrinsics, camera(320, 320, 320, 240))
    for angle in (0, 180, -3, np.nan):
        with pytest.raises(ValueError, match="between 0 and 180"):
            intrinsics_from_field_of_view((480, 640), angle)


def test_any_callable_calibrates():
    intrinsics = estimate_intrinsics(Image.new("RGB", (640, 480)), lambda frame: 90.0)
    np.testing.assert_allclose(intrinsics, camera(320, 320, 320, 240))
    with pytest.raises(ValueError, match="between 0 and 180"):
        estimate_intrinsics(Image.new("RGB", (640, 480)), lambda frame: 200.0)


def test_without_a_calibrator_one_warning(monkeypatch):
    said = []
    monkeypatch.setattr(focal_unification.logger, "warning", lambda text: said.append(text))
    focal_unification.logger.warning_once.cache_clear()
    for _ in range(3):
        intrinsics = estimate_intrinsics(Image.new("RGB", (600, 400)))
    assert intrinsics[0, 0] == pytest.approx(300 * 3**0.5)
    (warning,) = said
    assert "60 degrees" in warning


# ---- Cameras that cannot be


@pytest.mark.parametrize(
    ("intrinsics", "options", "message"),
    [
        (camera(0, 100, 40, 30), {}, "focal lengths 0 and 100 must be positive"),
        (camera(100, -1, 40, 30), {}, "must be positive"),
        (camera(np.nan, 100, 40, 30), {}, "finite"),
        (np.eye(4), {}, "3 x 3"),
        (camera(100, 100, 320, 240), {}, "principal point.*outside the image of 80 x 60"),
        (camera(100, 100, 40, 30), {"intrinsics_size": (480, 640)}, "for an image of 640 x 480.*this one has 80 x 60"),
        (camera(100, 100, 40, 30), {"focal_pixels": 0}, "focal_pixels=0"),
        (camera(100, 100, 40, 30), {"focal_pixels": np.inf}, "focal_pixels=inf"),
        (camera(0.1, 0.1, 40, 30), {}, "800000 x 600000"),
        (camera(1e6, 1e6, 40, 30), {"focal_pixels": 1.0}, "0 x 0"),
        (camera(100, 100, 40, 30), {"mode": "fy"}, "mode='fy'"),
        (camera(100, 100, 40, 30), {"max_pixels": 0, "focal_pixels": None}, "max_pixels=0"),
        (camera(100, 100, 40, 30), {"canvas_size": (0, 3), "focal_pixels": None}, "canvas_size"),
        (camera(100, 100, 40, 30), {"canvas_size": (3, 3), "max_pixels": 9}, "exclude each other"),
        (camera(100, 100, 40, 30), {"pixels": np.array([[1.0, 1], [81, 2]])}, "\\[81.0, 2.0\\] is outside"),
        (camera(100, 100, 40, 30), {"boxes": np.array([[9.0, 1, 2, 5]])}, "x1 < x2"),
    ],
)
def test_bad_cameras_are_named(intrinsics, options, message):
    with pytest.raises(ValueError, match=message):
        unify_focal_length(gradient(80, 60), intrinsics, **options)


def test_a_budget_that_is_not_reached_changes_nothing():
    frame = gradient(30, 20)
    view = unify_focal_length(frame, camera(50, 50, 15, 10), focal_pixels=50, max_pixels=10_000)
    assert view.frame.size == (30, 20)
    assert view.offset == (0, 0)
    assert view.intrinsics[:2, 2].tolist() == [15, 10]


def test_boxes_are_clipped_to_the_width_and_the_height_each():
    wide = unify_focal_length(
        gradient(200, 40), camera(50, 50, 100, 20), focal_pixels=50, boxes=np.array([[150.0, 10.0, 190.0, 30.0]])
    )
    assert wide.boxes.tolist() == [[150, 10, 190, 30]]
    cropped = unify_focal_length(
        gradient(200, 40),
        camera(50, 50, 100, 20),
        focal_pixels=50,
        canvas_size=(20, 120),
        boxes=np.array([[150.0, 0.0, 190.0, 39.0]]),
    )
    assert cropped.boxes.tolist() == [[110, 0, 120, 20]]
