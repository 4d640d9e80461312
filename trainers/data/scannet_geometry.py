"""Geometry of ScanNet scans from ScanNet's own files: axis alignment, boxes of annotated objects, boxes of proposals.

Boxes are six numbers, centre and size in metres, with the axes of the scan's aligned world. Objects are known by
ScanNet's `objectId`, whatever numbers it leaves out.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from igep.trainers.data.json_file import read_json
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.geometry.oriented_boxes import box_problem


MAX_PROPOSALS = 50  # what Video-3D LLM, 3DRS and 3D-IDE take of Mask3D's masks
UNNAMED = "object"  # label of boxes from files that hold no names


@dataclass(frozen=True)
class ObjectBox:
    """The box of an annotated object.

    Args:
        object_id (`int`): ScanNet's `objectId`.
        label (`str`): Its raw category.
        box (`tuple[float, ...]`): Centre and size in metres, six numbers.
    """

    object_id: int
    label: str
    box: tuple[float, ...]


def read_axis_alignment(path: str | Path) -> np.ndarray | None:
    """Read the rotation about the vertical axis that aligns a scan's walls with the axes.

    Args:
        path (`str | Path`): `<scan>.txt`.

    Returns:
        `np.ndarray` or `None`: (4, 4) float64, aligned world from scan world; `None` without that line (test scans).

    Raises:
        SpatialDataError: Missing file, or a line without 16 finite numbers.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SpatialDataError(f"{path}: not readable ({error}). Download the scan's .txt file.") from error
    for line in lines:
        name, _, values = line.partition("=")
        if name.strip() != "axisAlignment":
            continue
        try:
            matrix = np.array([float(value) for value in values.split()])
        except ValueError as error:
            raise SpatialDataError(f"{path}: axisAlignment is not numbers ({error}). Download it again.") from error
        if matrix.size != 16 or not np.isfinite(matrix).all():
            raise SpatialDataError(
                f"{path}: axisAlignment has {matrix.size} numbers, of which {np.isfinite(matrix).sum()} are finite, "
                "not 16. Download it again."
            )
        return matrix.reshape(4, 4)
    return None


def align_points(points: np.ndarray, aligned_from_scan: np.ndarray | None) -> np.ndarray:
    """Points of the scan's world in its aligned world.

    Args:
        points (`np.ndarray`): (N, 3).
        aligned_from_scan (`np.ndarray`, *optional*): (4, 4); `None` = they stay as they are.

    Returns:
        `np.ndarray`: (N, 3) float64.
    """
    if aligned_from_scan is None:
        return points
    return points @ aligned_from_scan[:3, :3].T + aligned_from_scan[:3, 3]


def box_of_points(points: np.ndarray) -> tuple[float, ...]:
    """The axis-aligned box around points.

    Args:
        points (`np.ndarray`): (N, 3), at least one.

    Returns:
        `tuple[float, ...]`: Centre and size, six numbers.
    """
    low, high = points.min(0), points.max(0)
    return (*((low + high) / 2).tolist(), *(high - low).tolist())


def object_boxes(
    vertices: np.ndarray, segments_file: str | Path, aggregation_file: str | Path
) -> tuple[list[ObjectBox], list[int]]:
    """Boxes of a scan's annotated objects: walls and floors as well, as the benchmarks number them.

    Args:
        vertices (`np.ndarray`): (N, 3), vertices of `<scan>_vh_clean_2.ply` in the aligned world.
        segments_file (`str | Path`): `<scan>_vh_clean_2.0.010000.segs.json`: a segment for each vertex.
        aggregation_file (`str | Path`): `<scan>.aggregation.json`: segments of each object.

    Returns:
        `tuple[list[ObjectBox], list[int]]`: Boxes in the order of their ids, and the ids of objects without a vertex.

    Raises:
        SpatialDataError: A malformed file, another number of vertices than segments, or an id that comes twice.
    """
    segments = read_json(segments_file, dict).get("segIndices")
    if not isinstance(segments, list) or len(segments) != len(vertices):
        count = len(segments) if isinstance(segments, list) else "no"
        raise SpatialDataError(
            f"{segments_file}: {count} `segIndices` for the {len(vertices)} vertices of the mesh. Download both again."
        )
    known, place_of_vertex = np.unique(np.asarray(segments), return_inverse=True)
    groups = read_json(aggregation_file, dict).get("segGroups")
    if not isinstance(groups, list):
        raise SpatialDataError(f"{aggregation_file}: no list `segGroups`. Download it again.")
    boxes, without_vertex = {}, []
    for number, group in enumerate(groups):
        where = f"{aggregation_file}, segGroups[{number}]"
        try:
            object_id, members, label = int(group["objectId"]), group["segments"], str(group["label"])
        except (KeyError, TypeError, ValueError) as error:
            raise SpatialDataError(
                f"{where}: lacks objectId, segments or label ({error!r}). Download it again."
            ) from error
        if object_id in boxes or object_id in without_vertex:
            raise SpatialDataError(f"{where}: objectId {object_id} was used before. Give each object its own.")
        inside = np.isin(known, members)[place_of_vertex]
        if inside.any():
            boxes[object_id] = ObjectBox(object_id, label, box_of_points(vertices[inside]))
        else:
            without_vertex.append(object_id)
    return [boxes[object_id] for object_id in sorted(boxes)], sorted(without_vertex)


