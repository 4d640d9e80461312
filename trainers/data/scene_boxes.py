"""Boxes of a scene folder's objects: a `boxes.json` of one's own, or ScanNet's mesh with its segments and aggregation.

    boxes.json: [{"label": "chair", "centre_metres": [x, y, z], "size_metres": [w, d, h], "yaw_radians": 0.3}, ...]

Boxes are in the world of the scene's poses, whose z points up; yaw turns about it and is 0 unless given. ScanNet's
files are those of a download, `<scan>.aggregation.json`, `<scan>_vh_clean_2.ply`,
`<scan>_vh_clean_2.0.010000.segs.json` and, for the directions of the walls, `<scan>.txt`: in the scene folder, or in
`scans/<scan>/` beside `posed_images/<scan>/`.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from igep.trainers.data.json_file import read_json
from igep.trainers.data.ply_vertices import read_ply_vertices
from igep.trainers.data.scannet_geometry import align_points, checked_numbers, object_boxes, read_axis_alignment
from igep.trainers.data.scenes.spatial_example import SpatialDataError


logger = logging.getLogger(__name__)

BOX_FILE = "boxes.json"
NO_OBJECTS = ("wall", "floor", "ceiling")  # annotated as well, and as large as the room


def scene_boxes(folder: Path) -> list[dict[str, Any]]:
    """Reads the boxes of a scene folder.

    Args:
        folder (`Path`): The folder; its name is the scene's.

    Returns:
        `list[dict]`: Boxes of the row schema, in the world of the folder's poses; none where there are neither files,
        which the log says.

    Raises:
        SpatialDataError: A file is malformed, or ScanNet's are there in part.
    """
    own = folder / BOX_FILE
    if own.is_file():
        return [_own_box(f"{own}, entry {number}", entry) for number, entry in enumerate(read_json(own, list))]
    places = (folder, folder.parent.parent / "scans" / folder.name)
    aggregation = f"{folder.name}.aggregation.json"
    scan = next((place for place in places if (place / aggregation).is_file()), None)
    if scan is None:
        logger.warning("%s: no boxes of objects: neither %s nor %s.", folder, BOX_FILE, aggregation)
        return []
    alignment_file = scan / f"{folder.name}.txt"
    alignment = read_axis_alignment(alignment_file) if alignment_file.is_file() else None
    vertices = align_points(read_ply_vertices(scan / f"{folder.name}_vh_clean_2.ply"), alignment)
    segments = scan / f"{folder.name}_vh_clean_2.0.010000.segs.json"
    found, without_vertex = object_boxes(vertices, segments, scan / aggregation)
    kept = [each for each in found if each.label.strip().lower() not in NO_OBJECTS]
    logger.info(
        "%s: %d boxes of objects; %d of %s and %d objects without a vertex are left out.",
        *(folder, len(kept), len(found) - len(kept), ", ".join(NO_OBJECTS), len(without_vertex)),
    )
    return [_in_scan(each.label, each.box, alignment) for each in kept]


def _own_box(where: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str) or not entry["label"].strip():
        raise SpatialDataError(
            f"{where}: no `label`. Give label, centre_metres, size_metres and, if turned, yaw_radians."
        )
    numbers = []
    for name in ("centre_metres", "size_metres"):
        part = entry.get(name)
        if not isinstance(part, list) or len(part) != 3:
            raise SpatialDataError(f"{where}: `{name}` is {part!r}: give three numbers of metres.")
        numbers += part
    yaw = entry.get("yaw_radians", 0.0)
    if isinstance(yaw, bool) or not isinstance(yaw, int | float) or not np.isfinite(yaw):
        raise SpatialDataError(f"{where}: `yaw_radians` is {yaw!r}: give a finite number, or leave it out.")
    box = checked_numbers(where, numbers)
    return {
        "label": entry["label"],
        "centre_metres": list(box[:3]),
        "size_metres": list(box[3:]),
        "yaw_radians": float(yaw),
    }


def _in_scan(label: str, box: tuple[float, ...], aligned_from_scan: np.ndarray | None) -> dict[str, Any]:
    """A box along the axes of the aligned world, in the world of the poses: turned back about the vertical axis."""
    centre, yaw = np.array(box[:3]), 0.0
    if aligned_from_scan is not None:
        centre = np.linalg.solve(aligned_from_scan, np.append(centre, 1))[:3]
        yaw = -float(np.arctan2(aligned_from_scan[1, 0], aligned_from_scan[0, 0]))
    return {"label": label, "centre_metres": centre.tolist(), "size_metres": list(box[3:]), "yaw_radians": yaw}
