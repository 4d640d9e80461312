"""A vectorised ray caster for random furnished rooms: exact depth, poses and boxes for as many rooms as a test needs.

World frame: z up, floor at z = 0, one corner of the room at the origin. Cameras follow `camera_geometry`: OpenCV axes,
`world_from_camera`, pixel centres at +0.5. Apparent size says little about distance on purpose: every object draws its
size from a wide range, so a model has to use perspective, occlusion and the motion between frames.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


SHAPES = ("box", "sphere", "cylinder")
COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "green": (0.12, 0.65, 0.18),
    "blue": (0.12, 0.22, 0.85),
    "yellow": (0.90, 0.85, 0.12),
    "purple": (0.55, 0.15, 0.70),
}
MAX_OBJECTS = 4
ROOMS_PER_CHUNK = 32  # keeps the ray buffers in the processor's cache; larger chunks were measured slower

BOX, SPHERE, CYLINDER = range(3)
PLACEMENT_TRIES = 48
FAR = 1e9


@dataclass(frozen=True)
class RoomSpec:
    """What kind of room is drawn.

    Args:
        num_frames (`int`, *optional*, defaults to `2`): Frames of the camera path.
        image_size (`int`, *optional*, defaults to `64`): Width and height in pixels.
        focal_range (`tuple[float, float]`, *optional*, defaults to `(0.8, 0.8)`): Focal length as a multiple of the
            image width, drawn once per room.
        max_objects (`int`, *optional*, defaults to `4`): Each room has between 2 and this many objects (at most 4).
        pixel_noise (`float`, *optional*, defaults to `0.02`): Standard deviation of the sensor noise, colours in
            [0, 1].
        fixed_gaze (`bool`, *optional*, defaults to `False`): The camera looks the same way in every frame, that of the
            first, instead of following the middle of the room: frames then differ by translation alone.
    """

    num_frames: int = 2
    image_size: int = 64
    focal_range: tuple[float, float] = (0.8, 0.8)
    max_objects: int = MAX_OBJECTS
    pixel_noise: float = 0.02
    fixed_gaze: bool = False

    def __post_init__(self):
        if self.num_frames < 1:
            raise ValueError(f"num_frames={self.num_frames}: a room needs at least one frame")
        if self.image_size < 16:
            raise ValueError(f"image_size={self.image_size}: use at least 16 pixels, objects vanish below that")
        if not 0 < self.focal_range[0] <= self.focal_range[1]:
            raise ValueError(f"focal_range={self.focal_range}: give (low, high) with 0 < low <= high")
        if not 2 <= self.max_objects <= MAX_OBJECTS:
            raise ValueError(f"max_objects={self.max_objects}: choose between 2 and {MAX_OBJECTS}")


@dataclass
class RoomLayout:
    """R rooms before rendering. Lengths in metres, world frame; K = `MAX_OBJECTS` slots of which `exists` are used."""

    extent: torch.Tensor  # (R, 3) room size
    world_from_camera: torch.Tensor  # (R, F, 4, 4)
    intrinsics: torch.Tensor  # (R, 3, 3)
    exists: torch.Tensor  # (R, K) bool
    shape: torch.Tensor  # (R, K) index into SHAPES
    colour: torch.Tensor  # (R, K) index into COLOURS, unique within a room
    size: torch.Tensor  # (R, K, 3) full extents along the object's own axes
    yaw: torch.Tensor  # (R, K) radians about world z
    centre: torch.Tensor  # (R, K, 3)
    paint: dict[str, torch.Tensor]  # colours and patterns of floor, walls and ceiling


@dataclass
class RenderedRooms:
    """R rendered rooms.

    Args:
        layout (`RoomLayout`): What was rendered.
        frames (`torch.Tensor`): (R, F, H, W, 3) uint8 RGB.
        depth_metres (`torch.Tensor`): (R, F, H, W) float32 z-depth, exact at pixel centres.
        object_index (`torch.Tensor`): (R, F, H, W) int8, slot of the visible object or -1.
    """

    layout: RoomLayout
    frames: torch.Tensor
    depth_metres: torch.Tensor
    object_index: torch.Tensor


def _uniform(generator: torch.Generator, *size: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return torch.rand(*size, generator=generator) * (high - low) + low


def sample_layout(num_rooms: int, spec: RoomSpec, generator: torch.Generator) -> RoomLayout:
    """Draws rooms, camera paths and non-overlapping objects.

    Args:
        num_rooms (`int`): R.
        spec (`RoomSpec`): What kind of rooms.
        generator (`torch.Generator`): Source of all randomness.

    Returns:
        `RoomLayout`
    """
    rooms = num_rooms
    floor = _uniform(generator, rooms, 2, low=4.5, high=8.0)
    height = _uniform(generator, rooms, 1, low=2.4, high=3.0)
    position, target = _camera_path(floor, spec.num_frames, generator)
    world_from_camera = _look_at(position, target)
    if spec.fixed_gaze:
        world_from_camera[..., :3, :3] = world_from_camera[:, :1, :3, :3].clone()

    focal = _uniform(generator, rooms, low=spec.focal_range[0], high=spec.focal_range[1]) * spec.image_size
    intrinsics = torch.zeros(rooms, 3, 3)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = spec.image_size / 2
    intrinsics[:, 2, 2] = 1

    count = torch.randint(2, spec.max_objects + 1, (rooms,), generator=generator)
    shape = torch.randint(0, len(SHAPES), (rooms, MAX_OBJECTS), generator=generator)
    colour = torch.rand(rooms, len(COLOURS), generator=generator).argsort(-1)[:, :MAX_OBJECTS]
    size = _uniform(generator, rooms, MAX_OBJECTS, 3, low=0.45, high=1.3)
    size[..., 2] = _uniform(generator, rooms, MAX_OBJECTS, low=0.3, high=1.3)
    width = size[..., 0]
    size = torch.where((shape == SPHERE)[..., None], width[..., None].expand_as(size), size)
    size = torch.where((shape == CYLINDER)[..., None], torch.stack([width, width, size[..., 2]], -1), size)
    yaw = _uniform(generator, rooms, MAX_OBJECTS, high=math.pi) * (shape == BOX)

    radius = torch.where(shape == BOX, size[..., :2].norm(dim=-1) / 2, width / 2)
    place, exists = _place_objects(floor, position[..., :2], world_from_camera, radius, count, generator)
    centre = torch.cat([place, size[..., 2:] / 2], -1)
    extent = torch.cat([floor, height], -1)
    return RoomLayout(
        extent,
        world_from_camera,
        intrinsics,
        exists,
        shape,
        colour,
        size,
        yaw,
        centre,
        _sample_paint(rooms, generator),
    )


def _camera_path(
    floor: torch.Tensor, num_frames: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A sideways walk along a wall that keeps looking at the middle of the room, so neighbouring frames overlap."""
    rooms = len(floor)
    angle = _uniform(generator, rooms, high=2 * math.pi)
    outwards = torch.stack([angle.cos(), angle.sin()], -1)
    along = torch.stack([-outwards[:, 1], outwards[:, 0]], -1)
    start = floor / 2 + outwards * _uniform(generator, rooms, 1, low=0.70, high=0.92) * (floor / 2 - 0.35)
    target = floor / 2 + (_uniform(generator, rooms, 2) - 0.5) * floor * 0.35
    direction = torch.where(_uniform(generator, rooms, 1) < 0.5, -1.0, 1.0)
    walk = along * _uniform(generator, rooms, 1, low=0.6, high=1.8) * direction
    approach = (target - start) * _uniform(generator, rooms, 1, low=-0.02, high=0.15)
    time = torch.linspace(0, 1, num_frames)[None, :, None]
    position = start[:, None] + (walk + approach)[:, None] * time
    position = torch.minimum(position.clamp_min(0.3), floor[:, None] - 0.3)
    eye_height = _uniform(generator, rooms, 1, 1, low=1.35, high=1.65).expand(rooms, num_frames, 1)
    look_height = _uniform(generator, rooms, 1, 1, low=0.15, high=0.9).expand(rooms, num_frames, 1)
    wander = torch.randn(rooms, num_frames, 2, generator=generator) * 0.12
    return torch.cat([position, eye_height], -1), torch.cat([target[:, None] + wander, look_height], -1)


