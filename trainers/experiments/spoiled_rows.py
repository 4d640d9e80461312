"""Right rows of the scene schema spoiled in one respect: what the deliberate mistakes are made of."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from igep.trainers.data.scenes.scene_validation import decode_depth, decode_frame


Row = dict[str, Any]
NEGLIGIBLE = 1e-6


def decoded_row(row: Row) -> Row:
    """A row whose images are in memory, so that they can be changed.

    Args:
        row (`dict`): Row of `SCENE_FEATURES`.

    Returns:
        `dict`: The row with `PIL` images.
    """
    frames = [decode_frame(row["scene_id"], index, frame) for index, frame in enumerate(row["frames"])]
    depth = [
        None if image is None else Image.fromarray(decode_depth(row["scene_id"], index, image))
        for index, image in enumerate(row["depth"])
    ]
    return {**row, "frames": frames, "depth": depth}


def poses_changed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Row], Row | None]:
    """A mistake in the poses.

    Args:
        change (`Callable`): A copy of the (F, 4, 4) right poses, which it may write to, to wrong ones.

    Returns:
        `Callable`: From row to row.
    """

    def make(row: Row) -> Row | None:
        right = np.asarray(row["world_from_camera"])
        wrong = change(right.copy())
        return None if np.abs(wrong - right).max() < NEGLIGIBLE else {**row, "world_from_camera": wrong.tolist()}

    return make


def intrinsics_changed(change: Callable[[np.ndarray], np.ndarray], *fields: str) -> Callable[[Row], Row | None]:
    """A mistake in the intrinsics.

    Args:
        change (`Callable`): (F, 3, 3) right intrinsics to wrong ones.
        *fields (`str`): Columns; those of both cameras unless given.

    Returns:
        `Callable`: From row to row.
    """

    def make(row: Row) -> Row | None:
        wrong = {}
        for field in fields or ("intrinsics", "depth_intrinsics"):
            if row[field]:
                right = np.asarray(row[field])
                changed = change(right.copy())
                if np.abs(changed - right).max() > 0.03 * right[0, 0, 0]:
                    wrong[field] = changed.tolist()
        return {**row, **wrong} if wrong else None

    return make


def images_changed(field: str, change: Callable[[Image.Image], Image.Image]) -> Callable[[Row], Row | None]:
    """A mistake in every image, its intrinsics left as they were.

    Args:
        field (`str`): `frames` or `depth`.
        change (`Callable`): A right image to a wrong one.

    Returns:
        `Callable`: From row to row.
    """

    def make(row: Row) -> Row | None:
        return {**row, field: [None if image is None else change(image) for image in row[field]]}

    return make


def order_changed(field: str, order: Callable[[int], list[int]]) -> Callable[[Row], Row | None]:
    """A mistake in the order of one column.

    Args:
        field (`str`): A column with one entry per frame.
        order (`Callable`): Number of frames to the order in which the right entries are stored.

    Returns:
        `Callable`: From row to row.
    """

    def make(row: Row) -> Row | None:
        places = order(len(row["frames"]))
        if places == list(range(len(places))):
            return None
        return {**row, field: [row[field][place] for place in places]}

    return make


def as_text(num_frames: int) -> list[int]:
    """0, 1, 10, 11, ..., 2, 20, ...: numbers without leading zeros sorted as text."""
    return sorted(range(num_frames), key=str)


def one_late(num_frames: int) -> list[int]:
    """Every entry a frame late; the first comes twice."""
    return [0, *range(num_frames - 1)]


def backwards(num_frames: int) -> list[int]:
    """The last first."""
    return list(range(num_frames))[::-1]


def shuffled(num_frames: int) -> list[int]:
    """In any order, the same for one number of frames."""
    return np.random.default_rng(0).permutation(num_frames).tolist()


def rotations_changed(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Poses with other rotations."""
    poses[:, :3, :3] = change(poses[:, :3, :3].copy())
    return poses


