"""Simple mistakes in poses, depth and its intrinsics, each with what the depth maps would be taken for without it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from scipy.spatial.transform import Rotation

from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.scene_check.depth_agreement import DepthGeometry, stored_geometry, with_poses
from igep.trainers.scene_check.scene_views import SceneViews


CONVENTION, SCALE, ORDER = "pose convention", "translation scale", "pose order"
INTRINSICS, IMAGES, KIND = "depth intrinsics", "depth images", "depth kind"
# Translations over depth: units that are mixed up, and any other ratio, near 1 in steps small enough to be refined.
UNIT_RATIOS = (1e-3, 1e-2, 1e-1, 10.0, 100.0, 1000.0)
SCALE_RATIOS = tuple(np.exp(np.linspace(np.log(0.2), np.log(5), 19)).round(4).tolist())
FOCAL_RATIOS = (0.5, 0.6, 0.7, 0.8, 0.87, 0.93, 1.07, 1.15, 1.25, 1.4, 1.6, 2.0)
IMAGE_RATIOS = (0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0)
LAGS = (-3, -2, -1, 1, 2, 3)
PLAUSIBLE_DEPTH_METRES = (0.15, 12.0)
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
UNITS_MIXED_UP = (1000.0, 0.001)


@dataclass(frozen=True)
class DepthMistake:
    """A mistake that the data may have.

    Args:
        kind (`str`): Its kind, one of the constants above.
        description (`str`): What would be wrong, and what to do.
        corrected (`DepthGeometry`): What the depth maps are taken for without it.
        family (`str`): Mistakes of one family differ by a number alone, and are no rivals.
        value (`float`, *optional*, defaults to `1.0`): That number.
        places (`np.ndarray | None`): (N,) of a mistake in the order: the frame whose pose each depth map has without
            it.
        depth_description (`str`): The same mistake where it is the depth maps that are out of order, and not the
            poses.
    """

    kind: str
    description: str
    corrected: DepthGeometry
    family: str
    value: float = 1.0
    places: np.ndarray | None = None
    depth_description: str = ""


def depth_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """All simple mistakes.

    Args:
        views (`SceneViews`): The scene as stored.

    Yields:
        `DepthMistake`: The simplest of each kind first.
    """
    yield from convention_mistakes(views)
    yield from order_mistakes(views)
    yield from (scale_mistake(views, ratio) for ratio in (*UNIT_RATIOS, *SCALE_RATIOS) if abs(ratio - 1) > 1e-6)
    yield from intrinsics_mistakes(views)
    yield from (focal_mistake(views, ratio) for ratio in FOCAL_RATIOS)
    yield from image_mistakes(views)
    yield from axis_mistakes(views)


def convention_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """Directions, handedness, rotations and their quaternions."""
    pose = views.world_from_camera
    inverse = np.linalg.inv(pose)

    def mistake(name: str, description: str, corrected: np.ndarray) -> DepthMistake:
        return DepthMistake(CONVENTION, description, with_poses(views, corrected), name)

    yield mistake("inverse", "the poses are world-to-camera: store their inverses (camera-to-world)", inverse)
    yield mistake(
        "opengl",
        "the poses have OpenGL camera axes (y up, z backward): negate their second and third columns",
        pose @ OPENGL,
    )
    yield mistake(
        "inverse opengl",
        "the poses are world-to-camera with OpenGL camera axes (y up, z backward): invert them, then negate their "
        "second and third columns",
        inverse @ OPENGL,
    )
    rotation, place = pose[:, :3, :3], pose[:, :3, 3]
    turned_back = rotation.transpose(0, 2, 1)
    yield mistake(
        "transposed",
        "the rotations of the poses are transposed: transpose their upper left 3x3",
        _rigid(turned_back, place),
    )
    yield mistake(
        "half inverted",
        "the translations of the poses are those of the inverse poses: take -R t for t",
        _rigid(rotation, -(rotation @ place[..., None])[..., 0]),
    )
    quaternion = Rotation.from_matrix(rotation).as_quat()
    for places, stored, read in (((3, 0, 1, 2), "x y z w", "w x y z"), ((1, 2, 3, 0), "w x y z", "x y z w")):
        yield mistake(
            f"quaternion {stored}",
            f"the rotations come from quaternions {stored} that were read as {read}: read the other order",
            _rigid(Rotation.from_quat(quaternion[:, places]).as_matrix(), place),
        )
    for axis, name in enumerate("xyz"):
        mirror = np.eye(4)
        mirror[axis, axis] = -1
        yield mistake(
            f"left-handed {name}",
            f"the poses are of a left-handed world: negate the row and the column of {name}",
            mirror @ pose @ mirror,
        )


def _rigid(rotation: np.ndarray, place: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(rotation), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotation, place
    return poses


def order_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """Poses that belong to other frames than the depth maps; colours tell which of the two are out of order."""
    pose = views.world_from_camera
    count = len(views)

    def mistake(family: str, poses: str, depth: str, places: np.ndarray, value: float = 1.0) -> DepthMistake:
        return DepthMistake(ORDER, poses, with_poses(views, pose[places]), family, value, places, depth)

    yield mistake(
        "backwards",
        "the poses run backwards: reverse their list",
        "the depth maps run backwards: reverse their list",
        np.arange(count)[::-1],
    )
    for shift in LAGS:
        if count > abs(shift) + 1:
            frames = "one frame" if abs(shift) == 1 else f"{abs(shift)} frames"
            direction, opposite = ("earlier", "later") if shift > 0 else ("later", "earlier")
            yield mistake(
                "lag",
                f"the poses belong to other frames: shift their list {frames} {direction}",
                f"the depth maps belong to other frames: shift their list {frames} {opposite}",
                np.clip(np.arange(count) + shift, 0, count - 1),
                shift,
            )
    for first in (0, 1):
        text_order = np.array(sorted(range(count), key=lambda frame, first=first: str(frame + first)))
        if (text_order != np.arange(count)).any():
            for family, places in (("poses as text", np.argsort(text_order)), ("depth as text", text_order)):
                yield mistake(
                    family,
                    "the poses are sorted as text (0, 1, 10, 11, ..., 2): sort their files as numbers",
                    "the depth maps are sorted as text (0, 1, 10, 11, ..., 2): sort their files as numbers",
                    places,
                    first,
                )


def scale_mistake(views: SceneViews, ratio: float) -> DepthMistake:
    """Translations in another unit than depth.

    Agreement fixes only the ratio of the two; which of them is off shows in what depth is plausible.

    Args:
        views (`SceneViews`): The scene as stored.
        ratio (`float`): What the translations are to be multiplied by.

    Returns:
        `DepthMistake`
    """
    pose = views.world_from_camera.copy()
    pose[:, :3, 3] *= ratio
    own = views.colour_from_depth
    median = views.median_depth_metres
    low, high = PLAUSIBLE_DEPTH_METRES
    mixed_up = " (metres and millimetres mixed up)" if ratio in UNITS_MIXED_UP else ""
    poses = f"the unit of the pose translations is wrong: multiply them by {ratio:.3g}{mixed_up}"
    depth = (
        f"the unit of the depth is wrong (median {median:.3g} m): multiply `metres_per_depth_unit` by "
        f"{1 / ratio:.3g}{mixed_up}"
    )
    is_plausible, would_be_plausible = low <= median <= high, low <= median / ratio <= high
    description = poses if is_plausible else depth
    if is_plausible == would_be_plausible:
        description = f"{poses}; or {depth}"
    # Translations between the cameras are left as they are: they are short, and of the depth's unit or not.
    return DepthMistake(
        SCALE, description, replace(stored_geometry(views), world_from_depth=pose @ own), "scale", ratio
    )


def intrinsics_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """Intrinsics of another camera, of another size, or with their axes swapped."""
    stored = stored_geometry(views)
    height, width = views.inverse_depth.shape[1:]

    def mistake(name: str, description: str, corrected: np.ndarray, value: float = 1.0) -> DepthMistake:
        return DepthMistake(INTRINSICS, description, replace(stored, intrinsics=corrected), name, value)

    for ratio in IMAGE_RATIOS:
        scaled = stored.intrinsics.copy()
        scaled[:, :2] *= ratio
        yield mistake(
            "image size",
            "the intrinsics of the depth are those of an image of another size: multiply their first two rows by "
            f"{ratio:.4g}",
            scaled,
            ratio,
        )
    colour = resize_intrinsics(views.colour_intrinsics, views.contrast.shape[1:], (height, width))
    if views.has_depth_camera:
        yield mistake(
            "colour camera",
            "`depth_intrinsics` are not the depth camera's: the colour camera's fit better (are the two mixed up?)",
            colour,
        )
    swapped = stored.intrinsics[:, [1, 0, 2]][:, :, [1, 0, 2]]
    yield mistake("axes of K", "the axes of the intrinsics are swapped: exchange fx with fy and cx with cy", swapped)
    exchanged = stored.intrinsics.copy()
    exchanged[:, [0, 1], [0, 1]] = stored.intrinsics[:, [1, 0], [1, 0]]
    yield mistake("fx and fy", "fx and fy are swapped: exchange them", exchanged)


def focal_mistake(views: SceneViews, ratio: float) -> DepthMistake:
    """A focal length of another camera.

    Args:
        views (`SceneViews`): The scene as stored.
        ratio (`float`): What it is to be multiplied by.

    Returns:
        `DepthMistake`
    """
    intrinsics = views.depth_intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= ratio
    return DepthMistake(
        INTRINSICS,
        f"the depth camera's focal length is wrong: about {ratio:.3g} times as long fits better (are the intrinsics "
        "those of the colour camera, or not scaled with the image?)",
        replace(stored_geometry(views), intrinsics=intrinsics),
        "focal",
        ratio,
    )


def image_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """Depth maps that are turned over, or whose kind is another one."""
    stored = stored_geometry(views)
    height, width = views.inverse_depth.shape[1:]
    for name, flips, words in (
        ("mirrored", (True, False), "are mirrored: flip them left to right"),
        ("upside down", (False, True), "are upside down: flip them top to bottom"),
        ("turned", (True, True), "are turned by 180 degrees: turn them back"),
    ):
        # A mirrored image is one of a camera with a negative focal length.
        intrinsics = stored.intrinsics.copy()
        for axis, (flip, length) in enumerate(zip(flips, (width, height), strict=True)):
            if flip:
                intrinsics[:, axis] *= -1
                intrinsics[:, axis, 2] += length
        yield DepthMistake(IMAGES, f"the depth maps {words}", replace(stored, intrinsics=intrinsics), name)
    if stored.depth_kind == "z":
        yield DepthMistake(
            KIND,
            "the depth is euclidean (distance to the camera), not z: say depth_kind 'euclidean'",
            replace(stored, depth_kind="euclidean"),
            "kind",
        )
    else:
        yield DepthMistake(
            KIND,
            "the depth is z, not euclidean (distance to the camera): say depth_kind 'z'",
            replace(stored, depth_kind="z"),
            "kind",
        )


def axis_mistakes(views: SceneViews) -> Iterator[DepthMistake]:
    """Every other right-handed choice of camera axes, with poses as given and inverted."""
    pose = views.world_from_camera
    inverse = np.linalg.inv(pose)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        axes = np.zeros((4, 4))
        axes[order, range(3)] = signs
        axes[3, 3] = 1
        is_named = (axes == np.eye(4)).all() or (axes == OPENGL).all()
        if np.linalg.det(axes) < 0 or is_named:
            continue
        names = ", ".join(f"{'-' if sign < 0 else ''}{'xyz'[axis]}" for axis, sign in zip(order, signs, strict=True))
        for convention, matrix in (("", pose), ("world-to-camera, and ", inverse)):
            yield DepthMistake(
                CONVENTION,
                f"the poses are {convention}not in OpenCV camera axes: right, down, forward are their axes ({names}): "
                "reorder their columns so",
                with_poses(views, matrix @ axes),
                f"{convention}axes {names}",
            )
