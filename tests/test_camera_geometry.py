import pytest
import torch
from analytic_scene import AnalyticScene, camera, pose
from hypothesis import given, settings
from hypothesis import strategies as st

from igep.camera_geometry import (
    euclidean_from_z,
    invert_pose,
    pixel_centres,
    project,
    register_depth,
    relative_pose,
    resize_intrinsics,
    transform_points,
    unproject,
    usable_intrinsics,
    usable_pose,
    warp_depth,
    z_from_euclidean,
)


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
ANGLES = st.floats(-80, 80)
POSITIONS = st.floats(-5, 5)
CAMERAS = st.builds(
    lambda fx, fy, cx, cy, skew: torch.tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64),
    st.floats(2, 50),
    st.floats(2, 50),
    st.floats(-3, 12),
    st.floats(-3, 12),
    st.floats(-1, 1),
)
POSES = st.builds(pose, POSITIONS, POSITIONS, POSITIONS, ANGLES, ANGLES)


def random_depth(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.5 + 4 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_first_pixel_centre_is_half_a_pixel_from_the_corner():
    centres = pixel_centres(2, 3)
    assert centres.shape == (2, 3, 2)
    assert centres[0, 0].tolist() == [0.5, 0.5]
    assert centres[1, 2].tolist() == [2.5, 1.5]


@settings(deadline=None, max_examples=40)
@given(SIZES, CAMERAS)
def test_projecting_what_was_unprojected_returns_every_pixel_and_depth(size, intrinsics):
    depth = random_depth(*size)
    pixels, z = project(unproject(depth, intrinsics), intrinsics)
    torch.testing.assert_close(pixels, pixel_centres(*size).double(), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(z, depth)


@settings(deadline=None, max_examples=40)
@given(CAMERAS, SIZES, SIZES)
def test_a_point_keeps_its_relative_place_when_the_image_is_resized(intrinsics, before, after):
    point = torch.tensor([0.3, -0.2, 1.7], dtype=torch.float64)
    pixels, _ = project(point, intrinsics)
    resized, _ = project(point, resize_intrinsics(intrinsics, before, after))
    factor = torch.tensor([after[1] / before[1], after[0] / before[0]], dtype=torch.float64)
    torch.testing.assert_close(resized, pixels * factor)


@settings(deadline=None, max_examples=40)
@given(CAMERAS, SIZES, SIZES)
def test_resizing_back_restores_the_intrinsics(intrinsics, before, after):
    there = resize_intrinsics(intrinsics, before, after)
    torch.testing.assert_close(resize_intrinsics(there, after, before), intrinsics)


def test_halving_the_image_unprojects_the_middle_of_four_pixels_to_the_middle_of_their_points():
    intrinsics, depth = camera(7.0, 8, 6), torch.full((8, 6), 2.0, dtype=torch.float64)
    fine = unproject(depth, intrinsics)
    coarse = unproject(depth[::2, ::2], resize_intrinsics(intrinsics, (8, 6), (4, 3)))
    torch.testing.assert_close(coarse, fine.reshape(4, 2, 3, 2, 3).mean((1, 3)))


@settings(deadline=None, max_examples=40)
@given(POSES)
def test_a_pose_after_its_inverse_is_the_identity(world_from_camera):
    both = invert_pose(world_from_camera) @ world_from_camera
    torch.testing.assert_close(both, torch.eye(4, dtype=torch.float64), atol=1e-9, rtol=0)


@settings(deadline=None, max_examples=40)
@given(POSES, POSES)
def test_relative_pose_carries_camera_points_through_the_world(target, source):
    points = random_depth(5, 3)
    through_world = transform_points(torch.linalg.inv(target), transform_points(source, points))
    torch.testing.assert_close(transform_points(relative_pose(target, source), points), through_world)


def test_inverse_of_a_scaled_pose_is_exact_too():
    scaled = pose(1, 2, 3, 20, -10)
    scaled[:3, :3] *= 2.5
    torch.testing.assert_close(invert_pose(scaled), torch.linalg.inv(scaled))


def test_far_origin_costs_nothing_when_the_poses_are_double():
    offset = torch.zeros(4, 4, dtype=torch.float64)
    offset[:3, 3] = torch.tensor([4e5, 5e6, 100.0])
    target, source = pose(0, 0, 0, 10), pose(0.3, 0, 0.1, -5)
    near, far = relative_pose(target, source), relative_pose(target + offset, source + offset)
    torch.testing.assert_close(far, near, atol=1e-8, rtol=0)


@settings(deadline=None, max_examples=20)
@given(SIZES, CAMERAS)
def test_euclidean_distance_is_the_length_of_the_unprojected_point(size, intrinsics):
    depth = random_depth(*size)
    distance = euclidean_from_z(depth, intrinsics)
    torch.testing.assert_close(distance, unproject(depth, intrinsics).norm(dim=-1))
    torch.testing.assert_close(z_from_euclidean(distance, intrinsics), depth)


def test_leading_dimensions_align_from_the_left():
    intrinsics = torch.stack([camera(5.0, 4, 6), camera(9.0, 4, 6)])
    poses = torch.stack([pose(1, 0, 0), pose(0, 0, 2)])
    depth = random_depth(2, 3, 4, 6)
    points = transform_points(poses, unproject(depth, intrinsics))
    for b in range(2):
        for f in range(3):
            alone = transform_points(poses[b], unproject(depth[b, f], intrinsics[b]))
            torch.testing.assert_close(points[b, f], alone)


def test_usable_cameras_are_finite_and_invertible():
    good = camera(5.0, 4, 4)
    singular, missing, endless = good.clone(), good.clone(), good.clone()
    singular[1, 1], missing[0, 2], endless[0, 0] = 0, torch.nan, torch.inf
    assert usable_intrinsics(torch.stack([good, singular, missing, endless])).tolist() == [True, False, False, False]
    flat, lost = pose(0, 0, 0), torch.full((4, 4), -torch.inf, dtype=torch.float64)
    flat[:3, 2] = 0
    assert usable_pose(torch.stack([pose(1, 2, 3, 40), flat, lost])).tolist() == [True, False, False]


def test_warping_by_the_identity_changes_nothing():
    depth = random_depth(2, 5, 7).float()
    warped = warp_depth(depth, camera(6.0, 5, 7), torch.eye(4), camera(6.0, 5, 7))
    torch.testing.assert_close(warped.target_depth_metres, depth)
    torch.testing.assert_close(warped.pixels, pixel_centres(5, 7).expand(2, 5, 7, 2))
    assert warped.visible.all()


def test_a_sideways_step_shifts_a_wall_by_focal_times_step_over_depth():
    depth = torch.full((4, 10), 2.0)
    to_the_right = torch.eye(4)
    to_the_right[0, 3] = -0.75  # the target stands right of the source: points move left
    warped = warp_depth(depth, camera(8.0, 4, 10), to_the_right, camera(8.0, 4, 10))
    torch.testing.assert_close(warped.pixels[..., 0], pixel_centres(4, 10)[..., 0] - 3)
    assert not warped.in_view[:, :3].any()
    assert warped.visible[:, 3:].all()
    assert (warped.target_depth_metres[:, :7] == 2).all()
    assert (warped.target_depth_metres[:, 7:] == 0).all()


def test_visibility_agrees_with_the_analytic_scene():
    scene, size = AnalyticScene(), (48, 64)
    intrinsics, source, target = camera(60.0, *size), pose(-0.3, 0, 0, 4), pose(0.25, 0.1, 0.1, -5, 3)
    depth = scene.depth_metres(intrinsics, source, *size)
    truth = scene.sees(scene.points_world(intrinsics, source, *size), intrinsics, target, *size)
    warped = warp_depth(depth, intrinsics, relative_pose(target, source), intrinsics)
    assert (warped.in_view & ~truth).sum() > 50, "the scene must hide something for this test to mean anything"
    assert (warped.visible & truth).sum() > 0.98 * truth.sum()
    assert (warped.visible & ~truth).sum() < 0.25 * (warped.in_view & ~truth).sum()
    # What arrived is what the target sees, except where a background pixel slipped through a gap of the splat.
    landed = warped.target_depth_metres > 0
    seen = scene.depth_metres(intrinsics, target, *size)
    assert ((warped.target_depth_metres - seen).abs() < 0.05 * seen)[landed].double().mean() > 0.95


def test_pixels_without_a_measurement_or_a_camera_are_never_in_view_and_give_finite_gradients():
    depth = random_depth(4, 3, 3).float()
    depth[0, 0] = torch.tensor([0.0, torch.nan, torch.inf])
    depth[0, 1, 0] = -1.0
    intrinsics = camera(3.0, 3, 3).expand(4, 3, 3).clone()
    intrinsics[1] = torch.nan
    poses = torch.eye(4).expand(4, 4, 4).clone()
    poses[2], poses[3, :3, :3] = torch.inf, 0
    depth.requires_grad_()
    warped = warp_depth(depth, intrinsics, poses, camera(3.0, 3, 3))
    assert warped.in_view.sum() == 5
    assert warped.in_view[0].tolist() == [[False] * 3, [False, True, True], [True] * 3]
    (warped.depth_metres.sum() + warped.pixels.sum() + warped.target_depth_metres.sum()).backward()
    assert depth.grad.isfinite().all()
    assert (depth.grad[0][warped.in_view[0]] != 0).all()


def test_points_behind_the_camera_are_not_in_view():
    turned = pose(0, 0, 0, 180)
    # The pixel on the optical axis would land in the middle of the image if its sign were forgotten.
    warped = warp_depth(random_depth(3, 3), camera(4.0, 3, 3), turned, camera(4.0, 3, 3))
    assert not warped.in_view.any()
    assert warped.pixels.isfinite().all()
    assert (warped.target_depth_metres == 0).all()


def test_gradients_of_the_warp_are_right():
    depth = random_depth(2, 3, 4).requires_grad_()

    def landing(depth):
        warped = warp_depth(depth, camera(3.0, 3, 4), pose(0.1, -0.05, 0.2, 3), camera(4.0, 3, 4))
        return warped.pixels, warped.depth_metres, warped.target_depth_metres

    assert torch.autograd.gradcheck(landing, (depth,))


def test_autocast_and_half_precision_inputs_do_not_degrade_geometry():
    depth, intrinsics, turn = random_depth(2, 6, 8).float(), camera(7.3, 6, 8).float(), pose(0.1, 0.2, 0.3, 5).float()

    def everything():
        warped = warp_depth(depth, intrinsics, relative_pose(turn, invert_pose(turn)), intrinsics)
        return (*warped, euclidean_from_z(depth, intrinsics), resize_intrinsics(intrinsics, (6, 8), (5, 5)))

    outside = everything()
    with torch.autocast("cpu", torch.bfloat16):
        inside = everything()
    for a, b in zip(outside, inside, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert unproject(depth.bfloat16(), intrinsics.bfloat16()).dtype == torch.float32
    assert unproject(depth.double(), intrinsics).dtype == torch.float64


def test_registered_depth_comes_from_the_nearest_pixel_of_the_depth_camera():
    depth = torch.arange(1.0, 49.0).reshape(6, 8)
    intrinsics = camera(6.0, 6, 8)
    assert torch.equal(register_depth(depth, intrinsics, intrinsics, (6, 8)), depth)
    doubled = register_depth(depth, intrinsics, resize_intrinsics(intrinsics, (6, 8), (12, 16)), (12, 16))
    assert torch.equal(doubled, depth.repeat_interleave(2, 0).repeat_interleave(2, 1))
    third = register_depth(depth, intrinsics, resize_intrinsics(intrinsics, (6, 8), (2, 8)), (2, 8))
    assert torch.equal(third, depth[1::3])


def test_a_wider_colour_camera_has_no_depth_at_its_rim():
    depth = torch.full((6, 8), 2.0)
    wide = register_depth(depth, camera(10.0, 6, 8), camera(4.0, 6, 8), (6, 8))
    v, u = torch.meshgrid(torch.arange(6) + 0.5 - 3, torch.arange(8) + 0.5 - 4, indexing="ij")
    inside = (v.abs() * 2.5 < 3) & (u.abs() * 2.5 < 4)
    assert torch.equal(wide > 0, inside)


@pytest.mark.parametrize("size", [(24, 32), (96, 128)])
def test_depth_registered_across_two_cameras_is_what_the_colour_camera_sees(size):
    scene = AnalyticScene()
    depth_camera, colour_camera = camera(60.0, 48, 64), resize_intrinsics(camera(50.0, 48, 64), (48, 64), size)
    colour_from_depth = pose(0.06, -0.01, 0.02, 1.5)
    depth = scene.depth_metres(depth_camera, pose(0, 0, 0), 48, 64)
    registered = register_depth(depth, depth_camera, colour_camera, size, colour_from_depth)
    truth = scene.depth_metres(colour_camera, invert_pose(colour_from_depth), *size)
    measured = registered > 0
    assert measured.double().mean() > 0.6
    relative = ((registered - truth) / truth)[measured]
    assert (relative.abs() < 0.02).double().mean() > 0.95
    assert relative.median().abs() < 2e-3, "keeping the nearest of several depths would bias slanted surfaces"


def test_registration_drops_invalid_measurements():
    depth = torch.tensor([[torch.nan, torch.inf], [-1.0, 3.0]])
    assert register_depth(depth, camera(2.0, 2, 2), camera(2.0, 2, 2), (2, 2)).tolist() == [[0, 0], [0, 3]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unproject(torch.ones(2, 2), torch.eye(4)), r"intrinsics .* \(4, 4\).*upper left"),
        (lambda: unproject(torch.ones(3), torch.eye(3)), r"depth_metres .* \(3,\)"),
        (lambda: unproject(torch.ones(5, 2, 2), torch.eye(3).expand(4, 3, 3)), r"intrinsics .* \(4,\).*\(5,\)"),
        (lambda: transform_points(torch.eye(3), torch.ones(3)), r"target_from_source .* \(3, 3\)"),
        (lambda: transform_points(torch.eye(4), torch.ones(2)), r"points .* \(2,\)"),
        (lambda: project(torch.ones(4), torch.eye(3)), r"points_camera .* \(4,\)"),
        (lambda: invert_pose(torch.ones(3, 4)), r"pose .* \(3, 4\)"),
        (lambda: relative_pose(torch.eye(4), torch.eye(3)), r"world_from_source .* \(3, 3\)"),
        (lambda: resize_intrinsics(torch.eye(3), (0, 4), (2, 2)), r"from_size .* \(0, 4\)"),
        (lambda: warp_depth(torch.ones(2, 2), torch.eye(3), torch.eye(4), torch.eye(3), (2, 0)), r"target_size"),
        (lambda: register_depth(torch.ones(2, 2), torch.zeros(3, 3), torch.eye(3), (2, 2)), r"depth_intrinsics"),
        (lambda: register_depth(torch.ones(1, 2, 2), torch.eye(3), torch.eye(3), (2, 2)), r"depth_metres"),
        (
            lambda: register_depth(torch.ones(2, 2), torch.eye(3), torch.eye(3), (2, 2), torch.zeros(4, 4)),
            r"colour_from_depth .* invertible",
        ),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_registering_pixels_that_are_not_square_leaves_no_holes():
    """The depth camera resolves twice the colour camera's rows, equally many columns: each axis by its own ratio."""
    depth = torch.full((48, 64), 2.0)
    depth_camera = camera(60.0, 48, 64)
    colour_camera = resize_intrinsics(depth_camera, (48, 64), (24, 64))
    colour_from_depth = pose(0.05, 0, 0)  # the wall moves 1.5 pixels to the right
    registered = register_depth(depth, depth_camera, colour_camera, (24, 64), colour_from_depth)
    assert (registered[:, 2:] == 2).all()
