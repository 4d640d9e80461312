"""The contract of a scene row, asserted whenever one is read, and the decoding of its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PILImage

from igep.trainers.data.scenes.camera_arrays import with_fy
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.scenes.stored_depth import image_depth, is_npy, only_measured, read_npy_depth


ROTATION_TOLERANCE = 1e-2  # |R^T R - 1|: text files with few digits and drifting trackers stay below it
EXIF_TURNS = range(2, 9)  # values of the orientation tag that turn or mirror; 1 is upright, and others mean nothing
DEPTH_KINDS = ("z", "euclidean")
ImageEntry = PILImage.Image | dict[str, Any] | str


@dataclass(frozen=True)
class ValidScene:
    """A scene row that keeps the contract, its matrices as arrays. F is the number of stored frames.

    Args:
        scene_id (`str`): Name of the scene.
        frame_ids (`list[str]`): F names.
        frames (`list`): F images: `PIL.Image`, path, or the `datasets` entry with `bytes` and `path`.
        depth (`list | None`): F images or `None` per frame; `None` = the scene has no depth.
        metres_per_depth_unit (`float`): Scale of the stored depth.
        depth_kind (`str`): `"z"` or `"euclidean"`.
        intrinsics (`np.ndarray | None`): (F, 3, 3) float64 of the colour camera, fx where fy is stored as 0;
            `None` = unknown.
        depth_intrinsics (`np.ndarray | None`): (F, 3, 3) float64; `None` = the colour camera, rescaled.
        colour_from_depth (`np.ndarray | None`): (4, 4) float64; `None` = identity.
        world_from_camera (`np.ndarray | None`): (F, 4, 4) float64, no pose where tracking failed; `None` = no poses.
        frame_numbers (`list[int]`): F places of the frames in the stored scene, for messages.
        valid_frames (`np.ndarray`): Indices of the frames that can be used: those whose pose is not lost, all without
            poses.
        boxes (`list[dict]`): The scene's boxes.
    """

    scene_id: str
    frame_ids: list[str]
    frames: list[ImageEntry]
    depth: list[ImageEntry | None] | None
    metres_per_depth_unit: float
    depth_kind: str
    intrinsics: np.ndarray | None
    depth_intrinsics: np.ndarray | None
    colour_from_depth: np.ndarray | None
    world_from_camera: np.ndarray | None
    frame_numbers: list[int]
    valid_frames: np.ndarray
    boxes: list[dict[str, Any]]


def validate_scene(row: dict[str, Any], frame_numbers: Sequence[int] | None = None) -> ValidScene:
    """Assert the contract of `spatial_example.SCENE_FEATURES` on a row; the images are checked when they are decoded.

    Args:
        row (`dict`): One row of a scenes table, images decoded or not.
        frame_numbers (`Sequence[int]`, *optional*): Places of the row's frames in the stored scene, where the row
            holds some of them: messages name these.

    Returns:
        `ValidScene`: The row, its matrices as arrays.

    Raises:
        SpatialDataError: A field breaks the contract: the message has scene, field, value and remedy.
    """
    scene_id = row["scene_id"]
    if not scene_id:
        raise SpatialDataError(f"A scene has scene_id {scene_id!r}: give every scene a name.")
    where = f"Scene {scene_id!r}"
    frames, frame_ids, depth = row["frames"] or [], row["frame_ids"] or [], row["depth"] or []
    if not frames:
        raise SpatialDataError(f"{where}: `frames` is empty. A scene needs at least one frame.")
    num_frames = len(frames)
    numbers = list(range(num_frames)) if frame_numbers is None else list(frame_numbers)
    if None in frames:
        raise SpatialDataError(
            f"{where}: `frames[{numbers[frames.index(None)]}]` is None. Only `depth` may miss frames."
        )
    if len(frame_ids) != num_frames:
        raise SpatialDataError(f"{where}: {len(frame_ids)} `frame_ids` for {num_frames} `frames`: give one per frame.")
    assert_unique_frame_ids(scene_id, frame_ids)
    if depth:
        _validate_depth_fields(where, row, num_frames)
    intrinsics = _intrinsics(where, "intrinsics", row["intrinsics"], numbers)
    depth_intrinsics = _intrinsics(where, "depth_intrinsics", row["depth_intrinsics"], numbers)
    colour_from_depth = _matrices(where, "colour_from_depth", [row["colour_from_depth"]], 4)
    if colour_from_depth is not None:
        _assert_rigid(where, colour_from_depth, {0: "`colour_from_depth`"})
        is_identity = np.abs(colour_from_depth[0] - np.eye(4)).max() < 1e-6
        colour_from_depth = None if is_identity else colour_from_depth[0]
    if intrinsics is None and (depth_intrinsics is not None or colour_from_depth is not None):
        raise SpatialDataError(
            f"{where}: `depth_intrinsics` or `colour_from_depth` without `intrinsics`. Depth cannot be carried into "
            "an unknown colour camera: give `intrinsics` too."
        )
    if depth and row["depth_kind"] == "euclidean" and intrinsics is None:
        raise SpatialDataError(f"{where}: `depth_kind` 'euclidean' needs `intrinsics` to become z-depth: give them.")
    if colour_from_depth is not None and depth_intrinsics is None:
        raise SpatialDataError(f"{where}: `colour_from_depth` without `depth_intrinsics`: give the depth camera too.")
    world_from_camera = _matrices(where, "world_from_camera", row["world_from_camera"], 4)
    valid_frames = np.arange(num_frames)
    if world_from_camera is not None:
        if len(world_from_camera) != num_frames:
            raise SpatialDataError(
                f"{where}: {len(world_from_camera)} `world_from_camera` for {num_frames} `frames`. Give one pose per "
                "frame (filled with nan where tracking failed), or an empty list for no poses."
            )
        valid_frames = np.flatnonzero(~lost_poses(world_from_camera))
        names = {
            index: f"`world_from_camera[{numbers[index]}]` (frame {frame_ids[index]!r})"
            for index in valid_frames.tolist()
        }
        _assert_rigid(where, world_from_camera, names)
    return ValidScene(
        scene_id=scene_id,
        frame_ids=frame_ids,
        frames=frames,
        depth=depth or None,
        metres_per_depth_unit=row["metres_per_depth_unit"],
        depth_kind=row["depth_kind"],
        intrinsics=intrinsics,
        depth_intrinsics=depth_intrinsics,
        colour_from_depth=colour_from_depth,
        world_from_camera=world_from_camera,
        frame_numbers=numbers,
        valid_frames=valid_frames,
        boxes=row["boxes"] or [],
    )


def lost_poses(matrices: np.ndarray) -> np.ndarray:
    """Which poses only say that tracking failed: exporters write non-finite numbers, or one number throughout.

    Args:
        matrices (`np.ndarray`): (F, 4, 4).

    Returns:
        `np.ndarray`: (F,) bool.
    """
    rotations = matrices[:, :3, :3]
    return ~np.isfinite(matrices).all((1, 2)) | (rotations == rotations[:, :1, :1]).all((1, 2))


def assert_unique_frame_ids(scene_id: str, frame_ids: Sequence[str]) -> None:
    """Raises `SpatialDataError` where two frames of a scene have one name."""
    if len(set(frame_ids)) != len(frame_ids):
        repeated = next(name for name in frame_ids if frame_ids.count(name) > 1)
        raise SpatialDataError(
            f"Scene {scene_id!r}: `frame_ids` has {repeated!r} twice. Descriptors are keyed by it: rename one."
        )


def decode_frame(scene_id: str, index: int, entry: ImageEntry) -> PILImage.Image:
    """Decode one colour frame.

    Args:
        scene_id (`str`): Scene of the frame, for messages.
        index (`int`): Position of the frame in the scene, for messages.
        entry (`PIL.Image.Image | dict | str`): Image, `datasets` entry, or path.

    Returns:
        `PIL.Image.Image`: RGB.

    Raises:
        SpatialDataError: Missing or unreadable image, a 16-bit or floating-point image, or one that EXIF turns.
    """
    where = f"Scene {scene_id!r}, `frames[{index}]`{_file_name(entry)}"
    image = _open(where, _source(entry))
    if image.mode[0] in "IF":
        raise SpatialDataError(
            f"{where}: an image of mode {image.mode!r}. Colour frames are 8-bit: is this a depth map?"
        )
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_depth(scene_id: str, index: int, entry: ImageEntry) -> np.ndarray:
    """Decode one stored depth map, without the values that stand for "no measurement".

    Args:
        scene_id (`str`): Scene of the frame, for messages.
        index (`int`): Position of the frame in the scene, for messages.
        entry (`PIL.Image.Image | dict | str`): Image, `datasets` entry, or path; `.npy` is read as well.

    Returns:
        `np.ndarray`: (h, w) uint16, or float32 where depth was stored in wider numbers; in stored units, 0 = not
        measured (see `only_measured`).

    Raises:
        SpatialDataError: Missing or unreadable, turned by EXIF, or not one channel of 16 bits or more.
    """
    where = f"Scene {scene_id!r}, `depth[{index}]`{_file_name(entry)}"
    source = _source(entry)
    try:
        stored = read_npy_depth(source) if is_npy(source) else image_depth(_open(where, source))
    except FileNotFoundError as error:
        raise SpatialDataError(f"{where}: no such file. Correct the path or export the scene again.") from error
    except SpatialDataError:
        raise
    except (OSError, ValueError) as error:
        raise SpatialDataError(
            f"{where}: {error}. Depth has one channel of 16-bit, 32-bit or floating-point numbers (mode 'I;16', such "
            "as a uint16 PNG in millimetres): export it again without a colour map."
        ) from error
    return only_measured(stored)


def _source(entry: ImageEntry) -> PILImage.Image | BytesIO | str:
    if isinstance(entry, dict):
        return BytesIO(entry["bytes"]) if entry["bytes"] is not None else entry["path"]
    return entry


def _open(where: str, source: PILImage.Image | BytesIO | str) -> PILImage.Image:
    try:
        image = source if isinstance(source, PILImage.Image) else PILImage.open(source)
        # Before the pixels are read: Pillow turns those of a TIFF itself, and forgets the tag.
        is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in EXIF_TURNS
        image.load()
    except FileNotFoundError as error:
        raise SpatialDataError(f"{where}: no such file. Correct the path or export the scene again.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SpatialDataError(f"{where}: not a readable image ({error}). Export this file again.") from error
    if is_turned:
        raise SpatialDataError(
            f"{where}: the EXIF tag turns this image, so its intrinsics are ambiguous. Turn the pixels and drop the "
            "tag."
        )
    return image


def _file_name(entry: ImageEntry) -> str:
    path = entry["path"] if isinstance(entry, dict) else entry
    return f" ({path})" if isinstance(path, str | Path) else ""


def _validate_depth_fields(where: str, row: dict[str, Any], num_frames: int) -> None:
    if len(row["depth"]) != num_frames:
        raise SpatialDataError(
            f"{where}: {len(row['depth'])} `depth` maps for {num_frames} `frames`. Give one per frame (None where it "
            "is missing), or an empty list for no depth."
        )
    scale = row["metres_per_depth_unit"]
    if scale is None or not np.isfinite(scale) or scale <= 0:
        raise SpatialDataError(f"{where}: `metres_per_depth_unit` is {scale}. Give a positive scale: 0.001 is mm.")
    if row["depth_kind"] not in DEPTH_KINDS:
        raise SpatialDataError(
            f"{where}: `depth_kind` is {row['depth_kind']!r}. Say 'z' (distance along the optical axis) or "
            "'euclidean' (distance to the camera)."
        )


def _matrices(where: str, field: str, values: list | None, size: int) -> np.ndarray | None:
    """(N, size, size) float64, or `None` for an empty list or a list of one empty matrix."""
    if not values or values == [None] or values == [[]]:
        return None
    try:
        matrices = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpatialDataError(f"{where}: `{field}` has matrices of different shapes ({error}).") from error
    if matrices.shape[1:] != (size, size):
        raise SpatialDataError(
            f"{where}: `{field}` has matrices of shape {matrices.shape[1:]}, not {(size, size)}. Give each as {size} "
            f"rows of {size} numbers."
        )
    return matrices


def _intrinsics(where: str, field: str, values: list | None, numbers: list[int]) -> np.ndarray | None:
    matrices = _matrices(where, field, values, 3)
    if matrices is None:
        return None
    if len(matrices) != len(numbers):
        raise SpatialDataError(
            f"{where}: {len(matrices)} `{field}` for {len(numbers)} `frames`. Give one per frame, or an empty list."
        )
    for index in np.flatnonzero(~np.isfinite(matrices).all((1, 2))):
        raise SpatialDataError(f"{where}: `{field}[{numbers[index]}]` is not finite: {matrices[index].tolist()}.")
    matrices = with_fy(matrices)
    for index in np.flatnonzero((matrices[:, (0, 1), (0, 1)] <= 0).any(1)):
        raise SpatialDataError(
            f"{where}: `{field}[{numbers[index]}]` has focal lengths {matrices[index, 0, 0]} and "
            f"{matrices[index, 1, 1]}. They are positive, in pixels."
        )
    pinhole = np.abs(matrices[:, (1, 2, 2, 2), (0, 0, 1, 2)] - (0, 0, 0, 1)).max(1) < 1e-6
    for index in np.flatnonzero(~pinhole):
        raise SpatialDataError(
            f"{where}: `{field}[{numbers[index]}]` is {matrices[index].tolist()}, not [[fx, s, cx], [0, fy, cy], [0, "
            "0, 1]]. Is it transposed?"
        )
    return matrices


def _assert_rigid(where: str, matrices: np.ndarray, names: dict[int, str]) -> None:
    """The matrices at the indices that have a name are rotations with a translation."""
    finite = matrices[list(names)]
    rotation = finite[:, :3, :3]
    deviation = np.abs(rotation.transpose(0, 2, 1) @ rotation - np.eye(3)).max((1, 2))
    last_row = np.abs(finite[:, 3] - (0, 0, 0, 1)).max(1)
    wrong = ~(deviation < ROTATION_TOLERANCE) | ~(last_row < 1e-6) | ~(np.linalg.det(rotation) > 0)
    for index in np.flatnonzero(wrong):
        reason = (
            "its upper left 3x3 is singular or scaled, not a rotation: is it another convention or a damaged file?"
        )
        if last_row[index] >= 1e-6:
            reason = "its last row is not [0, 0, 0, 1]: is it transposed?"
        elif deviation[index] < ROTATION_TOLERANCE:
            reason = "it mirrors (determinant -1): flip two axes of a camera, never one."
        name = list(names.values())[index]
        raise SpatialDataError(f"{where}: {name} is not rigid; {reason} {finite[index].tolist()}")
