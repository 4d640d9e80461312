"""A miniature ScanNet download in true formats: posed images, binary meshes, segments, aggregation, Mask3D's masks."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scene_folders import scene_row, write_flat
from scipy import sparse


# Aligned from scan world: a turn about the vertical axis and a shift, as every training scan has.
ALIGNMENT = np.array([[0.8, -0.6, 0, 1.5], [0.6, 0.8, 0, -2.0], [0, 0, 1, 0.25], [0, 0, 0, 1]])
# Boxes in the aligned world by object id. The ids leave numbers out, as those of some real scans do.
OBJECTS = {
    0: ("chair", (0.0, 0.0, 0.5, 0.5, 0.5, 1.0)),
    1: ("table", (2.0, 0.5, 0.4, 1.5, 1.0, 0.8)),
    3: ("chair", (1.0, 2.0, 0.5, 0.5, 0.75, 1.0)),
    7: ("kitchen cabinet", (-1.0, 2.5, 1.0, 0.5, 1.0, 2.0)),
}
NUM_FLOOR_VERTICES = 5  # in no object
LABELS = {"chair": 5, "table": 7, "kitchen cabinet": 3, "door": 8, "sofa chair": 5, "bucket": 40}


def corners(box: Sequence[float]) -> np.ndarray:
    """(8, 3) corners of a box of six numbers."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return np.array(box[:3]) + signs * np.array(box[3:]) / 2


def write_ply(path: Path, vertices: np.ndarray) -> None:
    """Vertices with colours and two faces, as ScanNet's meshes have them: binary, little endian."""
    layout = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), *((name, "u1") for name in ("red", "green", "blue", "alpha"))]
    table = np.zeros(len(vertices), dtype=layout)
    for axis, values in zip("xyz", vertices.T, strict=True):
        table[axis] = values
    header = ["ply", "format binary_little_endian 1.0", "comment VCGLIB generated", f"element vertex {len(vertices)}"]
    header += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in layout]
    header += ["element face 2", "property list uchar int vertex_indices", "end_header", ""]
    faces = np.array([(3, (0, 1, 2)), (3, (1, 2, 3))], dtype=[("count", "u1"), ("indices", "<i4", 3)])
    path.write_bytes("\n".join(header).encode() + table.tobytes() + faces.tobytes())


def write_scan(
    root: Path,
    scene_id: str,
    objects: dict[int, tuple[str, tuple[float, ...]]] = OBJECTS,
    num_frames: int = 4,
    alignment: np.ndarray | None = ALIGNMENT,
    masks: Sequence[Sequence[int]] | None = None,
) -> None:
    """Writes a scan; `masks` has per proposal the ids of objects whose vertices it covers (by default each object)."""
    scan_from_aligned = np.eye(4) if alignment is None else np.linalg.inv(alignment)
    row = scene_row(num_frames, scene_id)
    poses = scan_from_aligned @ np.array(row["world_from_camera"])
    frames = write_flat(root / "posed_images" / scene_id, {**row, "world_from_camera": poses})
    np.savetxt(frames / "depth_intrinsic.txt", np.pad(np.array(row["intrinsics"][0]), (0, 1)) + np.diag([0, 0, 0, 1]))
    scan = root / "scans" / scene_id
    scan.mkdir(parents=True)
    lines = ["colorHeight = 48", "numDepthFrames = 4", "sceneType = Kitchen"]
    if alignment is not None:
        lines.insert(0, f"axisAlignment = {' '.join(f'{value:.6f}' for value in alignment.ravel())} ")
    (scan / f"{scene_id}.txt").write_text("\n".join(lines) + "\n")
    points = np.concatenate([*(corners(box) for _, box in objects.values()), np.full((NUM_FLOOR_VERTICES, 3), 9.0)])
    write_ply(scan / f"{scene_id}_vh_clean_2.ply", points @ scan_from_aligned[:3, :3].T + scan_from_aligned[:3, 3])
    # Two segments of four vertices for each object; segment numbers are vertex numbers in real files as well.
    segments = [8 * (vertex // 8) + 4 * (vertex % 8 // 4) for vertex in range(len(points))]
    write_json(scan / f"{scene_id}_vh_clean_2.0.010000.segs.json", {"sceneId": scene_id, "segIndices": segments})
    groups = [
        {"id": number, "objectId": object_id, "segments": [8 * number, 8 * number + 4], "label": label}
        for number, (object_id, (label, _)) in enumerate(objects.items())
    ]
    write_json(scan / f"{scene_id}.aggregation.json", {"sceneId": scene_id, "segGroups": groups[::-1]})
    (root / "mask").mkdir(exist_ok=True)
    places = list(objects)
    chosen = [[object_id] for object_id in places] if masks is None else masks
    matrix = np.zeros((len(chosen), len(points)), dtype=bool)
    for number, covered in enumerate(chosen):
        for object_id in covered:
            matrix[number, 8 * places.index(object_id) : 8 * places.index(object_id) + 8] = True
    sparse.save_npz(root / "mask" / f"{scene_id}.mask.npz", sparse.csr_matrix(matrix))


def write_labels(path: Path) -> Path:
    """ScanNet's table of categories, of the columns that are read and their neighbours."""
    lines = ["id\traw_category\tcategory\tcount\tnyu40id\teigen13id"]
    lines += [f"{number}\t{name}\t{name}\t9\t{nyu40}\t1" for number, (name, nyu40) in enumerate(LABELS.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_json(path: Path, content: object) -> str:
    """Writes a JSON file; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def processed(entry_id: object, scene_id: str, asked: str, answer: str, metadata: dict, **more: object) -> dict:
    """An entry of Video-3D LLM's processed files, its keys in their order."""
    turns = [{"value": asked, "from": "human"}, {"value": answer, "from": "gpt"}]
    return {"id": entry_id, "video": f"scannet/{scene_id}", "conversations": turns, "metadata": metadata, **more}
