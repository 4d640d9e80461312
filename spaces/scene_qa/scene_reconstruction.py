"""What a Vid-LLM reconstructs of a video, as a file for a 3D viewer and as pictures. Loaded for such models alone."""

from typing import NamedTuple

import numpy as np
import trimesh
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb
from scene_model import Scene, SceneModel


KEPT_SHARE = 0.7  # of the points, the most confident
MOST_POINTS = 300_000
CAMERA_SHARE = 0.04  # of the room's size: how large a camera is drawn
PATH_COLOUR = (255, 64, 32, 255)
GLTF_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])  # a viewer's y points up
NEAR_TO_FAR = np.array([unlabel_rgb(colour) for colour in sample_colorscale("Viridis_r", np.linspace(0, 1, 256))])
SMALLEST_SIDE = 240  # smaller depth maps are enlarged, whole pixels at a time


class SceneGeometry(NamedTuple):
    """A reconstructed video, in the world of its first camera: x right, y down, z forward.

    Args:
        colours (`np.ndarray`): (F, H, W, 3) uint8.
        depth_metres (`np.ndarray`): (F, H, W).
        confidence (`np.ndarray`): (F, H, W).
        intrinsics (`np.ndarray`): (F, 3, 3) in pixels of H x W.
        world_from_camera (`np.ndarray`): (F, 4, 4).
    """

    colours: np.ndarray
    depth_metres: np.ndarray
    confidence: np.ndarray
    intrinsics: np.ndarray
    world_from_camera: np.ndarray

    @property
    def points_metres(self) -> np.ndarray:
        """(F, H, W, 3): where each pixel's surface is."""
        height, width = self.depth_metres.shape[1:]
        pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
        rays = np.concatenate([pixels, np.ones((height, width, 1))], -1)
        seen = np.einsum("fij,hwj->fhwi", np.linalg.inv(self.intrinsics), rays) * self.depth_metres[..., None]
        turned = np.einsum("fij,fhwj->fhwi", self.world_from_camera[:, :3, :3], seen)
        return turned + self.world_from_camera[:, None, None, :3, 3]

    @property
    def path_metres(self) -> float:
        """How far the camera has moved."""
        return float(np.linalg.norm(np.diff(self.world_from_camera[:, :3, 3], axis=0), axis=-1).sum())


def geometry_of(model: SceneModel, scene: Scene) -> SceneGeometry:
    """Reconstructs a scene; where a question was asked before, that has been done already.

    Args:
        model (`SceneModel`): A model that `reconstructs`.
        scene (`Scene`): The frames.

    Returns:
        `SceneGeometry`
    """
    (frames,) = model.looked_at(scene).values()
    names = ("depth_metres", "depth_confidence", "intrinsics", "world_from_camera")
    found = [frames.reconstruction[name][0].double().numpy() for name in names]
    size = found[0].shape[:0:-1]
    colours = np.stack([np.asarray(frame.convert("RGB").resize(size)) for frame in scene.frames])
    return SceneGeometry(colours, *found)


def as_glb(geometry: SceneGeometry) -> bytes:
    """Coloured points, the path of the camera as a line, and each camera as a small pyramid.

    Args:
        geometry (`SceneGeometry`): The video.

    Returns:
        `bytes`: A binary glTF with the geometries `points`, `cameras` and, of several frames, `camera_path`.
    """
    points, colours = _kept(geometry)
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.PointCloud(points, _linear(colours)), geom_name="points")
    centres = geometry.world_from_camera[:, :3, 3]
    if len(centres) > 1:
        scene.add_geometry(_lines(centres, [list(range(len(centres)))]), geom_name="camera_path")
    scene.add_geometry(_cameras(geometry, np.ptp(points, axis=0).max()), geom_name="cameras")
    scene.apply_transform(GLTF_FROM_OPENCV)
    return scene.export(file_type="glb")


def depth_pictures(geometry: SceneGeometry) -> list[tuple[Image.Image, str]]:
    """Depth maps in one scale of colours, near bright.

    Args:
        geometry (`SceneGeometry`): The video.

    Returns:
        `list[tuple[PIL.Image.Image, str]]`: Of each frame a picture and what it shows.
    """
    near, far = np.percentile(geometry.depth_metres, [2, 98])
    shares = np.clip((geometry.depth_metres - near) / max(far - near, 1e-6), 0, 1)
    pictures = []
    for number, (share, depth) in enumerate(zip(shares, geometry.depth_metres, strict=True), start=1):
        picture = Image.fromarray(NEAR_TO_FAR[(share * 255).astype(int)].astype(np.uint8))
        factor = max(1, round(SMALLEST_SIDE / min(picture.size)))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        pictures.append((picture, f"Frame {number}, median {np.median(depth):.2f} m"))
    return pictures


def in_words(geometry: SceneGeometry) -> str:
    """What was reconstructed, in a sentence.

    Args:
        geometry (`SceneGeometry`): The video.

    Returns:
        `str`
    """
    near, far = np.percentile(geometry.depth_metres, [2, 98])
    frames = len(geometry.depth_metres)
    moved = (
        "One frame: the camera has no path."
        if frames == 1
        else f"The camera moved {geometry.path_metres:.2f} m over {frames} frames."
    )
    return f"{moved} Depths from {near:.2f} to {far:.2f} m. All of it is predicted from the RGB frames."


def _kept(geometry: SceneGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The most confident points, evenly so many of them, with their colours."""
    points, confidence = geometry.points_metres.reshape(-1, 3), geometry.confidence.reshape(-1)
    kept = np.flatnonzero(confidence >= np.quantile(confidence, 1 - KEPT_SHARE))
    if len(kept) > MOST_POINTS:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_POINTS).round().astype(int)]
    return points[kept], geometry.colours.reshape(-1, 3)[kept]


def _cameras(geometry: SceneGeometry, room_metres: float) -> trimesh.path.Path3D:
    height, width = geometry.depth_metres.shape[1:]
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64)
    vertices, lines = [], []
    for pose, intrinsics in zip(geometry.world_from_camera, geometry.intrinsics, strict=True):
        seen = CAMERA_SHARE * room_metres * corners @ np.linalg.inv(intrinsics).T
        start = 5 * len(vertices)
        vertices.append(np.concatenate([pose[None, :3, 3], seen @ pose[:3, :3].T + pose[:3, 3]]))
        lines += [[start, start + corner] for corner in range(1, 5)]
        lines.append([start + corner for corner in (1, 2, 3, 4, 1)])
    return _lines(np.concatenate(vertices), lines)


def _lines(vertices: np.ndarray, lines: list[list[int]]) -> trimesh.path.Path3D:
    entities = [trimesh.path.entities.Line(line) for line in lines]
    colours = np.tile(np.uint8(PATH_COLOUR), (len(lines), 1))
    return trimesh.path.Path3D(entities=entities, vertices=vertices, colors=colours, process=False)


def _linear(colours: np.ndarray) -> np.ndarray:
    """sRGB to linear light with full opacity, as glTF wants it."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    opaque = np.full((len(colours), 1), 255, dtype=np.uint8)
    return np.concatenate([(255 * linear).round().astype(np.uint8), opaque], -1)
