"""Synthetic rooms in the files of a ScanNet download, so that what reads real scans can be run from a seed.

    ROOT/posed_images/<scan>/   00000.jpg, 00000.png (depth in millimetres), 00000.txt (pose), ...,
                                intrinsic.txt, depth_intrinsic.txt
    ROOT/scans/<scan>/          <scan>.txt, <scan>_vh_clean_2.ply, <scan>_vh_clean_2.0.010000.segs.json,
                                <scan>.aggregation.json
    ROOT/mask/<scan>.mask.npz   proposals: each object's box with an error, and boxes where nothing is

The aligned world of a room stands on the floor below its first camera: x to the right, y ahead, z up. A model that
sees RGB alone can therefore know what a position in metres means. Only objects that are seen in some frame are
annotated.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse

from igep.trainers.data.rooms.room_questions import room_views
from igep.trainers.data.rooms.room_renderer import BOX, RenderedRooms, RoomSpec
from igep.trainers.data.rooms.synthetic_rooms import rendered_chunks


MIN_OBJECTS = 2  # of a room that is written: fewer leave little to ask
FALSE_PROPOSALS = 2
PROPOSAL_ERROR = 0.08  # standard deviation of a proposal's centre and size, in sizes of its object
MILLIMETRES = 1000
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2


@dataclass(frozen=True)
class RoomObject:
    """An annotated object.

    Args:
        object_id (`int`): As in the aggregation. A room's ids leave numbers out where an object is not seen.
        shape (`str`): Its category.
        colour (`str`): Unique in its room.
        box (`tuple[float, ...]`): Centre and size in metres, six numbers, in the aligned world.
    """

    object_id: int
    shape: str
    colour: str
    box: tuple[float, ...]

    @property
    def name(self) -> str:
        """As questions call it: unique in its room."""
        return f"{self.shape} in {self.colour}"


@dataclass(frozen=True)
class RoomScan:
    """What can be asked about a room.

    Args:
        scene_id (`str`): Name of the scan.
        objects (`tuple[RoomObject, ...]`): At least `MIN_OBJECTS`.
        floor_square_metres (`float`): Area of the floor.
        frames (`np.ndarray`): (F, H, W, 3) uint8 RGB.
    """

    scene_id: str
    objects: tuple[RoomObject, ...]
    floor_square_metres: float
    frames: np.ndarray


def write_room_scans(root: str | Path, num_rooms: int, *, seed: int, spec: RoomSpec) -> Iterator[RoomScan]:
    """Render rooms and write them as scans, `room00000_00` and so on.

    Args:
        root (`str | Path`): Folder of the download.
        num_rooms (`int`): Rooms to write. Those where fewer than `MIN_OBJECTS` objects are seen are passed over.
        seed (`int`): The same seed gives the same rooms.
        spec (`RoomSpec`): What kind of rooms.

    Yields:
        `RoomScan`: Each room, once its files are there.
    """
    root = Path(root)
    (root / "mask").mkdir(parents=True, exist_ok=True)
    written = 0
    for rendered in rendered_chunks(2 * num_rooms, seed=seed, spec=spec):
        for index, view in enumerate(room_views(rendered)):
            if len(view.seen_in_any_frame) < MIN_OBJECTS:
                continue
            if written == num_rooms:
                return
            scene_id = f"room{written:05d}_00"
            aligned_from_world = _aligned_from_world(rendered.layout.world_from_camera[index, 0].double().numpy())
            objects = tuple(
                RoomObject(
                    slot, view.shapes[slot], view.colours[slot], _box(rendered, index, slot, aligned_from_world)
                )
                for slot in view.seen_in_any_frame
            )
            _write_frames(root / "posed_images" / scene_id, rendered, index)
            _write_scan(root, scene_id, objects, aligned_from_world)
            width, length, _ = rendered.layout.extent[index].tolist()
            yield RoomScan(scene_id, objects, width * length, rendered.frames[index].numpy())
            written += 1
    raise ValueError(f"num_rooms={num_rooms}: too few of the rooms of seed {seed} show {MIN_OBJECTS} objects.")


def _aligned_from_world(world_from_camera: np.ndarray) -> np.ndarray:
    """(4, 4) transform to the world that stands on the floor below a camera and looks along it."""
    forward = world_from_camera[:2, 2] / np.linalg.norm(world_from_camera[:2, 2])
    aligned = np.eye(4)
    aligned[:2, :2] = [[forward[1], -forward[0]], forward]
    aligned[:2, 3] = -aligned[:2, :2] @ world_from_camera[:2, 3]
    return aligned


def _box(rendered: RenderedRooms, index: int, slot: int, aligned_from_world: np.ndarray) -> tuple[float, ...]:
    """The box around an object with the aligned world's axes; round objects fill theirs however they are turned."""
    layout = rendered.layout
    centre, size = (values[index, slot].double().numpy() for values in (layout.centre, layout.size))
    corners = CORNERS * size
    if layout.shape[index, slot] == BOX:
        yaw = layout.yaw[index, slot].item()
        turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        corners = corners @ (aligned_from_world[:3, :3] @ turn).T
    corners += aligned_from_world[:3, :3] @ centre + aligned_from_world[:3, 3]
    low, high = corners.min(0), corners.max(0)
    return (*((low + high) / 2).tolist(), *(high - low).tolist())


