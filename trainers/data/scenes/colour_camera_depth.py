"""Depth as the colour camera sees it, whatever camera measured it, in metres along the optical axis."""

import numpy as np
import torch

from igep.camera_geometry import register_depth, z_from_euclidean
from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_depth
from igep.trainers.data.scenes.spatial_example import SpatialDataError


SAME_CAMERA_PIXELS = 0.01  # cameras that differ by less than this see the same pixels under nearest sampling
ASPECT_TOLERANCE = 0.02


def nearest_depth(depth_metres: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples depth by the pixel whose area holds the new centre: depth edges stay edges.

    Args:
        depth_metres (`np.ndarray`): (..., h, w).
        size (`tuple[int, int]`): Height and width to have.

    Returns:
        `np.ndarray`: (..., H, W), the input itself if it has the size.
    """
    height, width = depth_metres.shape[-2:]
    if (height, width) == tuple(size):
        return depth_metres
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(int)
    return depth_metres[..., rows[:, None], columns]


def assert_one_size(scene: ValidScene, field: str, sizes: list[tuple[int, int]]) -> None:
    """Raises `SpatialDataError` unless all images of a field have one size (width, height)."""
    if len(set(sizes)) > 1:
        raise SpatialDataError(
            f"Scene {scene.scene_id!r}: `{field}` have several sizes (width, height): {sorted(set(sizes))}. Frames of "
            "a scene have one size: resize them, and their intrinsics with them."
        )


def assert_principal_point(
    scene: ValidScene, field: str, intrinsics: np.ndarray, images: str, size: tuple[int, int]
) -> None:
    """Raises `SpatialDataError` if a principal point lies outside its image of `size` (height, width)."""
    centres = intrinsics[:, :2, 2]
    if not ((centres > 0) & (centres < (size[1], size[0]))).all():
        raise SpatialDataError(
            f"Scene {scene.scene_id!r}: the principal point of `{field}`, {centres[0].tolist()}, is outside the "
            f"{images} of {size[1]}x{size[0]} pixels. Intrinsics are in pixels of the stored image: rescale them to "
            "its size."
        )


def depth_in_colour_camera(
    scene: ValidScene,
    sampled: np.ndarray,
    colour_size: tuple[int, int],
    geometry_size: tuple[int, int] | None,
    max_depth_metres: float = np.inf,
) -> np.ndarray:
    """Reads depth maps of a scene and carries them into the colour camera.

    Args:
        scene (`ValidScene`): A scene with depth.
        sampled (`np.ndarray`): (F,) indices of frames.
        colour_size (`tuple[int, int]`): Height and width of the colour frames.
        geometry_size (`tuple[int, int]`, *optional*): (H, W) of the result; that of the stored depth if `None`.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement.

    Returns:
        `np.ndarray`: (F, H, W) float32 z-depth in metres, nearest pixels, never blended; 0 = invalid.

    Raises:
        SpatialDataError: Depth of several sizes, or of a shape that cannot be the colour camera's.
    """
    stored = [
        None
        if scene.depth[index] is None
        else decode_depth(scene.scene_id, scene.frame_numbers[index], scene.depth[index])
        for index in sampled.tolist()
    ]
    present = [depth for depth in stored if depth is not None]
    if not present:
        return np.zeros((len(sampled), *(geometry_size or colour_size)), dtype=np.float32)
    assert_one_size(scene, "depth", [depth.shape[::-1] for depth in present])
    height, width = depth_size = present[0].shape
    geometry_size = geometry_size or depth_size
    depth = np.stack([np.zeros(depth_size, dtype=np.uint16) if depth is None else depth for depth in stored])
    depth_intrinsics = None
    if scene.depth_intrinsics is not None:
        depth_intrinsics = scene.depth_intrinsics[sampled]
        assert_principal_point(scene, "depth_intrinsics", depth_intrinsics, "depth maps", depth_size)
    else:
        aspect = (width * colour_size[0]) / (height * colour_size[1])
        if abs(aspect - 1) > ASPECT_TOLERANCE:
            raise SpatialDataError(
                f"Scene {scene.scene_id!r}: depth of {width}x{height} pixels for colour of {colour_size[1]}x"
                f"{colour_size[0]}, another aspect ratio. If another camera took it, give `depth_intrinsics`; else "
                "the depth is of the wrong size: export it again."
            )
        if scene.intrinsics is not None:
            depth_intrinsics = resize_intrinsics(scene.intrinsics[sampled], colour_size, depth_size)
    depth_metres = depth.astype(np.float32) * np.float32(scene.metres_per_depth_unit)
    if scene.depth_kind == "euclidean":
        depth_metres = z_from_euclidean(
            torch.from_numpy(depth_metres), torch.from_numpy(depth_intrinsics).float()
        ).numpy()
    depth_metres[depth_metres > max_depth_metres] = 0
    if _is_colour_camera(scene, sampled, depth_intrinsics, colour_size, depth_size):
        # One camera at two sizes: the nearest pixel is an index, far cheaper than the general warp.
        return nearest_depth(depth_metres, geometry_size)
    colour_intrinsics = resize_intrinsics(scene.intrinsics[sampled], colour_size, geometry_size)
    colour_from_depth = scene.colour_from_depth
    registered = [
        register_depth(
            torch.from_numpy(depth_metres[frame]),
            torch.from_numpy(depth_intrinsics[frame]),
            torch.from_numpy(colour_intrinsics[frame]),
            geometry_size,
            None if colour_from_depth is None else torch.from_numpy(colour_from_depth),
        )
        for frame in range(len(sampled))
    ]
    return torch.stack(registered).numpy()


def _is_colour_camera(
    scene: ValidScene,
    sampled: np.ndarray,
    depth_intrinsics: np.ndarray | None,
    colour_size: tuple[int, int],
    depth_size: tuple[int, int],
) -> bool:
    """Whether depth and colour come from one camera, up to the size of the image."""
    if scene.colour_from_depth is not None:
        return False
    if scene.depth_intrinsics is None:
        return True
    same = resize_intrinsics(scene.intrinsics[sampled], colour_size, depth_size)
    return bool(np.abs(same - depth_intrinsics).max() < SAME_CAMERA_PIXELS)
