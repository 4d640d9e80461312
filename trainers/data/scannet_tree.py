"""A ScanNet download as scenes with objects and proposals, without EmbodiedScan's file: folders that peers prepare.

    ROOT/posed_images/<scan>/      00000.jpg, 00000.png, 00000.txt, ..., intrinsic.txt, depth_intrinsic.txt
    ROOT/scans/<scan>/             <scan>.txt, <scan>_vh_clean_2.ply, <scan>_vh_clean_2.0.010000.segs.json,
                                   <scan>.aggregation.json; or color/, depth/, pose/, intrinsic/ of ScanNet's exporter
    ROOT/mask/<scan>.mask.npz      Mask3D's masks
    ROOT/metadata/ or ROOT/../metadata/   scannet_train_gt_box.json, scannet_val_pred_box.json

Only frames are needed; what else is missing is noted. Poses and boxes are those of the aligned world.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from igep.trainers.data.ply_vertices import read_ply_vertices
from igep.trainers.data.scannet import is_exported, read_scene_folder, scene_images
from igep.trainers.data.scannet_geometry import (
    UNNAMED,
    ObjectBox,
    SceneBoxFile,
    align_points,
    mask_proposals,
    object_boxes,
    read_axis_alignment,
)
from igep.trainers.data.scenes.frame_sampling import natural_order
from igep.trainers.data.scenes.spatial_example import SpatialDataError


FRAME_FOLDERS = ("posed_images", "scans", "")
OBJECT_FILE = "scannet_train_gt_box.json"
PROPOSAL_FILE = "scannet_val_pred_box.json"


@dataclass(frozen=True)
class ScannedScene:
    """A scene of the row schema, and what the schema has no column for.

    Args:
        row (`dict`): Row of `SCENE_FEATURES`; images are paths.
        object_ids (`list[int]`): ScanNet's ids of the row's boxes, in their order.
        proposals (`list[tuple[float, ...]]`): Boxes of six numbers that a detector proposes.
        notes (`list[str]`): What the scene lacks, in words.
        frames_without_pose (`int`): Frames that are left out, for their pose is none (tracking failed).
    """

    row: dict[str, Any]
    object_ids: list[int]
    proposals: list[tuple[float, ...]]
    notes: list[str]
    frames_without_pose: int = 0


class ScanNetTree:
    """Reads scenes of a ScanNet download one by one.

    Args:
        root (`str | Path`): ROOT of the layout above.
        object_box_file (`str | Path`, *optional*): Objects' boxes, in place of those of the meshes. By default the
            meshes', and `scannet_train_gt_box.json` for scans without one.
        proposal_box_file (`str | Path`, *optional*): Proposals' boxes, in place of Mask3D's masks. By default the
            masks, and `scannet_val_pred_box.json` for scans without one.

    Raises:
        SpatialDataError: No such folder, or a box file that cannot be read.
    """

    def __init__(
        self,
        root: str | Path,
        object_box_file: str | Path | None = None,
        proposal_box_file: str | Path | None = None,
    ):
        self.root = Path(root).absolute()
        if not self.root.is_dir():
            raise SpatialDataError(
                f"{self.root}: no such folder. Give the folder that holds posed_images/ and scans/."
            )
        self._objects_given = object_box_file is not None
        self._proposals_given = proposal_box_file is not None
        self._object_file = self._box_file(object_box_file, OBJECT_FILE)
        self._proposal_file = self._box_file(proposal_box_file, PROPOSAL_FILE)

    def scene_ids(self) -> list[str]:
        """Names of all scans with frames, in natural order; `SpatialDataError` if there is none."""
        names = {
            folder.name
            for place in FRAME_FOLDERS
            if (self.root / place).is_dir()
            for folder in (self.root / place).iterdir()
            if _has_frames(folder)
        }
        if not names:
            raise SpatialDataError(
                f"{self.root}: no scan with frames. They are looked for in posed_images/<scan>/ (00000.jpg, ..., "
                "intrinsic.txt) and in scans/<scan>/ (color/, depth/, pose/, intrinsic/)."
            )
        return sorted(names, key=natural_order)

    def read(self, scene_id: str) -> ScannedScene:
        """Read a scene.

        Args:
            scene_id (`str`): Name of the scan.

        Returns:
            `ScannedScene`

        Raises:
            SpatialDataError: No frames, or a file that is malformed or lacks its companion; the message names it.
        """
        folders = [self.root / place / scene_id for place in FRAME_FOLDERS]
        frames = next((folder for folder in folders if _has_frames(folder)), None)
        if frames is None:
            raise SpatialDataError(
                f"{folders[0]}: no frames of this scan (00000.jpg, ..., intrinsic.txt). Export them."
            )
        row = read_scene_folder(frames)
        without_pose = len(scene_images(frames)) - len(row["frames"])
        notes = [f"frames without a valid pose, which are left out: {without_pose}"] if without_pose else []
        scan = self.root / "scans" / scene_id
        alignment = self._alignment(scan, notes)
        if alignment is not None and row["world_from_camera"]:
            row["world_from_camera"] = (alignment @ np.array(row["world_from_camera"])).tolist()
        mesh = _Mesh(scan / f"{scene_id}_vh_clean_2.ply", alignment)
        objects = self._objects(scan, mesh, notes)
        proposals = self._proposals(scene_id, mesh, notes)
        row["boxes"] = [box_row(each.label, each.box) for each in objects]
        return ScannedScene(row, [each.object_id for each in objects], proposals, notes, without_pose)

    def _box_file(self, given: str | Path | None, name: str) -> SceneBoxFile | None:
        if given is not None:
            return SceneBoxFile(given)
        places = (self.root / "metadata" / name, self.root.parent / "metadata" / name)
        return next((SceneBoxFile(path) for path in places if path.is_file()), None)

    def _alignment(self, scan: Path, notes: list[str]) -> np.ndarray | None:
        path = scan / f"{scan.name}.txt"
        alignment = read_axis_alignment(path) if path.is_file() else None
        if alignment is None:
            notes.append("no axisAlignment: its world is not aligned with its walls")
        return alignment

    def _objects(self, scan: Path, mesh: "_Mesh", notes: list[str]) -> list[ObjectBox]:
        aggregation = scan / f"{scan.name}.aggregation.json"
        if aggregation.is_file() and not self._objects_given:
            segments = scan / f"{scan.name}_vh_clean_2.0.010000.segs.json"
            objects, without_vertex = object_boxes(mesh.vertices(), segments, aggregation)
            if without_vertex:
                notes.append(f"objects without a vertex, which have no box: {without_vertex}")
            return objects
        boxes = None if self._object_file is None else self._object_file.boxes(scan.name)
        if boxes is None:
            notes.append("no boxes of objects: neither aggregation nor box file")
            return []
        return [ObjectBox(number, UNNAMED, box) for number, box in enumerate(boxes)]

    def _proposals(self, scene_id: str, mesh: "_Mesh", notes: list[str]) -> list[tuple[float, ...]]:
        masks = self.root / "mask" / f"{scene_id}.mask.npz"
        if masks.is_file() and not self._proposals_given:
            proposals, num_empty = mask_proposals(masks, mesh.vertices())
            if num_empty:
                notes.append(f"empty masks, which propose nothing: {num_empty}")
            if not proposals:
                notes.append("its masks propose nothing at all")
            return proposals
        boxes = None if self._proposal_file is None else self._proposal_file.boxes(scene_id)
        if boxes is None:
            notes.append("no proposals: neither masks nor box file")
        return boxes or []


class _Mesh:
    """A mesh that is read when its vertices are first asked for."""

    def __init__(self, path: Path, alignment: np.ndarray | None):
        self._path, self._alignment = path, alignment
        self._vertices: np.ndarray | None = None

    def vertices(self) -> np.ndarray:
        if self._vertices is None:
            self._vertices = align_points(read_ply_vertices(self._path), self._alignment)
        return self._vertices


def box_row(label: str, box: Sequence[float]) -> dict[str, Any]:
    """An entry of a scene's `boxes`.

    Args:
        label (`str`): Its name.
        box (`Sequence[float]`): Centre and size, six numbers.

    Returns:
        `dict`: As in `BOX_FEATURES`.
    """
    return {"label": label, "centre_metres": list(box[:3]), "size_metres": list(box[3:]), "yaw_radians": 0.0}


def _has_frames(folder: Path) -> bool:
    return is_exported(folder) or (folder / "intrinsic.txt").is_file()
