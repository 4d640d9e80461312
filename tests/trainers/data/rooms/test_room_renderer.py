import math
import time

import pytest
import torch

from igep.camera_geometry import relative_pose, transform_points, unproject, warp_depth
from igep.trainers.data.rooms.room_renderer import BOX, CYLINDER, SPHERE, RoomSpec, render_rooms, sample_layout


def rendered(num_rooms=32, seed=0, **spec):
    spec = RoomSpec(**spec)
    generator = torch.Generator().manual_seed(seed)
    return render_rooms(sample_layout(num_rooms, spec, generator), spec, generator)


def world_points(rooms):
    intrinsics = rooms.layout.intrinsics[:, None].expand(-1, rooms.frames.shape[1], -1, -1)
    return transform_points(rooms.layout.world_from_camera, unproject(rooms.depth_metres, intrinsics))


def test_every_point_lies_on_the_surface_it_claims():
    rooms = rendered()
    points, layout = world_points(rooms).double(), rooms.layout
    extent = layout.extent.double()[:, None, None, None]
    shell = torch.stack([points.abs(), (extent - points).abs()]).amin((0, -1))
    assert shell[rooms.object_index < 0].max() < 1e-4
    for room, slot in layout.exists.nonzero().tolist():
        mine = points[room][rooms.object_index[room] == slot]
        if len(mine) == 0:
            continue
        yaw, half = layout.yaw[room, slot], layout.size[room, slot].double() / 2
        offset = mine - layout.centre[room, slot].double()
        x = offset[:, 0] * math.cos(yaw) + offset[:, 1] * math.sin(yaw)
        y = offset[:, 1] * math.cos(yaw) - offset[:, 0] * math.sin(yaw)
        local = torch.stack([x, y, offset[:, 2]], -1)
        kind = layout.shape[room, slot]
        if kind == SPHERE:
            gap = local.norm(dim=-1) - half[0]
        elif kind == CYLINDER:
            gap = torch.maximum(local[:, :2].norm(dim=-1) - half[0], local[:, 2].abs() - half[2])
        else:
            assert kind == BOX
            gap = (local.abs() - half).amax(-1)
        assert gap.abs().max() < 1e-3


def test_nothing_stands_in_front_of_what_is_seen():
    """Half way along every ray there is free space: inside the room and outside each sphere."""
    rooms = rendered()
    layout = rooms.layout
    points = world_points(rooms)
    camera = layout.world_from_camera[..., None, None, :3, 3]
    spheres = (layout.exists & (layout.shape == SPHERE)).nonzero().tolist()
    assert len(spheres) > 5
    for share in (0.25, 0.5, 0.75, 0.98):
        between = camera + share * (points - camera)
        for room, slot in spheres:
            distance = (between[room] - layout.centre[room, slot]).norm(dim=-1)
            assert distance.min() > layout.size[room, slot, 0] / 2 - 1e-3


def test_neighbouring_frames_overlap_and_agree():
    rooms = rendered(num_frames=4)
    layout, depth = rooms.layout, rooms.depth_metres
    intrinsics = layout.intrinsics[:, None].expand(-1, 3, -1, -1)
    step = relative_pose(layout.world_from_camera[:, 1:], layout.world_from_camera[:, :-1])
    warped = warp_depth(depth[:, :-1], intrinsics, step, intrinsics)
    seen = warped.target_depth_metres > 0
    assert seen.float().mean() > 0.4
    error = ((warped.target_depth_metres - depth[:, 1:]).abs() / depth[:, 1:])[seen]
    assert error.median() < 0.01


def test_a_fixed_gaze_moves_the_camera_without_turning_it():
    turning, fixed = (
        sample_layout(8, RoomSpec(num_frames=3, fixed_gaze=gaze), torch.Generator().manual_seed(4)).world_from_camera
        for gaze in (False, True)
    )
    assert torch.equal(fixed[..., :3, 3], turning[..., :3, 3])
    assert torch.equal(fixed[:, 0], turning[:, 0])
    assert torch.equal(fixed[:, 1:, :3, :3], fixed[:, :1, :3, :3].expand(-1, 2, -1, -1))
    assert (turning[:, 2, :3, :3] - turning[:, 0, :3, :3]).flatten(1).norm(dim=1).min() > 0.01


def test_objects_do_not_intersect_and_stay_in_the_room():
    layout = rendered(64).layout
    half = layout.size[..., :2].amax(-1) / 2
    floor_place = layout.centre[..., :2]
    inside = (floor_place > half[..., None] * 0.9) & (floor_place < layout.extent[:, None, :2] - half[..., None] * 0.9)
    assert inside[layout.exists].all()
    assert torch.allclose(layout.centre[..., 2], layout.size[..., 2] / 2)
    apart = (floor_place[:, :, None] - floor_place[:, None]).norm(dim=-1)
    both = layout.exists[:, :, None] & layout.exists[:, None] & ~torch.eye(4, dtype=torch.bool)
    assert (apart - half[:, :, None] - half[:, None])[both].min() > 0
    assert len({tuple(sorted(c)) for c in layout.colour.tolist()}) > 1
    assert all(len(set(colours)) == len(colours) for colours in layout.colour.tolist())


def test_one_seed_one_picture():
    assert torch.equal(rendered(8, seed=3).frames, rendered(8, seed=3).frames)
    assert not torch.equal(rendered(8, seed=3).frames, rendered(8, seed=4).frames)


def test_apparent_size_does_not_settle_the_distance():
    """The square root of the pixel count leaves a third of the variance of the objects' distances unexplained."""
    rooms = rendered(256)
    areas, distances = [], []
    for room, slot in rooms.layout.exists.nonzero().tolist():
        pixels = (rooms.object_index[room, 0] == slot).sum().item()
        if pixels >= 48:
            areas.append(math.sqrt(pixels))
            camera = rooms.layout.world_from_camera[room, 0, :3, 3]
            distances.append((rooms.layout.centre[room, slot] - camera).norm().item())
    correlation = torch.corrcoef(torch.tensor([areas, distances]))[0, 1]
    assert correlation**2 < 2 / 3


def test_renders_a_hundred_rooms_a_second():
    rendered()
    start = time.process_time()
    rendered(256)
    cpu_seconds = time.process_time() - start
    assert 256 / (cpu_seconds / 2) > 100, "two cores give two processor seconds per second"


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_frames", 0), ("image_size", 8), ("focal_range", (0.9, 0.8)), ("max_objects", 5)],
)
def test_bad_specs_name_the_field_and_the_value(field, value):
    with pytest.raises(ValueError, match=field):
        RoomSpec(**{field: value})
