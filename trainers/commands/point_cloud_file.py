"""Coloured points and the cameras that saw them as one file: .glb for viewers, .ply for programs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh


SUFFIXES = (".glb", ".ply")
CAMERA_METRES = 0.1  # how far in front of its centre a camera is drawn
PATH_STEP_METRES = 0.01  # of the points that draw the path where a format has no lines
MOST_PATH_POINTS = 10_000
PATH_COLOUR = (255, 64, 32, 255)
GLTF_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])  # glTF: y up, cameras look along -z


class PointCloud(NamedTuple):
    """What a video shows, in the world of its first camera: x right, y down, z forward.

    Args:
        points_metres (`np.ndarray`): (N, 3).
        colours (`np.ndarray`): (N, 3) uint8 sRGB.
        world_from_camera (`np.ndarray`): (F, 4, 4).
        intrinsics (`np.ndarray`): (F, 3, 3) in pixels of `image_size`.
        image_size (`tuple[int, int]`): (height, width).
    """

    points_metres: np.ndarray
    colours: np.ndarray
    world_from_camera: np.ndarray
    intrinsics: np.ndarray
    image_size: tuple[int, int]


def confident_points(
    points_metres: np.ndarray, colours: np.ndarray, confidence: np.ndarray, keep: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the points of a cloud: the most confident ones, and of those evenly so many.

    Args:
        points_metres (`np.ndarray`): (..., 3); points that are not finite are left out.
        colours (`np.ndarray`): (..., 3) uint8.
        confidence (`np.ndarray`): (...).
        keep (`float`): Share of the finite points that is kept, in (0, 1].
        most (`int`): Most points.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: (N, 3) points and colours, in the order that they came in.

    Raises:
        ValueError: A share or a number out of range, or no finite point.
    """
    check_selection(keep, most)
    finite = np.isfinite(points_metres).all(-1) & np.isfinite(confidence)
    points, colours, confidence = points_metres[finite], colours[finite], confidence[finite]
    if not len(points):
        raise ValueError("not one point is finite: the model's weights are not, or not trained.")
    kept = np.argsort(-confidence, kind="stable")[: max(1, round(keep * len(points)))]
    kept = np.sort(kept)
    if len(kept) > most:
        kept = kept[np.linspace(0, len(kept) - 1, most).round().astype(int)]
    return points[kept], colours[kept]


def check_selection(keep: float, most: int) -> None:
    """Raises `ValueError` for a share or a number of points that cannot be, see `confident_points`."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}: give a share above 0 and up to 1 of the points.")
    if most < 1:
        raise ValueError(f"points={most}: keep at least one point.")


def check_point_cloud_file(path: Path, *, overwrite: bool) -> None:
    """Says before any work whether a file can be written.

    Args:
        path (`Path`): The file.
        overwrite (`bool`): Whether one that is there may be replaced.

    Raises:
        ValueError: An unknown suffix.
        FileExistsError: It is there.
        NotADirectoryError: What should be its folder is a file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a point cloud is written as {' or '.join(SUFFIXES)}. Give such a name.")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: give the name of a file.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already: give --overwrite, or another name.")
    inside = next(folder for folder in path.absolute().parents if folder.exists())
    if not inside.is_dir():
        raise NotADirectoryError(f"{path}: {inside} is a file and no folder. Give another name.")


def save_point_cloud(path: Path, cloud: PointCloud) -> None:
    """Writes points, the path of the camera, and (.glb) every camera as a small pyramid.

    A .glb has the geometries `points`, `camera_path` and `cameras`, with y up as glTF has it, and colours made linear
    as it wants them. A .ply has points alone, in the world of the first camera with colours as they are; the path is
    points `PATH_STEP_METRES` apart after the others, in `PATH_COLOUR`. A path needs two cameras.

    Args:
        path (`Path`): Its suffix says which; its folder is made when missing, a file that is there is replaced.
        cloud (`PointCloud`): What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.lower().removeprefix(".")
    data = _as_ply(cloud) if kind == "ply" else _as_glb(cloud)
    part = path.with_name(path.name + ".part")  # a name is there with all of its content, or not at all
    part.write_bytes(data)
    part.replace(path)


def _as_glb(cloud: PointCloud) -> bytes:
    scene = trimesh.Scene()
    colours = _with_alpha(_linear(cloud.colours))
    scene.add_geometry(trimesh.PointCloud(cloud.points_metres, colours), geom_name="points", node_name="points")
    centres = cloud.world_from_camera[:, :3, 3]
    if len(centres) > 1:
        _add_lines(scene, "camera_path", centres, [list(range(len(centres)))])
    _add_lines(scene, "cameras", *_pyramids(cloud))
    scene.apply_transform(GLTF_FROM_OPENCV)
    return scene.export(file_type="glb")


def _as_ply(cloud: PointCloud) -> bytes:
    path = _path_points(cloud.world_from_camera[:, :3, 3])
    points = np.concatenate([cloud.points_metres, path])
    colours = np.concatenate([_with_alpha(cloud.colours), np.tile(np.uint8(PATH_COLOUR), (len(path), 1))])
    return trimesh.PointCloud(points, colours).export(file_type="ply")


def _add_lines(scene: trimesh.Scene, name: str, vertices: np.ndarray, lines: list[list[int]]) -> None:
    entities = [trimesh.path.entities.Line(line) for line in lines]
    colours = np.tile(np.uint8(PATH_COLOUR), (len(lines), 1))
    drawn = trimesh.path.Path3D(entities=entities, vertices=vertices, colors=colours, process=False)
    scene.add_geometry(drawn, geom_name=name, node_name=name)


def _pyramids(cloud: PointCloud) -> tuple[np.ndarray, list[list[int]]]:
    """Vertices and lines: of each camera its centre and the corners of its image, `CAMERA_METRES` away."""
    height, width = cloud.image_size
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=np.float64)
    vertices, lines = [], []
    for pose, intrinsics in zip(cloud.world_from_camera, cloud.intrinsics, strict=True):
        seen = CAMERA_METRES * corners @ np.linalg.inv(intrinsics).T
        start = 5 * len(vertices)
        vertices.append(np.concatenate([pose[None, :3, 3], seen @ pose[:3, :3].T + pose[:3, 3]]))
        lines += [[start, start + corner] for corner in range(1, 5)]
        lines.append([start + corner for corner in (1, 2, 3, 4, 1)])
    return np.concatenate(vertices), lines


def _path_points(centres: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(np.diff(centres, axis=0), axis=-1)
    along = np.concatenate([[0.0], lengths.cumsum()])
    if along[-1] == 0:
        return np.empty((0, 3))
    places = np.linspace(0, along[-1], min(MOST_PATH_POINTS, int(along[-1] / PATH_STEP_METRES) + 2))
    return np.stack([np.interp(places, along, axis) for axis in centres.T], -1)


def _with_alpha(colours: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, np.full((len(colours), 1), 255, dtype=np.uint8)], -1)


def _linear(colours: np.ndarray) -> np.ndarray:
    """sRGB to linear light (IEC 61966-2-1), both as 8 bits."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return (255 * linear).round().astype(np.uint8)