def _write_frames(folder: Path, rendered: RenderedRooms, index: int) -> None:
    folder.mkdir(parents=True)
    layout = rendered.layout
    depth = (rendered.depth_metres[index].double().numpy() * MILLIMETRES).round().astype(np.uint16)
    for number, (frame, millimetres) in enumerate(zip(rendered.frames[index].numpy(), depth, strict=True)):
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=95, subsampling=0)
        Image.fromarray(millimetres).save(folder / f"{number:05d}.png")
        _write_matrix(folder / f"{number:05d}.txt", layout.world_from_camera[index, number].double().numpy())
    intrinsics = np.eye(4)
    intrinsics[:3, :3] = layout.intrinsics[index].double().numpy()
    for name in ("intrinsic.txt", "depth_intrinsic.txt"):
        _write_matrix(folder / name, intrinsics)


def _write_scan(root: Path, scene_id: str, objects: Sequence[RoomObject], aligned_from_world: np.ndarray) -> None:
    """Mesh, segments, aggregation and masks: of each box, an object's or a proposal's, the 8 corners are a segment."""
    folder = root / "scans" / scene_id
    folder.mkdir(parents=True)
    (folder / f"{scene_id}.txt").write_text(f"axisAlignment = {_numbers(aligned_from_world)}\n")
    proposals = proposed_boxes(scene_id, objects)
    boxes = np.array([*(each.box for each in objects), *proposals])
    corners = (boxes[:, None, :3] + CORNERS * boxes[:, None, 3:]).reshape(-1, 3)
    world_from_aligned = np.linalg.inv(aligned_from_world)
    vertices = corners @ world_from_aligned[:3, :3].T + world_from_aligned[:3, 3]
    _write_ply(folder / f"{scene_id}_vh_clean_2.ply", vertices)
    segments = np.arange(len(boxes)).repeat(len(CORNERS)).tolist()
    _write_json(folder / f"{scene_id}_vh_clean_2.0.010000.segs.json", {"sceneId": scene_id, "segIndices": segments})
    groups = [
        {"id": number, "objectId": each.object_id, "segments": [number], "label": each.shape}
        for number, each in enumerate(objects)
    ]
    _write_json(folder / f"{scene_id}.aggregation.json", {"sceneId": scene_id, "segGroups": groups})
    masks = np.arange(len(objects), len(boxes))[:, None] == np.array(segments)
    sparse.save_npz(root / "mask" / f"{scene_id}.mask.npz", sparse.csr_matrix(masks))


def proposed_boxes(scene_id: str, objects: Sequence[RoomObject]) -> list[tuple[float, ...]]:
    """What a detector might propose: each object's box with an error, and boxes of no object, in random order.

    Args:
        scene_id (`str`): Name of the scan, which seeds the errors.
        objects (`Sequence[RoomObject]`): Its objects.

    Returns:
        `list[tuple[float, ...]]`: Boxes of six numbers.
    """
    rng = np.random.default_rng([*scene_id.encode()])
    proposals = []
    for each in objects:
        centre, size = np.array(each.box[:3]), np.array(each.box[3:])
        centre = centre + rng.normal(0, PROPOSAL_ERROR, 3) * size
        size = size * np.exp(rng.normal(0, PROPOSAL_ERROR, 3))
        proposals.append((*centre.tolist(), *size.tolist()))
    for _ in range(FALSE_PROPOSALS):
        size = rng.uniform(0.4, 1.3, 3)
        place = rng.uniform([-2.5, 1.0], [2.5, 6.0])
        proposals.append((*place.tolist(), size[2] / 2, *size.tolist()))
    return [proposals[number] for number in rng.permutation(len(proposals))]


def _write_ply(path: Path, vertices: np.ndarray) -> None:
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [*(f"property float {axis}" for axis in "xyz"), "end_header", ""]
    path.write_bytes("\n".join(header).encode() + vertices.astype("<f4").tobytes())


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    path.write_text("".join(f"{_numbers(row)}\n" for row in matrix))


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values.ravel())
