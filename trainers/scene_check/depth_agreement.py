"""How well the measured depth of one frame, carried into another by the poses, agrees with that measured there."""

from dataclasses import dataclass, replace

import numpy as np

from igep.trainers.scene_check.scene_views import SceneViews


MAX_ERROR = 0.05  # a larger one is another surface, whatever its size
COMPARABLE_POINTS = 40
PAIRS_PER_CHUNK = 64
MIN_DEPTH_METRES = 0.01


@dataclass(frozen=True)
class DepthGeometry:
    """What the depth maps of N frames are taken for: as stored, or without some mistake.

    Args:
        world_from_depth (`np.ndarray`): (N, 4, 4) poses of the depth camera.
        intrinsics (`np.ndarray`): (N, 3, 3) in pixels of the thinned maps; a negative focal length reads them
            mirrored.
        depth_kind (`str`): `"z"` or `"euclidean"`.
    """

    world_from_depth: np.ndarray
    intrinsics: np.ndarray
    depth_kind: str


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of P pairs of frames.

    Args:
        error (`np.ndarray`): (P,) mean relative error of the depth of points that can be compared, each at most
            `MAX_ERROR`; nan where too few can.
        overlap (`np.ndarray`): (P,) share of the source's points that land inside the target image.
    """

    error: np.ndarray
    overlap: np.ndarray


def stored_geometry(views: SceneViews) -> DepthGeometry:
    """What the scene says of its depth maps.

    Args:
        views (`SceneViews`): The scene.

    Returns:
        `DepthGeometry`
    """
    return DepthGeometry(views.world_from_camera @ views.colour_from_depth, views.depth_intrinsics, views.depth_kind)


def with_poses(views: SceneViews, world_from_camera: np.ndarray) -> DepthGeometry:
    """The depth maps as stored, with other poses.

    Args:
        views (`SceneViews`): The scene.
        world_from_camera (`np.ndarray`): (N, 4, 4) of the colour camera.

    Returns:
        `DepthGeometry`
    """
    return replace(stored_geometry(views), world_from_depth=world_from_camera @ views.colour_from_depth)


def depth_agreement(
    views: SceneViews, geometry: DepthGeometry, sources: np.ndarray, targets: np.ndarray
) -> PairAgreement:
    """Carry points from source frames into target frames and compare their depth with what was measured there.

    Places between two surfaces are left out: interpolation says nothing about them. Hidden points stay in: they are
    few, and leaving out what does not agree would hide wrong poses.

    Args:
        views (`SceneViews`): N frames.
        geometry (`DepthGeometry`): What their depth maps are taken for.
        sources (`np.ndarray`): (P,) frames to carry.
        targets (`np.ndarray`): (P,) frames to compare with.

    Returns:
        `PairAgreement`: Of each pair.
    """
    chunks = [
        _agreement(views, geometry, sources[start : start + PAIRS_PER_CHUNK], targets[start : start + PAIRS_PER_CHUNK])
        for start in range(0, len(sources), PAIRS_PER_CHUNK)
    ]
    return PairAgreement(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def camera_points(views: SceneViews, geometry: DepthGeometry, frames: np.ndarray) -> np.ndarray:
    """The measured points of some frames in their depth cameras.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for.
        frames (`np.ndarray`): (K,) frames.

    Returns:
        `np.ndarray`: (K, P, 3) float32 in metres; zeros where a frame has fewer points.
    """
    points = views.points[frames]
    pixels = np.concatenate([points[..., :2], np.ones_like(points[..., :1])], axis=-1)
    rays = pixels @ np.linalg.inv(geometry.intrinsics[frames]).transpose(0, 2, 1).astype(np.float32)
    if geometry.depth_kind == "euclidean":
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays * points[..., 2:]


def pair_poses(world_from_camera: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Transforms that carry points of the sources into the targets.

    Args:
        world_from_camera (`np.ndarray`): (N, 4, 4) rigid poses.
        sources (`np.ndarray`): (P,) frames.
        targets (`np.ndarray`): (P,) frames.

    Returns:
        `np.ndarray`: (P, 4, 4) `target_from_source`.
    """
    return np.linalg.inv(world_from_camera[targets]) @ world_from_camera[sources]


def depth_errors(
    views: SceneViews,
    geometry: DepthGeometry,
    targets: np.ndarray,
    points_target: np.ndarray,
    is_point: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Compare points with the depth measured where they land.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for.
        targets (`np.ndarray`): (P,) frames.
        points_target (`np.ndarray`): (P, K, 3) points in the target cameras, metres.
        is_point (`np.ndarray`): (P, K) bool.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (P, K) each: depth over that measured, less 1, nan where it cannot be
        compared; and whether the point lands inside the image.
    """
    height, width = views.inverse_depth.shape[1:]
    z = points_target[..., 2]
    front = is_point & (z > MIN_DEPTH_METRES)
    projected = points_target @ geometry.intrinsics[targets].transpose(0, 2, 1).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = np.where(front, projected[..., 0] / z, -1.0)
        y = np.where(front, projected[..., 1] / z, -1.0)
    in_view = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    inner = in_view & (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    column = np.where(inner, x, 0).astype(np.int64)
    row = np.where(inner, y, 0).astype(np.int64)
    comparable = inner & views.is_surface[targets[:, None], row, column]
    right, down = (x - column).astype(np.float32), (y - row).astype(np.float32)
    corner = (targets[:, None] * height + row) * width + column
    inverse = views.inverse_depth.reshape(-1)
    upper = inverse[corner] * (1 - right) + inverse[corner + 1] * right
    lower = inverse[corner + width] * (1 - right) + inverse[corner + width + 1] * right
    measured = z if geometry.depth_kind == "z" else np.linalg.norm(points_target, axis=-1)
    return np.where(comparable, measured * (upper * (1 - down) + lower * down) - 1, np.nan), in_view


def _agreement(
    views: SceneViews, geometry: DepthGeometry, sources: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    target_from_source = pair_poses(geometry.world_from_depth, sources, targets).astype(np.float32)
    points = camera_points(views, geometry, sources)
    is_point = views.points[sources][..., 2] > 0
    points = points @ target_from_source[:, :3, :3].transpose(0, 2, 1) + target_from_source[:, None, :3, 3]
    relative, in_view = depth_errors(views, geometry, targets, points, is_point)
    count = np.isfinite(relative).sum(1)
    error = np.nansum(np.minimum(np.abs(relative), MAX_ERROR), axis=1) / np.maximum(count, 1)
    return np.where(count >= COMPARABLE_POINTS, error, np.nan), in_view.sum(1) / np.maximum(is_point.sum(1), 1)