def translated(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Poses with other translations."""
    poses[:, :3, 3] = change(poses[:, :3, 3].copy())
    return poses


def quaternions_reordered(poses: np.ndarray, places: list[int]) -> np.ndarray:
    """Poses whose quaternions were read in another order of their four numbers."""

    def change(rotations: np.ndarray) -> np.ndarray:
        return Rotation.from_quat(Rotation.from_matrix(rotations).as_quat()[:, places]).as_matrix()

    return rotations_changed(poses, change)


def left_handed(poses: np.ndarray) -> np.ndarray:
    """Poses in a world and a camera whose y axis is mirrored."""
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    return mirror @ poses @ mirror


def last_third_changed(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Poses of which the last third is wrong, as after a lost track."""
    start = 2 * len(poses) // 3
    poses[start:] = change(poses[start:])
    return poses


def displaced(poses: np.ndarray) -> np.ndarray:
    """Poses half a metre away."""
    return translated(poses, lambda places: places + np.array([0.3, 0.3, 0.26458]))


def turned(poses: np.ndarray) -> np.ndarray:
    """Poses in a world that is turned by 15 degrees."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("y", 15, degrees=True).as_matrix()
    return turn @ poses


def one_identity(poses: np.ndarray) -> np.ndarray:
    """Poses of which the middle one was never set."""
    poses[len(poses) // 2] = np.eye(4)
    return poses


def scaled(matrices: np.ndarray, ratio: float) -> np.ndarray:
    """Intrinsics of an image of another size."""
    matrices[:, :2] *= ratio
    return matrices


def focal_changed(matrices: np.ndarray, ratio: float) -> np.ndarray:
    """Intrinsics with other focal lengths."""
    matrices[:, [0, 1], [0, 1]] *= ratio
    return matrices


def swapped_axes(matrices: np.ndarray) -> np.ndarray:
    """Intrinsics of the image on its side."""
    return matrices[:, [1, 0, 2]][:, :, [1, 0, 2]]


def swapped_focal(matrices: np.ndarray) -> np.ndarray:
    """Intrinsics whose focal lengths are swapped."""
    matrices[:, [0, 1], [0, 1]] = matrices[:, [1, 0], [1, 0]]
    return matrices


def negative_fy(matrices: np.ndarray) -> np.ndarray:
    """Intrinsics of an image that counts rows from below."""
    matrices[:, 1, 1] *= -1
    return matrices


def cameras_mixed_up(row: Row) -> Row | None:
    """The intrinsics of each camera as those of the other; `None` where they are alike."""
    own, colour = row["depth_intrinsics"], row["intrinsics"]
    if not own or abs(own[0][0][0] - colour[0][0][0]) < 0.02 * own[0][0][0]:
        return None
    return {**row, "depth_intrinsics": colour, "intrinsics": own}


def depth_unit_changed(factor: float) -> Callable[[Row], Row]:
    """A depth unit that is wrong by a factor."""
    return lambda row: {**row, "metres_per_depth_unit": row["metres_per_depth_unit"] * factor}


def said_euclidean(row: Row) -> Row:
    """Depth along the axis that is called distance."""
    return {**row, "depth_kind": "euclidean"}


def turned_image(how: Image.Transpose) -> Callable[[Image.Image], Image.Image]:
    """Turns or mirrors an image."""
    return lambda image: image.transpose(how)


def shrunk(image: Image.Image) -> Image.Image:
    """Half the image's size."""
    return image.resize((image.width // 2, image.height // 2))


def squeezed(image: Image.Image) -> Image.Image:
    """An image of another aspect ratio."""
    return image.resize((max(2, math.floor(image.width * 0.7)), image.height))


def cropped(image: Image.Image) -> Image.Image:
    """The middle of an image."""
    width, height = image.size
    return image.crop((round(0.15 * width), round(0.15 * height), round(0.85 * width), round(0.85 * height)))


def cut_left(image: Image.Image) -> Image.Image:
    """An image without its left quarter."""
    return image.crop((round(0.25 * image.width), 0, image.width, image.height))
