"""All usable frames of a scene in memory, small: depth with every n-th pixel, colour as its local contrast."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.colour_camera_depth import assert_one_size, assert_principal_point
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_depth, decode_frame
from igep.trainers.geometry.depth_sampling import crosses_depth_edge, sample_inverse_depth


DEPTH_SIDE, COLOUR_SIDE = 160, 160  # pixels: enough for a thousand points a frame, and a long video fits into memory
POINTS_PER_FRAME = 800
CONTRAST_PIXELS = (
    3.0  # colours are compared with their surroundings of this size: brightness may change between frames
)
GREY_LEVELS_OF_NOISE = 3.0  # contrast below this many of 255 levels is no texture


@dataclass(frozen=True)
class SceneViews:
    """Frames of a scene that have depth and a pose. N is their number.

    Args:
        scene_id (`str`): The scene.
        frames (`list[int]`): N places in the stored scene.
        frame_ids (`list[str]`): N names.
        inverse_depth (`np.ndarray`): (N, h, w) float32 per metre, as stored: along the optical axis or to the camera;
            0 = not measured.
        is_surface (`np.ndarray`): (N, h - 1, w - 1) bool, four neighbours that are measured and on one surface.
        points (`np.ndarray`): (N, P, 3) float32, x and y in pixels of the depth map and the stored depth in metres, on
            surfaces; 0 where a frame has fewer than P.
        depth_intrinsics (`np.ndarray`): (N, 3, 3), in pixels of `inverse_depth`.
        depth_kind (`str`): `"z"` or `"euclidean"`.
        contrast (`np.ndarray`): (N, H, W) float16 grey value relative to its surroundings.
        texture (`np.ndarray`): (N,) share of pixels whose contrast is above noise.
        colour_intrinsics (`np.ndarray`): (N, 3, 3), in pixels of `contrast`.
        world_from_camera (`np.ndarray`): (N, 4, 4), of the colour camera.
        colour_from_depth (`np.ndarray`): (4, 4).
        has_depth_camera (`bool`): Whether the depth camera has intrinsics of its own.
        colour_size (`tuple[int, int]`): Height and width of the stored frames.
        depth_size (`tuple[int, int]`): Height and width of the stored depth maps.
    """

    scene_id: str
    frames: list[int]
    frame_ids: list[str]
    inverse_depth: np.ndarray
    is_surface: np.ndarray
    points: np.ndarray
    depth_intrinsics: np.ndarray
    depth_kind: str
    contrast: np.ndarray
    texture: np.ndarray
    colour_intrinsics: np.ndarray
    world_from_camera: np.ndarray
    colour_from_depth: np.ndarray
    has_depth_camera: bool
    colour_size: tuple[int, int]
    depth_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frame_ids)

    @property
    def median_depth_metres(self) -> float:
        """Median of the stored depth of all points."""
        depth = self.points[..., 2]
        return float(np.median(depth[depth > 0])) if (depth > 0).any() else float("nan")


def read_scene_views(scene: ValidScene) -> SceneViews:
    """Decode every image of a scene with depth, poses and intrinsics, and keep little of each.

    Args:
        scene (`ValidScene`): The scene.

    Returns:
        `SceneViews`: Its frames that have a pose and a depth map.

    Raises:
        SpatialDataError: An image cannot be read, images differ in size, or a principal point lies outside its image.
    """
    usable = [frame for frame in scene.valid_frames.tolist() if scene.depth[frame] is not None]
    contrast, textures, colour_sizes = [], [], []
    for index, entry in enumerate(scene.frames):
        image = decode_frame(scene.scene_id, index, entry)
        colour_sizes.append(image.size)
        if index in usable:
            small, texture = _local_contrast(image)
            contrast.append(small)
            textures.append(texture)
    assert_one_size(scene, "frames", colour_sizes)
    stored, depth_sizes = [], []
    for index, entry in enumerate(scene.depth):
        if entry is None:
            continue
        depth = decode_depth(scene.scene_id, index, entry)
        depth_sizes.append(depth.shape[::-1])
        if index in usable:
            stored.append(_thinned(depth))
    assert_one_size(scene, "depth", depth_sizes)
    colour_size, depth_size = colour_sizes[0][::-1], depth_sizes[0][::-1]
    assert_principal_point(scene, "intrinsics", scene.intrinsics, "frames", colour_size)
    if scene.depth_intrinsics is None:
        depth_intrinsics = resize_intrinsics(scene.intrinsics, colour_size, depth_size)
    else:
        depth_intrinsics = scene.depth_intrinsics
        assert_principal_point(scene, "depth_intrinsics", depth_intrinsics, "depth maps", depth_size)
    depth_metres = np.stack(stored).astype(np.float32) * np.float32(scene.metres_per_depth_unit)
    inverse_depth = np.divide(1, depth_metres, out=np.zeros_like(depth_metres), where=depth_metres > 0)
    is_surface = np.stack([_surfaces(depth) for depth in depth_metres])
    return SceneViews(
        scene_id=scene.scene_id,
        frames=usable,
        frame_ids=[scene.frame_ids[frame] for frame in usable],
        inverse_depth=inverse_depth,
        is_surface=is_surface,
        points=_points(depth_metres, is_surface),
        depth_intrinsics=_thinned_intrinsics(depth_intrinsics[usable], depth_size),
        depth_kind=scene.depth_kind,
        contrast=np.stack(contrast),
        texture=np.array(textures),
        colour_intrinsics=resize_intrinsics(scene.intrinsics[usable], colour_size, contrast[0].shape),
        world_from_camera=scene.world_from_camera[usable],
        colour_from_depth=np.eye(4) if scene.colour_from_depth is None else scene.colour_from_depth,
        has_depth_camera=scene.depth_intrinsics is not None,
        colour_size=colour_size,
        depth_size=depth_size,
    )


def _step(size: tuple[int, int]) -> int:
    return -(-max(size) // DEPTH_SIDE)


def _thinned(depth: np.ndarray) -> np.ndarray:
    """Every n-th row and column, values unchanged."""
    step = _step(depth.shape)
    return depth[step // 2 :: step, step // 2 :: step]


def _thinned_intrinsics(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel i of the small map is pixel i * step + step // 2 of the large one, centres at +0.5."""
    step = _step(size)
    thinned = intrinsics.astype(np.float64)
    if step > 1:
        thinned[:, :2, 2] -= step // 2 + 0.5
        thinned[:, :2] /= step
        thinned[:, :2, 2] += 0.5
    return thinned