def mask_proposals(
    path: str | Path, vertices: np.ndarray, max_proposals: int = MAX_PROPOSALS
) -> tuple[list[tuple[float, ...]], int]:
    """Boxes of Mask3D's masks, in their order.

    Args:
        path (`str | Path`): `<scan>.mask.npz`, a SciPy sparse matrix, masks x vertices of `<scan>_vh_clean_2.ply`.
        vertices (`np.ndarray`): (N, 3), those vertices in the aligned world.
        max_proposals (`int`, *optional*, defaults to `50`): Take the first so many masks.

    Returns:
        `tuple[list[tuple[float, ...]], int]`: Boxes of six numbers, and how many of these masks were empty.

    Raises:
        SpatialDataError: Not such a file, or masks of another mesh.
    """
    try:
        masks = sparse.load_npz(path).tocsr()[:max_proposals]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SpatialDataError(f"{path}: not a sparse matrix of SciPy ({error}). Copy the masks again.") from error
    if masks.shape[1] != len(vertices):
        raise SpatialDataError(
            f"{path}: masks over {masks.shape[1]} vertices, the mesh has {len(vertices)}. Give the masks of this mesh."
        )
    masks.eliminate_zeros()
    members = [masks.indices[masks.indptr[row] : masks.indptr[row + 1]] for row in range(masks.shape[0])]
    boxes = [box_of_points(vertices[inside]) for inside in members if len(inside)]
    return boxes, len(members) - len(boxes)


class SceneBoxFile:
    """Boxes per scene from a metadata file of Video-3D LLM: `{"scannet/<scan>": [[x, y, z, dx, dy, dz], ...]}`.

    In `scannet_train_gt_box.json` a box's place in its list is its object's id.

    Args:
        path (`str | Path`): `scannet_train_gt_box.json` or `scannet_val_pred_box.json`.

    Raises:
        SpatialDataError: Missing, cut off, or not such a file.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self._boxes = read_json(path, dict)

    def boxes(self, scene_id: str) -> list[tuple[float, ...]] | None:
        """Boxes of a scene; `None` if the file does not have it; `SpatialDataError` where one is no box."""
        found = self._boxes.get(f"scannet/{scene_id}", self._boxes.get(scene_id))
        if found is None:
            return None
        if not isinstance(found, list):
            raise SpatialDataError(f"{self.path}, {scene_id}: a {type(found).__name__}, not a list of boxes.")
        return [checked_numbers(f"{self.path}, {scene_id}, box {number}", box) for number, box in enumerate(found)]


def checked_numbers(where: str, box: Sequence[float]) -> tuple[float, ...]:
    """Six numbers that are a box.

    Args:
        where (`str`): File and place, for the message.
        box (`Sequence[float]`): Centre and size in metres.

    Returns:
        `tuple[float, ...]`: The same.

    Raises:
        SpatialDataError: Not six finite numbers, or a negative size.
    """
    if not isinstance(box, list | tuple) or not all(isinstance(value, int | float) for value in box):
        raise SpatialDataError(f"{where}: {box!r} is no list of numbers. Give [x, y, z, dx, dy, dz] in metres.")
    problem = box_problem(box) or (None if len(box) == 6 else f"has {len(box)} numbers, not 6")
    if problem:
        raise SpatialDataError(
            f"{where}: {list(box)} {problem}. Give [x, y, z, dx, dy, dz] in metres, or leave the scene out."
        )
    return tuple(float(value) for value in box)
