"""Cameras and poses in NumPy: what rows and questions need of `camera_geometry`, without the cost of small tensors.

Conventions are those of `camera_geometry`. Functions that bear the same name as one there give the same numbers, in
float64.
"""

import numpy as np


def resize_intrinsics(intrinsics: np.ndarray, from_size: tuple[int, int], to_size: tuple[int, int]) -> np.ndarray:
    """Intrinsics after the image was resized, each axis by its own exact factor.

    Args:
        intrinsics (`np.ndarray`): (..., 3, 3) for an image of `from_size`.
        from_size (`tuple[int, int]`): (height, width) before.
        to_size (`tuple[int, int]`): (height, width) after.

    Returns:
        `np.ndarray`: (..., 3, 3) float64 for an image of `to_size`.
    """
    return intrinsics * np.array([to_size[1] / from_size[1], to_size[0] / from_size[0], 1.0])[:, None]


def with_fy(intrinsics: np.ndarray) -> np.ndarray:
    """Intrinsics in which fy = 0 stands for fx, as files of square pixels write them, with fy.

    Args:
        intrinsics (`np.ndarray`): (..., 3, 3).

    Returns:
        `np.ndarray`: (..., 3, 3) float64; where fy is not 0 they are as they were.
    """
    filled = np.array(intrinsics, dtype=np.float64)
    filled[..., 1, 1] = np.where(filled[..., 1, 1] == 0, filled[..., 0, 0], filled[..., 1, 1])
    return filled


def pixel_centres(size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Where the pixels of a depth map lie in the image that it covers.

    Args:
        size (`tuple[int, int]`): (h, w) of the depth map.
        image_size (`tuple[int, int]`): (H, W) of the image.

    Returns:
        `np.ndarray`: (h, w, 2) float64, (x, y) in pixels of the image.
    """
    height, width = size
    places = np.empty((height, width, 2))
    places[..., 0] = (np.arange(width) + 0.5) * (image_size[1] / width)
    places[..., 1] = ((np.arange(height) + 0.5) * (image_size[0] / height))[:, None]
    return places


def pixel_rays(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points at z = 1 that a camera sees at some pixels; times z-depth they are the points that were measured.

    Args:
        pixels (`np.ndarray`): (..., 2) places (x, y).
        intrinsics (`np.ndarray`): (3, 3), in the same pixels.

    Returns:
        `np.ndarray`: (..., 3) float64.
    """
    rays = np.ones((*pixels.shape[:-1], 3))
    rays[..., :2] = (pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
    rays[..., 0] -= rays[..., 1] * intrinsics[0, 1] / intrinsics[0, 0]
    return rays


def project(
    points_camera: np.ndarray, intrinsics: np.ndarray, min_depth_metres: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel and depth at which a camera sees points of its own frame.

    Args:
        points_camera (`np.ndarray`): (N, 3) in metres.
        intrinsics (`np.ndarray`): (3, 3).
        min_depth_metres (`float`, *optional*, defaults to `1e-6`): Points nearer than this, or behind the camera, are
            divided by this value instead: their pixel has no meaning but is finite.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: pixels (N, 2) and z-depth in metres (N,).
    """
    depth = points_camera[:, 2]
    return (points_camera @ intrinsics.T)[:, :2] / np.maximum(depth, min_depth_metres)[:, None], depth


def transform_points(target_from_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Carries points from one frame into another.

    Args:
        target_from_source (`np.ndarray`): (4, 4).
        points (`np.ndarray`): (..., 3) in the source frame, metres.

    Returns:
        `np.ndarray`: (..., 3) in the target frame, metres.
    """
    return points @ target_from_source[:3, :3].T + target_from_source[:3, 3]


def camera_from_world_points(world_from_camera: np.ndarray, points_world: np.ndarray) -> np.ndarray:
    """Carries points of the world into a camera.

    Args:
        world_from_camera (`np.ndarray`): (4, 4) rigid pose.
        points_world (`np.ndarray`): (..., 3) in metres.

    Returns:
        `np.ndarray`: (..., 3) in the camera's axes, metres.
    """
    return (points_world - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]


def relative_pose(world_from_target: np.ndarray, world_from_source: np.ndarray) -> np.ndarray:
    """Transform that carries points of the source camera into the target camera.

    Args:
        world_from_target (`np.ndarray`): (4, 4) rigid pose.
        world_from_source (`np.ndarray`): (4, 4) rigid pose.

    Returns:
        `np.ndarray`: (4, 4) float64 `target_from_source`.
    """
    target_from_world = np.eye(4)
    rotation = world_from_target[:3, :3]
    target_from_world[:3, :3] = rotation.T
    target_from_world[:3, 3] = -rotation.T @ world_from_target[:3, 3]
    return target_from_world @ world_from_source
