"""How well colours agree at points that depth and poses say are the same: a test of the colour camera.

A point that two frames measured is looked up in both colour images. With the right colour camera, images and order,
the local contrast there is the same; with others it is that of two different places, as soon as the camera moves by
more than the contrast is wide.
"""

from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.depth_agreement import (
    COMPARABLE_POINTS,
    MAX_ERROR,
    MIN_DEPTH_METRES,
    DepthGeometry,
    camera_points,
    depth_errors,
    pair_poses,
)
from igep.trainers.scene_check.scene_views import SceneViews


@dataclass(frozen=True)
class ColourGeometry:
    """What the colour images of N frames are taken for: as stored, or without some mistake.

    Args:
        intrinsics (`np.ndarray`): (N, 3, 3) from points of the colour camera to pixels of `SceneViews.contrast`;
            mirrored and turned images are those of cameras with negative focal lengths or exchanged rows.
        images (`np.ndarray`): (N,) which stored image each frame has.
    """

    intrinsics: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class CommonPoints:
    """Points that both frames of P pairs measured. K of each pair.

    Args:
        sources (`np.ndarray`): (P,) frames.
        targets (`np.ndarray`): (P,) frames.
        in_source (`np.ndarray`): (P, K, 3) float32 in the source's colour camera, metres.
        in_target (`np.ndarray`): (P, K, 3) float32 in the target's colour camera, metres.
        is_common (`np.ndarray`): (P, K) bool, the depth agrees.
    """

    sources: np.ndarray
    targets: np.ndarray
    in_source: np.ndarray
    in_target: np.ndarray
    is_common: np.ndarray


def stored_colour(views: SceneViews) -> ColourGeometry:
    """What the scene says of its colour images.

    Args:
        views (`SceneViews`): The scene.

    Returns:
        `ColourGeometry`
    """
    return ColourGeometry(views.colour_intrinsics, np.arange(len(views)))


def common_points(
    views: SceneViews, geometry: DepthGeometry, sources: np.ndarray, targets: np.ndarray
) -> CommonPoints:
    """Carry points of the sources into the targets and keep those whose depth agrees there.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for.
        sources (`np.ndarray`): (P,) frames to carry.
        targets (`np.ndarray`): (P,) frames to compare with.

    Returns:
        `CommonPoints`
    """
    pose = pair_poses(geometry.world_from_depth, sources, targets).astype(np.float32)
    points = camera_points(views, geometry, sources)
    carried = points @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3]
    relative, _ = depth_errors(views, geometry, targets, carried, views.points[sources][..., 2] > 0)
    with np.errstate(invalid="ignore"):
        is_common = np.abs(relative) < MAX_ERROR
    turn, move = (
        views.colour_from_depth[:3, :3].T.astype(np.float32),
        views.colour_from_depth[:3, 3].astype(np.float32),
    )
    return CommonPoints(sources, targets, points @ turn + move, carried @ turn + move, is_common)


def colour_agreement(views: SceneViews, common: CommonPoints, colour: ColourGeometry) -> np.ndarray:
    """Correlation of the contrast at common points.

    Args:
        views (`SceneViews`): The scene.
        common (`CommonPoints`): Points of P pairs.
        colour (`ColourGeometry`): What the images are taken for.

    Returns:
        `np.ndarray`: (P,) between -1 and 1; nan where too few points lie in both images.
    """
    first, seen_first = _looked_up(views, colour, common.sources, common.in_source)
    second, seen_second = _looked_up(views, colour, common.targets, common.in_target)
    used = common.is_common & seen_first & seen_second
    count = used.sum(1)
    enough = count >= COMPARABLE_POINTS
    weight = used / np.maximum(count, 1)[:, None]
    first = first - (weight * first).sum(1, keepdims=True)
    second = second - (weight * second).sum(1, keepdims=True)
    variance = (weight * first**2).sum(1) * (weight * second**2).sum(1)
    correlation = (weight * first * second).sum(1) / np.sqrt(np.maximum(variance, 1e-12))
    return np.where(enough, correlation, np.nan)


def _looked_up(
    views: SceneViews, colour: ColourGeometry, frames: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(P, K) contrast between pixels, and whether the point lies in the image."""
    height, width = views.contrast.shape[1:]
    z = points[..., 2]
    front = z > MIN_DEPTH_METRES
    pixels = points @ colour.intrinsics[frames].transpose(0, 2, 1).astype(np.float32)
    x, y = (pixels[..., axis] / np.where(front, z, 1.0) - 0.5 for axis in (0, 1))
    inside = front & (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    column, row = np.where(inside, x, 0).astype(np.int64), np.where(inside, y, 0).astype(np.int64)
    right, down = x - column, y - row
    corner = (colour.images[frames][:, None] * height + row) * width + column
    contrast = views.contrast.reshape(-1)
    upper = contrast[corner] * (1 - right) + contrast[corner + 1] * right
    lower = contrast[corner + width] * (1 - right) + contrast[corner + width + 1] * right
    return np.where(inside, upper * (1 - down) + lower * down, 0), inside
