"""Mistakes that users make in poses, intrinsics, depth and colour, each as a change of a right row."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from igep.trainers.data.scenes.scene_validation import decode_depth, decode_frame


Row = dict[str, Any]
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
ROBOT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # forward, left, up
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class DeliberateMistake:
    """A mistake to make.

    Args:
        name (`str`): What it is, for tables.
        kind (`str`): The kind of mistake in the check's words, one of `MISTAKE_KINDS` there.
        cause (`str`): Regular expression that finds the cause in a report that names it.
        make (`Callable`): A right row to the spoiled row; `None` where it would change nothing.
        also (`str`, *optional*, defaults to `"$^"`): Regular expression of what may be said besides, as it is true as
            well.
    """

    name: str
    kind: str
    cause: str
    make: Callable[[Row], Row | None]
    also: str = "$^"


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
        change (`Callable`): (F, 4, 4) right poses, which it may not write to, to wrong ones.

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
    return [0, *range(num_frames - 1)]


def backwards(num_frames: int) -> list[int]:
    return list(range(num_frames))[::-1]


def shuffled(num_frames: int) -> list[int]:
    return np.random.default_rng(0).permutation(num_frames).tolist()


def _rotations(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    poses[:, :3, :3] = change(poses[:, :3, :3].copy())
    return poses


def _translations(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    poses[:, :3, 3] = change(poses[:, :3, 3].copy())
    return poses


def _quaternions(poses: np.ndarray, places: list[int]) -> np.ndarray:
    def change(rotations: np.ndarray) -> np.ndarray:
        return Rotation.from_quat(Rotation.from_matrix(rotations).as_quat()[:, places]).as_matrix()

    return _rotations(poses, change)


def _left_handed(poses: np.ndarray) -> np.ndarray:
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    return mirror @ poses @ mirror


def _last_third(poses: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    start = 2 * len(poses) // 3
    poses[start:] = change(poses[start:])
    return poses


def _displaced(poses: np.ndarray) -> np.ndarray:
    return _translations(poses, lambda places: places + np.array([0.3, 0.3, 0.26458]))


def _turned(poses: np.ndarray) -> np.ndarray:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("y", 15, degrees=True).as_matrix()
    return turn @ poses


def _one_identity(poses: np.ndarray) -> np.ndarray:
    poses[len(poses) // 2] = np.eye(4)
    return poses


def _scaled(matrices: np.ndarray, ratio: float) -> np.ndarray:
    matrices[:, :2] *= ratio
    return matrices


def _focal(matrices: np.ndarray, ratio: float) -> np.ndarray:
    matrices[:, [0, 1], [0, 1]] *= ratio
    return matrices


def _swapped_axes(matrices: np.ndarray) -> np.ndarray:
    return matrices[:, [1, 0, 2]][:, :, [1, 0, 2]]


def _swapped_focal(matrices: np.ndarray) -> np.ndarray:
    matrices[:, [0, 1], [0, 1]] = matrices[:, [1, 0], [1, 0]]
    return matrices


def _negative_fy(matrices: np.ndarray) -> np.ndarray:
    matrices[:, 1, 1] *= -1
    return matrices


def _cameras_mixed_up(row: Row) -> Row | None:
    own, colour = row["depth_intrinsics"], row["intrinsics"]
    if not own or abs(own[0][0][0] - colour[0][0][0]) < 0.02 * own[0][0][0]:
        return None
    return {**row, "depth_intrinsics": colour, "intrinsics": own}


def _depth_unit(factor: float) -> Callable[[Row], Row]:
    return lambda row: {**row, "metres_per_depth_unit": row["metres_per_depth_unit"] * factor}


def _said_euclidean(row: Row) -> Row:
    return {**row, "depth_kind": "euclidean"}


def _turned_image(how: Image.Transpose) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.transpose(how)


def _shrunk(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def _squared(image: Image.Image) -> Image.Image:
    return image.resize((max(2, math.floor(image.width * 0.7)), image.height))


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((round(0.15 * width), round(0.15 * height), round(0.85 * width), round(0.85 * height)))


def _cut_left(image: Image.Image) -> Image.Image:
    return image.crop((round(0.25 * image.width), 0, image.width, image.height))


DIRECTION, SCALE, ORDER = "pose convention", "translation scale", "pose order"
FOCAL, DEPTH_IMAGE, DEPTH_KIND = "depth intrinsics", "depth images", "depth kind"
COLOUR_CAMERA, COLOUR_IMAGE, COLOUR_ORDER = "colour intrinsics", "colour images", "colour order"
FRAMES = "single frames"
BOTH_CAMERAS = "colour camera"
ROTATED_180, MIRRORED, UPSIDE_DOWN, PORTRAIT = (
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_90,
)

DELIBERATE_MISTAKES = tuple(
    DeliberateMistake(*entry)
    for entry in (
        ("poses inverted", DIRECTION, "world-to-camera: store", poses_changed(np.linalg.inv)),
        ("poses in OpenGL axes", DIRECTION, "have OpenGL camera axes", poses_changed(lambda poses: poses @ OPENGL)),
        (
            "poses in OpenGL axes, inverted",
            DIRECTION,
            "world-to-camera with OpenGL",
            poses_changed(lambda poses: np.linalg.inv(poses @ OPENGL)),
        ),
        ("poses in a robot's axes", DIRECTION, r"\(-y, -z, x\)", poses_changed(lambda poses: poses @ ROBOT)),
        ("poses left-handed", DIRECTION, "left-handed", poses_changed(_left_handed)),
        (
            "rotations transposed",
            DIRECTION,
            "rotations of the poses are transposed",
            poses_changed(lambda poses: _rotations(poses, lambda rotation: rotation.transpose(0, 2, 1))),
        ),
        (
            "half inverted: translations of the inverse",
            DIRECTION,
            "translations .*of the inverse",
            poses_changed(lambda poses: _translations(poses, lambda _: np.linalg.inv(poses)[:, :3, 3])),
        ),
        (
            "quaternions w x y z read as x y z w",
            DIRECTION,
            "quaternion",
            poses_changed(lambda poses: _quaternions(poses, [3, 0, 1, 2])),
        ),
        (
            "quaternions x y z w read as w x y z",
            DIRECTION,
            "quaternion",
            poses_changed(lambda poses: _quaternions(poses, [1, 2, 3, 0])),
        ),
        (
            "translations zero",
            SCALE,
            "translations of the poses are all the same",
            poses_changed(lambda poses: _translations(poses, lambda places: places * 0)),
        ),
        *(
            (
                f"translations x {factor:g}",
                SCALE,
                "(unit|length) of the (pose translations|depth)",
                poses_changed(lambda poses, factor=factor: _translations(poses, lambda places: places * factor)),
            )
            for factor in (0.5, 0.7, 1.5, 100, 1000, 0.001)
        ),
        ("poses sorted as text", ORDER, "sorted as text", order_changed("world_from_camera", as_text)),
        ("poses reversed", ORDER, "reverse|backwards", order_changed("world_from_camera", backwards)),
        ("poses one frame late", ORDER, "frames? earlier", order_changed("world_from_camera", one_late)),
        (
            "poses shuffled",
            ORDER,
            "no better than poses of other frames",
            order_changed("world_from_camera", shuffled),
        ),
        (
            "poses all the identity",
            SCALE,
            "poses are all the same",
            poses_changed(lambda poses: np.broadcast_to(np.eye(4), poses.shape)),
        ),
        ("one pose the identity", FRAMES, "poses? of frames?", poses_changed(_one_identity)),
        (
            "last third displaced by 0.5 m",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: _last_third(poses, _displaced)),
        ),
        (
            "last third turned by 15 degrees",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: _last_third(poses, _turned)),
        ),
        (
            "last third in a world of its own",
            FRAMES,
            "poses? .*from frame",
            poses_changed(lambda poses: _last_third(poses, lambda part: np.linalg.inv(part[0]) @ part)),
        ),
        *(
            (
                f"focal lengths x {factor:g}",
                FOCAL,
                "focal length",
                intrinsics_changed(lambda matrices, factor=factor: _focal(matrices, factor)),
                BOTH_CAMERAS,
            )
            for factor in (0.7, 0.85, 1.4)
        ),
        (
            "intrinsics halved",
            FOCAL,
            "image of another size",
            intrinsics_changed(lambda matrices: _scaled(matrices, 0.5)),
            BOTH_CAMERAS,
        ),
        (
            "axes of K swapped",
            FOCAL,
            "(axes|rows) of the intrinsics are swapped",
            intrinsics_changed(_swapped_axes),
            BOTH_CAMERAS,
        ),
        (
            "fx and fy swapped",
            FOCAL,
            "(fx and fy|axes of the intrinsics) are swapped",
            intrinsics_changed(_swapped_focal),
            BOTH_CAMERAS,
        ),
        ("fy negative", FOCAL, "They are positive", intrinsics_changed(_negative_fy)),
        (
            "intrinsics of the two cameras mixed up",
            FOCAL,
            "colour camera's fit better",
            _cameras_mixed_up,
            BOTH_CAMERAS,
        ),
        (
            "depth camera's intrinsics halved",
            FOCAL,
            "image of another size",
            intrinsics_changed(lambda matrices: _scaled(matrices, 0.5), "depth_intrinsics"),
        ),
        *(
            (f"depth unit x {factor:g}", SCALE, "(unit|length) of the (pose translations|depth)", _depth_unit(factor))
            for factor in (10, 5, 0.5, 1000, 0.1)
        ),
        ("z-depth said to be euclidean", DEPTH_KIND, "depth_kind 'z'", _said_euclidean),
        (
            "depth mirrored",
            DEPTH_IMAGE,
            "depth (maps|images) are mirrored",
            images_changed("depth", _turned_image(MIRRORED)),
        ),
        (
            "depth upside down",
            DEPTH_IMAGE,
            "depth (maps|images) are upside down",
            images_changed("depth", _turned_image(UPSIDE_DOWN)),
        ),
        (
            "depth turned by 180 degrees",
            DEPTH_IMAGE,
            "depth (maps|images) are turned",
            images_changed("depth", _turned_image(ROTATED_180)),
        ),
        ("depth one frame late", ORDER, "frames? (later|earlier)", order_changed("depth", one_late)),
        ("depth reversed", ORDER, "reverse|backwards", order_changed("depth", backwards)),
        ("depth sorted as text", ORDER, "sorted as text", order_changed("depth", as_text)),
        *(
            (
                f"colour intrinsics x {factor:g}",
                COLOUR_CAMERA,
                "colour .*image of another size|principal point",
                intrinsics_changed(lambda matrices, factor=factor: _scaled(matrices, factor), "intrinsics"),
            )
            for factor in (0.5, 1.5)
        ),
        *(
            (
                f"colour focal lengths x {factor:g}",
                COLOUR_CAMERA,
                "colour camera's focal length|depth camera's fit better",
                intrinsics_changed(lambda matrices, factor=factor: _focal(matrices, factor), "intrinsics"),
            )
            for factor in (0.7, 1.4)
        ),
        (
            "colour shrunk to half",
            COLOUR_CAMERA,
            "colour .*image of another size|principal point",
            images_changed("frames", _shrunk),
        ),
        ("colour cropped to its middle", COLOUR_CAMERA, "crop", images_changed("frames", _cropped)),
        ("colour's left quarter cut off", COLOUR_CAMERA, "crop", images_changed("frames", _cut_left)),
        (
            "colour squeezed to 0.7 of its width",
            COLOUR_CAMERA,
            "colour .*image of another size|principal point",
            images_changed("frames", _squared),
        ),
        (
            "colour turned to portrait",
            COLOUR_IMAGE,
            "colour .*turned|principal point",
            images_changed("frames", _turned_image(PORTRAIT)),
        ),
        ("colour mirrored", COLOUR_IMAGE, "colour .*mirrored", images_changed("frames", _turned_image(MIRRORED))),
        (
            "colour upside down",
            COLOUR_IMAGE,
            "colour .*upside down",
            images_changed("frames", _turned_image(UPSIDE_DOWN)),
        ),
        (
            "colour turned by 180 degrees",
            COLOUR_IMAGE,
            "colour .*turned",
            images_changed("frames", _turned_image(ROTATED_180)),
        ),
        ("colour reversed", COLOUR_ORDER, "colour .*(reverse|backwards)", order_changed("frames", backwards)),
        ("colour shuffled", COLOUR_ORDER, "colour .*do not belong", order_changed("frames", shuffled)),
        ("colour one frame late", COLOUR_ORDER, "colour .*frames? earlier", order_changed("frames", one_late)),
        ("colour sorted as text", COLOUR_ORDER, "colour .*sorted as text", order_changed("frames", as_text)),
    )
)