def _look_at(position: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    forward = F.normalize(target - position, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(forward)
    right = F.normalize(torch.cross(forward, up, dim=-1), dim=-1)
    down = torch.cross(forward, right, dim=-1)
    world_from_camera = torch.eye(4).repeat(*position.shape[:2], 1, 1)
    world_from_camera[..., :3, :3] = torch.stack([right, down, forward], -1)
    world_from_camera[..., :3, 3] = position
    return world_from_camera


def _place_objects(floor, camera_place, world_from_camera, radius, count, generator):
    """First of a row of random candidates that is free, at least 0.7 m off the path, and mostly ahead of frame 0."""
    rooms = len(floor)
    view = F.normalize(world_from_camera[:, 0, :2, 2], dim=-1)
    place = torch.zeros(rooms, MAX_OBJECTS, 2)
    exists = torch.zeros(rooms, MAX_OBJECTS, dtype=torch.bool)
    first_come = torch.linspace(0.5, 0, PLACEMENT_TRIES)
    for slot in range(MAX_OBJECTS):
        reach = radius[:, slot, None]
        room_left = floor[:, None] - 2 * reach[..., None] - 0.1
        candidate = _uniform(generator, rooms, PLACEMENT_TRIES, 2) * room_left + reach[..., None] + 0.05
        free = (candidate[:, :, None] - camera_place[:, None]).norm(dim=-1).amin(-1) - reach > 0.7
        for other in range(slot):
            gap = (candidate - place[:, other, None]).norm(dim=-1) - reach - radius[:, other, None]
            free &= (gap > 0.05) | ~exists[:, other, None]
        bearing = F.normalize(candidate - camera_place[:, :1], dim=-1)
        ahead = (bearing * view[:, None]).sum(-1) > 0.80
        wants_ahead = _uniform(generator, rooms, 1) < 0.9
        score = free * 2.0 + (free & ahead & wants_ahead) * 3.0 + first_come
        best = score.argmax(1, keepdim=True)
        place[:, slot] = candidate.gather(1, best[..., None].expand(-1, -1, 2))[:, 0]
        exists[:, slot] = free.gather(1, best)[:, 0] & (slot < count)
    return place, exists


def _sample_paint(rooms: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    light = torch.cat([_uniform(generator, rooms, 2, low=-1), _uniform(generator, rooms, 1, low=0.6, high=1.2)], -1)
    return {
        "floor": _uniform(generator, rooms, 3, low=0.25, high=0.8),
        "walls": _uniform(generator, rooms, 4, 3, low=0.35, high=0.9),
        "ceiling": _uniform(generator, rooms, 3, low=0.6, high=0.95),
        "floor_period": _uniform(generator, rooms, low=0.25, high=1.2),
        "floor_pattern": torch.randint(0, 3, (rooms,), generator=generator),  # checks, stripes, plain
        "floor_angle": _uniform(generator, rooms, high=math.pi),
        "wall_period": _uniform(generator, rooms, low=0.3, high=1.5),
        "wall_pattern": torch.randint(0, 3, (rooms,), generator=generator),  # vertical, horizontal, plain
        "contrast": _uniform(generator, rooms, low=0.08, high=0.3),
        "light": F.normalize(light, dim=-1),
    }


def render_rooms(layout: RoomLayout, spec: RoomSpec, generator: torch.Generator) -> RenderedRooms:
    """Casts one ray through every pixel centre of every frame.

    Rays are scaled to unit z in the camera, so the ray parameter *is* the z-depth and no conversion loses precision.

    Args:
        layout (`RoomLayout`): R rooms.
        spec (`RoomSpec`): Image size and noise.
        generator (`torch.Generator`): Source of the pixel noise.

    Returns:
        `RenderedRooms`
    """
    rooms, num_frames = layout.world_from_camera.shape[:2]
    size = spec.image_size
    rays, origin = _camera_rays(layout, size)
    depth, surface = _hit_shell(layout, rays, origin)
    object_depth, slot = _hit_objects(layout, rays, origin).min(1)
    on_object = object_depth < depth
    depth = torch.where(on_object, object_depth, depth)
    points = origin + rays * depth[..., None]
    colours = torch.where(
        on_object[..., None],
        _shade_objects(layout, points, slot),
        _shade_shell(layout, points, surface),
    )
    colours = colours + torch.randn(colours.shape, generator=generator) * spec.pixel_noise
    frames = (colours.clamp(0, 1) * 255).round().to(torch.uint8)
    object_index = torch.where(on_object, slot, torch.full_like(slot, -1)).to(torch.int8)
    grid = (rooms, num_frames, size, size)
    return RenderedRooms(layout, frames.reshape(*grid, 3), depth.reshape(grid), object_index.reshape(grid))


def _camera_rays(layout: RoomLayout, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    centres = torch.arange(size) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3)
    directions = pixels @ torch.linalg.inv(layout.intrinsics).transpose(1, 2)  # (R, P, 3)
    rotation = layout.world_from_camera[..., :3, :3]
    rays = directions[:, None] @ rotation.transpose(2, 3)  # (R, F, P, 3)
    rays = torch.where(rays.abs() < 1e-9, torch.full_like(rays, 1e-9), rays)
    return rays, layout.world_from_camera[..., None, :3, 3]


def _hit_shell(layout, rays, origin):
    """Where rays leave the room. Surfaces 0-3 are the walls x=0, x=max, y=0, y=max; 4 the floor; 5 the ceiling."""
    outer = torch.where(rays > 0, layout.extent[:, None, None], torch.zeros(()))
    depth, axis = ((outer - origin) / rays).min(-1)
    far_side = (rays > 0).gather(-1, axis[..., None])[..., 0]
    return depth, axis * 2 + far_side


def _rotate_z(vector, cosine, sine):
    x, y, z = vector.unbind(-1)
    return torch.stack([x * cosine + y * sine, y * cosine - x * sine, z], -1)


def _hit_objects(layout, rays, origin):
    """(R, K, F, P) depth of every object along every ray, `FAR` where it is missed."""
    rooms, frames, pixels = rays.shape[:3]
    hits = torch.full((rooms, MAX_OBJECTS, frames, pixels), FAR)
    for kind, intersect in ((BOX, _hit_box), (SPHERE, _hit_sphere), (CYLINDER, _hit_cylinder)):
        room, slot = torch.nonzero((layout.shape == kind) & layout.exists, as_tuple=True)
        if len(room) == 0:
            continue
        half = layout.size[room, slot][:, None, None] / 2
        start = origin[room] - layout.centre[room, slot][:, None, None]
        direction = rays[room]
        if kind == BOX:
            yaw = layout.yaw[room, slot][:, None, None]
            start, direction = (_rotate_z(v, yaw.cos(), yaw.sin()) for v in (start, direction))
        hits[room, slot] = intersect(start, direction, half)
    return hits


def _hit_box(start, direction, half):
    direction = torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
    one, two = (-half - start) / direction, (half - start) / direction
    enter = torch.minimum(one, two).amax(-1)
    leave = torch.maximum(one, two).amin(-1)
    return torch.where((enter < leave) & (enter > 1e-3), enter, torch.tensor(FAR))


def _nearest_root(a, b, c):
    """Smaller root of a t^2 + 2 b t + c, and whether it is real and ahead."""
    discriminant = b * b - a * c
    root = (-b - discriminant.clamp_min(0).sqrt()) / a
    return root, (discriminant > 0) & (root > 1e-3)


def _hit_sphere(start, direction, half):
    radius = half[..., 0]
    depth, hit = _nearest_root(
        direction.square().sum(-1), (direction * start).sum(-1), start.square().sum(-1) - radius.square()
    )
    return torch.where(hit, depth, torch.tensor(FAR))


def _hit_cylinder(start, direction, half):
    radius, half_height = half[..., 0], half[..., 2]
    flat, ray = start[..., :2], direction[..., :2]
    side, side_hit = _nearest_root(ray.square().sum(-1), (ray * flat).sum(-1), flat.square().sum(-1) - radius.square())
    side_hit &= (start[..., 2] + direction[..., 2] * side).abs() < half_height
    top = (half_height - start[..., 2]) / direction[..., 2]
    on_top = (flat + ray * top[..., None]).square().sum(-1) < radius.square()
    top_hit = on_top & (top > 1e-3) & (start[..., 2] > half_height)
    far = torch.tensor(FAR)
    return torch.minimum(torch.where(side_hit, side, far), torch.where(top_hit, top, far))


def _shade_objects(layout, points, slot):
    rooms, frames, pixels = slot.shape
    pick = slot.reshape(rooms, -1)

    def of_slot(values):
        index = pick.reshape(rooms, -1, *([1] * (values.ndim - 2))).expand(-1, -1, *values.shape[2:])
        return values.gather(1, index).reshape(rooms, frames, pixels, *values.shape[2:])

    shape, half, yaw = of_slot(layout.shape), of_slot(layout.size) / 2, of_slot(layout.yaw)
    local = _rotate_z(points - of_slot(layout.centre), yaw.cos(), yaw.sin())
    face = (local / half).abs().argmax(-1)
    box_normal = F.one_hot(face, 3) * local.sign()
    round_normal = F.normalize(local, dim=-1)
    flat_normal = F.normalize(local * torch.tensor([1.0, 1.0, 0.0]), dim=-1)
    on_top = (local[..., 2] > half[..., 2] * 0.999)[..., None]
    tube_normal = torch.where(on_top, torch.tensor([0.0, 0.0, 1.0]), flat_normal)
    shape = shape[..., None]
    normal = torch.where(shape == BOX, box_normal, torch.where(shape == SPHERE, round_normal, tube_normal))
    normal = _rotate_z(normal, yaw.cos(), -yaw.sin())
    lambert = (normal * layout.paint["light"][:, None, None]).sum(-1, keepdim=True).clamp_min(0)
    palette = torch.tensor(list(COLOURS.values()))
    return palette[of_slot(layout.colour)] * (0.55 + 0.5 * lambert)


def _shade_shell(layout, points, surface):
    rooms, frames, pixels = surface.shape
    paint = {name: value[:, None, None] for name, value in layout.paint.items()}
    x, y, z = points.unbind(-1)

    def stripes(coordinate, period):
        return (torch.floor(coordinate / period) % 2) * 2 - 1

    cosine, sine = paint["floor_angle"].cos(), paint["floor_angle"].sin()
    stripe = stripes(x * cosine + y * sine, paint["floor_period"])
    check = stripe * stripes(y * cosine - x * sine, paint["floor_period"])
    none = torch.zeros(())
    floor_kind, wall_kind = paint["floor_pattern"], paint["wall_pattern"]
    floor = torch.where(floor_kind == 0, check, torch.where(floor_kind == 1, stripe, none))
    along_wall = torch.where(surface < 2, y, x)
    upright, level = stripes(along_wall, paint["wall_period"]), stripes(z, paint["wall_period"])
    wall = torch.where(wall_kind == 0, upright, torch.where(wall_kind == 1, level, none))
    pattern = torch.where(surface == 4, floor, torch.where(surface < 4, wall, none)) * paint["contrast"]

    colours = torch.cat([layout.paint["walls"], layout.paint["floor"][:, None], layout.paint["ceiling"][:, None]], 1)
    base = colours.gather(1, surface.reshape(rooms, -1, 1).expand(-1, -1, 3)).reshape(rooms, frames, pixels, 3)
    inwards = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=points.dtype)
    lambert = (inwards[surface] * paint["light"]).sum(-1, keepdim=True).clamp_min(0)
    return base * (1 + pattern[..., None]) * (0.8 + 0.2 * lambert)
