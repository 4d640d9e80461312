"""The best relative pose that the depth of each pair of frames allows: a level to hold stored poses against."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from igep.trainers.scene_check.depth_agreement import (
    COMPARABLE_POINTS,
    MAX_ERROR,
    DepthGeometry,
    camera_points,
    depth_errors,
    pair_poses,
)
from igep.trainers.scene_check.scene_views import SceneViews


ERROR_LIMITS = (
    0.3,
    0.2,
    0.1,
    MAX_ERROR,
    MAX_ERROR,
    MAX_ERROR,
)  # of the points that a step uses: wide first, to get near
SLOPE_PIXELS = 1.5
DAMPING = 1e-4


def refined_errors(
    views: SceneViews, geometry: DepthGeometry, sources: np.ndarray, targets: np.ndarray, turn: bool = True
) -> np.ndarray:
    """Mean relative error that is left when each pair may have a relative pose of its own.

    Gauss-Newton steps on the relative error of the depth, from the given pose. Points up to a fixed error count, so
    that other surfaces pull little. What is measured afterwards is what `depth_agreement` measures.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for; its poses are the start.
        sources (`np.ndarray`): (P,) frames to carry.
        targets (`np.ndarray`): (P,) frames to compare with.
        turn (`bool`, *optional*, defaults to `True`): Whether cameras may turn as well as move.

    Returns:
        `np.ndarray`: (P,) errors as in `PairAgreement.error`; nan where too few points can be compared.
    """
    frames, place = np.unique(targets, return_inverse=True)
    slopes = np.stack([_slopes(views.inverse_depth[frame]) for frame in frames])
    points = camera_points(views, geometry, sources)
    is_point = views.points[sources][..., 2] > 0
    pose = pair_poses(geometry.world_from_depth, sources, targets)
    best = np.full(len(sources), np.inf)
    for limit in (*ERROR_LIMITS, None):
        carried = points @ pose[:, :3, :3].transpose(0, 2, 1).astype(np.float32) + pose[:, None, :3, 3].astype(
            np.float32
        )
        relative, _ = depth_errors(views, geometry, targets, carried, is_point)
        size = np.abs(relative)
        count = np.isfinite(size).sum(1)
        error = np.nansum(np.minimum(size, MAX_ERROR), axis=1) / np.maximum(count, 1)
        best = np.where(count >= COMPARABLE_POINTS, np.fmin(best, error), best)
        if limit is not None:
            pose = (
                _step(
                    geometry.intrinsics[targets],
                    slopes,
                    place,
                    carried,
                    np.where(size < limit, relative, np.nan),
                    turn,
                )
                @ pose
            )
    return np.where(np.isfinite(best), best, np.nan)


def _slopes(inverse_depth: np.ndarray) -> np.ndarray:
    """(2, h, w) change of the inverse depth per pixel to the right and down, over measured pixels."""
    weight = gaussian_filter((inverse_depth > 0).astype(np.float32), SLOPE_PIXELS)
    smooth = gaussian_filter(inverse_depth, SLOPE_PIXELS) / np.maximum(weight, 1e-3)
    down, right = np.gradient(smooth)
    return np.stack([right, down])


def _step(
    intrinsics: np.ndarray,
    slopes: np.ndarray,
    place: np.ndarray,
    points: np.ndarray,
    relative: np.ndarray,
    turn: bool,
) -> np.ndarray:
    """(P, 4, 4) small motions of the points that lower their errors."""
    used = np.isfinite(relative)
    z = np.where(used, points[..., 2], 1.0)
    intrinsics = intrinsics.astype(np.float32)
    pixels = (points @ intrinsics.transpose(0, 2, 1))[..., :2] / z[..., None]
    column = np.where(used, pixels[..., 0], 0).astype(np.int64)
    row = np.where(used, pixels[..., 1], 0).astype(np.int64)
    slope = slopes[place[:, None], :, row, column]
    # The error is z q(x, y) - 1 with q the inverse depth measured at the pixel: its change with the point, per metre.
    forward = (1 + np.where(used, relative, 0)) / z
    gradient = slope @ intrinsics[:, :2]
    gradient[..., 2] += forward - (slope * pixels).sum(-1)
    gradient = np.where(used[..., None], gradient, 0)
    lever = np.cross(points, gradient) if turn else np.zeros_like(gradient)
    jacobian = np.concatenate([gradient, np.where(used[..., None], lever, 0)], axis=-1).astype(np.float64)
    normal = jacobian.transpose(0, 2, 1) @ jacobian
    normal += (DAMPING * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-9) * np.eye(6)
    step = -np.linalg.solve(normal, (jacobian * np.where(used, relative, 0)[..., None]).sum(1)[..., None])[..., 0]
    motion = np.tile(np.eye(4), (len(points), 1, 1))
    motion[:, :3, :3] = Rotation.from_rotvec(step[:, 3:]).as_matrix()
    motion[:, :3, 3] = step[:, :3]
    return motion