def _local_contrast(image: Image.Image) -> tuple[np.ndarray, float]:
    """(H, W) grey values less those around them, over how much they vary there; and the share of textured pixels."""
    grey = image.convert("L")
    scale = min(1.0, COLOUR_SIDE / max(grey.size))
    if scale < 1:
        grey = grey.resize(
            (max(2, round(grey.width * scale)), max(2, round(grey.height * scale))), Image.Resampling.BOX
        )
    values = np.asarray(grey, dtype=np.float32)
    detail = values - gaussian_filter(values, CONTRAST_PIXELS)
    variance = gaussian_filter(detail * detail, CONTRAST_PIXELS)
    contrast = (detail / np.sqrt(variance + GREY_LEVELS_OF_NOISE**2)).astype(np.float16)
    return contrast, float((variance > GREY_LEVELS_OF_NOISE**2).mean())


def _surfaces(depth_metres: np.ndarray) -> np.ndarray:
    height, width = depth_metres.shape
    places = torch.stack(torch.meshgrid(torch.arange(1.0, width), torch.arange(1.0, height), indexing="xy"), dim=-1)
    depth = torch.from_numpy(depth_metres)
    measured = sample_inverse_depth(depth, places).valid
    return (measured & ~crosses_depth_edge(depth, places)).numpy()


def _points(depth_metres: np.ndarray, is_surface: np.ndarray) -> np.ndarray:
    """(N, P, 3) evenly spread pixels of each frame whose neighbours below and to the right are of the same surface."""
    points = np.zeros((len(depth_metres), POINTS_PER_FRAME, 3), dtype=np.float32)
    for frame, (depth, surface) in enumerate(zip(depth_metres, is_surface, strict=True)):
        rows, columns = np.nonzero(surface)
        taken = np.linspace(0, len(rows) - 1, min(POINTS_PER_FRAME, len(rows))).round().astype(int)
        row, column = rows[taken], columns[taken]
        points[frame, : len(taken)] = np.stack([column + 0.5, row + 0.5, depth[row, column]], axis=-1)
    return points
