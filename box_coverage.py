"""Which visual tokens of a scene's frames lie inside 3D boxes, by measured depth or by projection alone.

Conventions are those of `camera_geometry`. Boxes are (P, 6): centre and full sizes in metres, along the axes of the
world.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .camera_geometry import (
    invert_pose,
    project,
    resize_intrinsics,
    transform_points,
    unproject,
    usable_intrinsics,
    usable_pose,
)


SURFACE_METRES = 0.02  # boxes are fitted to surfaces: points this far outside a wall still lie on it
NEAR_METRES = 0.05  # of a projected box, what is nearer is cut off
EDGES = tuple((i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1)  # by its corners


@dataclass(frozen=True)
class FrameGeometry:
    """The cameras of F frames of one scene, and what they measured.

    Args:
        intrinsics (`Tensor`): (F, 3, 3) in pixels of an image of `image_size`.
        world_from_camera (`Tensor`): (F, 4, 4); frames whose pose or intrinsics are not finite show nothing.
        image_size (`tuple[int, int]`): Height and width that the intrinsics speak of.
        depth_metres (`Tensor`, *optional*): (F, *image_size) z-depth, 0 = invalid.
    """

    intrinsics: Tensor
    world_from_camera: Tensor
    image_size: tuple[int, int]
    depth_metres: Tensor | None = None


def box_coverage(boxes: Tensor, geometry: FrameGeometry, grid: tuple[int, int]) -> Tensor:
    """How much of every token lies inside every box: by depth where there is one, else by projection.

    Args:
        boxes (`Tensor`): (P, 6) centre and sizes in metres.
        geometry (`FrameGeometry`): F frames, in the world of the boxes.
        grid (`tuple[int, int]`): Rows and columns of the tokens of a frame.

    Returns:
        `Tensor`: (F, P, *grid) float32, shares of the area of a token.
    """
    usable = usable_pose(geometry.world_from_camera) & usable_intrinsics(geometry.intrinsics)
    find = coverage_by_projection if geometry.depth_metres is None else coverage_by_depth
    coverage = find(boxes, geometry, grid)
    return torch.where(usable[:, None, None, None], coverage, 0.0)


def coverage_by_depth(boxes: Tensor, geometry: FrameGeometry, grid: tuple[int, int]) -> Tensor:
    """As `box_coverage`: share of a token's pixels whose measured point lies inside. Unmeasured pixels do not."""
    depth = geometry.depth_metres
    points = transform_points(geometry.world_from_camera, unproject(depth, geometry.intrinsics))  # (F, H, W, 3)
    measured = depth.isfinite() & (depth > 0)
    found = []
    for box in boxes:  # one by one: all at once would take P times the memory of the points
        inside = ((points - box[:3]).abs() <= box[3:] / 2 + SURFACE_METRES).all(-1) & measured
        found.append(functional.adaptive_avg_pool2d(inside.float()[:, None], grid)[:, 0])
    return torch.stack(found, 1) if found else points.new_zeros(len(points), 0, *grid)


def coverage_by_projection(boxes: Tensor, geometry: FrameGeometry, grid: tuple[int, int]) -> Tensor:
    """As `box_coverage`: share of a token in the rectangle around the projected box, whatever stands before it."""
    signs = boxes.new_tensor([[1.0 if corner >> axis & 1 else -1.0 for axis in range(3)] for corner in range(8)])
    corners = boxes[:, None, :3] + signs * boxes[:, None, 3:] / 2  # (P, 8, 3)
    frames = len(geometry.intrinsics)
    corners = transform_points(
        invert_pose(geometry.world_from_camera), corners.expand(frames, *corners.shape)
    )  # (F, P, 8, 3) in the cameras
    first, second = (corners[:, :, [edge[end] for edge in EDGES]] for end in (0, 1))  # (F, P, 12, 3)
    in_front = torch.maximum(first[..., 2], second[..., 2]) >= NEAR_METRES
    ends = torch.stack([_cut_at_near(first, second), _cut_at_near(second, first)], 3)  # (F, P, 12, 2, 3)
    unit = resize_intrinsics(geometry.intrinsics, geometry.image_size, (1, 1))
    places, _ = project(ends, unit)  # in units of the image's sides
    shown = in_front[..., None, None]
    lowest = torch.where(shown, places, torch.inf).amin((2, 3))  # (F, P, 2)
    highest = torch.where(shown, places, -torch.inf).amax((2, 3))
    across = _overlap(lowest[..., 0], highest[..., 0], grid[1])
    down = _overlap(lowest[..., 1], highest[..., 1], grid[0])
    return down[..., :, None] * across[..., None, :]


def _cut_at_near(end: Tensor, other: Tensor) -> Tensor:
    """An end of an edge, moved along it to where the camera begins to see if it lies before that."""
    depth, span = end[..., 2], other[..., 2] - end[..., 2]
    hidden = (depth < NEAR_METRES) & (span > 0)
    share = torch.where(hidden, (NEAR_METRES - depth) / torch.where(hidden, span, 1.0), 0.0).clamp(0, 1)
    return end + (other - end) * share[..., None]


def _overlap(lowest: Tensor, highest: Tensor, cells: int) -> Tensor:
    """(..., cells) share of each of the cells that divide [0, 1] between two places."""
    edges = torch.arange(cells + 1, device=lowest.device, dtype=lowest.dtype) / cells
    start = torch.maximum(lowest[..., None], edges[:-1])
    end = torch.minimum(highest[..., None], edges[1:])
    return ((end - start) * cells).clamp(0, 1)


def pooled_tokens(maps: Tensor, coverage: Tensor, min_coverage: float) -> tuple[Tensor, Tensor]:
    """Means of the tokens inside each box.

    Args:
        maps (`Tensor`): (F, h, w, C).
        coverage (`Tensor`): (F, P, h, w) of `box_coverage`.
        min_coverage (`float`): Share of a token from which on it is inside. Where no token reaches it, those count
            that come nearest.

    Returns:
        `tuple[Tensor, Tensor]`: (P, C), zero where no token shows the box; and (P,) bool, whether any does.
    """
    most = coverage.amax((0, 2, 3))  # (P,)
    chosen = (coverage >= most.clamp(max=min_coverage)[:, None, None]) & (coverage > 0)
    counts = chosen.sum((0, 2, 3))
    total = torch.einsum("fphw,fhwc->pc", chosen.to(maps.dtype), maps)
    return total / counts.clamp(min=1)[:, None], counts > 0
