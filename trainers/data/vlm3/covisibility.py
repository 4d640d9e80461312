"""Which surface of one view another view sees, from depth and poses."""

from typing import NamedTuple

import numpy as np

from igep.trainers.data.scenes.camera_arrays import camera_from_world_points, project, relative_pose
from igep.trainers.data.vlm3.scene_views import depth_rays, surface_inverse_depth
from igep.trainers.data.vlm3.spatial_question import PosedView
from igep.trainers.data.vlm3.surface_normals import away_normals


class SeenPixels(NamedTuple):
    """Pixels of a first view in a second.

    Args:
        pixels (`np.ndarray`): (K, 2) where they land, in pixels of the second frame.
        seen (`np.ndarray`): (K,) bool: in front of the second camera, in its frame, not hidden there, and of the side
            of a surface that it looks at.
    """

    pixels: np.ndarray
    seen: np.ndarray


def carry_pixels(
    first: PosedView, second: PosedView, rows: np.ndarray, columns: np.ndarray, tolerance: float = 0.05
) -> SeenPixels:
    """Carries measured pixels of one view into another and says which of them it sees.

    Depth tells the two sides of a thin wall apart no more than its noise; their normals do. A point is seen from
    before its surface only, and what the second view measured there must be turned the same way.

    Args:
        first (`PosedView`): View with depth, intrinsics and pose.
        second (`PosedView`): Likewise.
        rows (`np.ndarray`): (K,) rows of the first depth map.
        columns (`np.ndarray`): (K,) its columns.
        tolerance (`float`, *optional*, defaults to `0.05`): Share of the second view's own depth by which the depth
            carried over may differ from it before the point counts as hidden. Poses and sensors are no better.

    Returns:
        `SeenPixels`
    """
    _, rays = depth_rays(first)
    points = rays[rows, columns] * first.depth_metres[rows, columns, None].astype(np.float64)
    first_from_second = relative_pose(first.world_from_camera, second.world_from_camera)
    pixels, depth = project(camera_from_world_points(first_from_second, points), second.intrinsics)
    width, height = second.frame.size
    seen = (depth > 1e-6) & (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    stored_height, stored_width = second.depth_metres.shape
    landing = np.where(seen[:, None], pixels, 0)
    inverse, known = surface_inverse_depth(second.depth_metres)
    cell = (landing[:, 1] * stored_height / height).astype(int), (landing[:, 0] * stored_width / width).astype(int)
    seen = seen & known[cell] & (np.abs(depth * inverse[cell] - 1) <= tolerance)
    kept = np.flatnonzero(seen)
    away = away_normals(first, rows[kept], columns[kept])
    before = ((points[kept] - first_from_second[:3, 3]) * away).sum(-1) > 0
    other = away_normals(second, cell[0][kept], cell[1][kept]) @ first_from_second[:3, :3].T
    seen[kept] = before & ((away * other).sum(-1) > 0)  # comparisons with what is not known are false
    return SeenPixels(pixels, seen)


def covisibility(first: PosedView, second: PosedView, grid: int = 32) -> float:
    """How much two views have in common.

    Args:
        first (`PosedView`): View with depth, intrinsics and pose.
        second (`PosedView`): Likewise.
        grid (`int`, *optional*, defaults to `32`): At most so many rows and columns of each depth map are looked at.

    Returns:
        `float`: Share of the measured pixels of one view that the other sees, the smaller of both directions; 0 where
        one has no depth.
    """
    shares = []
    for source, target in ((first, second), (second, first)):
        height, width = source.depth_metres.shape
        rows, columns = (
            np.unique(((np.arange(min(grid, side)) + 0.5) * side / min(grid, side)).astype(int))
            for side in (height, width)
        )
        rows, columns = (places.ravel() for places in np.meshgrid(rows, columns, indexing="ij"))
        depth = source.depth_metres[rows, columns]
        measured = np.isfinite(depth) & (depth > 0)
        if not measured.any():
            return 0.0
        shares.append(carry_pixels(source, target, rows[measured], columns[measured]).seen.mean())
    return float(min(shares))
