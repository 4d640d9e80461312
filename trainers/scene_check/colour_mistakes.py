"""Simple mistakes in the colour camera, its images and their order, each with what images are taken for without it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.scene_check.colour_agreement import ColourGeometry
from igep.trainers.scene_check.scene_views import SceneViews


CAMERA, IMAGES, ORDER = "colour intrinsics", "colour images", "colour order"
IMAGE_RATIOS = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 3.0, 4.0)
FOCAL_RATIOS = (0.5, 0.6, 0.7, 0.8, 0.87, 1.15, 1.25, 1.4, 1.6, 2.0)
CROP_STEP = 2.5  # pixels of the thinned image: less than contrasts are wide
MAX_OFF_CENTRE = 0.12  # share of the image by which a principal point may be off its middle in the uncut image
LAGS = (-3, -2, -1, 1, 2, 3)
SAME_CAMERA = 0.02  # by which a focal length and a principal point, over those of the other camera, may differ
OFF_CENTRE = 0.06  # share of the image by which a principal point must be off to suggest a crop or another size


@dataclass(frozen=True)
class ColourMistake:
    """A mistake that the colour camera may have.

    Args:
        kind (`str`): Its kind, one of the constants above.
        description (`str`): What would be wrong, and what to do.
        corrected (`ColourGeometry`): What the images are taken for without it.
        family (`str`): Mistakes of one family differ by a number alone, and are no rivals.
        value (`float`, *optional*, defaults to `1.0`): That number.
        is_large (`bool`, *optional*, defaults to `True`): Whether a scene that cannot show it is untested for its
            kind.
    """

    kind: str
    description: str
    corrected: ColourGeometry
    family: str
    value: float = 1.0
    is_large: bool = True


def colour_mistakes(views: SceneViews) -> Iterator[ColourMistake]:
    """All simple mistakes; those in the intrinsics only where the depth camera has its own, else the depth tells.

    Args:
        views (`SceneViews`): The scene as stored.

    Yields:
        `ColourMistake`: The simplest of each kind first.
    """
    yield from image_mistakes(views)
    yield from order_mistakes(views)
    if views.has_depth_camera:
        yield from camera_mistakes(views)


def image_mistakes(views: SceneViews) -> Iterator[ColourMistake]:
    """Images that are turned over."""
    height, width = views.contrast.shape[1:]
    for family, matrix, words in (
        ("mirrored", [[-1, 0, width], [0, 1, 0]], "are mirrored: flip them left to right"),
        ("upside down", [[1, 0, 0], [0, -1, height]], "are upside down: flip them top to bottom"),
        ("turned", [[-1, 0, width], [0, -1, height]], "are turned by 180 degrees: turn them back"),
        # The pixel (x, y) of an upright image is (y, height - x) in one turned to the left, whose height was its
        # width.
        ("turned left", [[0, 1, 0], [-1, 0, height]], "are turned by 90 degrees to the left: turn them back"),
        ("turned right", [[0, -1, width], [1, 0, 0]], "are turned by 90 degrees to the right: turn them back"),
    ):
        yield _moved(views, IMAGES, f"the colour images {words}", matrix, family)


def order_mistakes(views: SceneViews) -> Iterator[ColourMistake]:
    """Images that belong to other frames."""
    count = len(views)

    def mistake(description: str, images: np.ndarray, family: str, is_large: bool = True) -> ColourMistake:
        corrected = ColourGeometry(views.colour_intrinsics, images)
        return ColourMistake(ORDER, description, corrected, family, is_large=is_large)

    yield mistake("the colour images run backwards: reverse their list", np.arange(count)[::-1], "backwards")
    for shift in LAGS:
        if count > abs(shift) + 1:
            direction = "earlier" if shift > 0 else "later"
            frames = "one frame" if abs(shift) == 1 else f"{abs(shift)} frames"
            yield mistake(
                f"the colour images belong to other frames: shift their list {frames} {direction}",
                np.clip(np.arange(count) + shift, 0, count - 1),
                "lag",
                is_large=False,
            )
    for first in (0, 1):
        text_order = np.array(sorted(range(count), key=lambda frame, first=first: str(frame + first)))
        if (text_order != np.arange(count)).any():
            yield mistake(
                "the colour images are sorted as text (0, 1, 10, 11, ..., 2): sort their files as numbers",
                np.argsort(text_order),
                "text order",
                is_large=False,
            )


def camera_mistakes(views: SceneViews) -> Iterator[ColourMistake]:
    """Intrinsics of an image of another size, of a part of the image, or with another focal length."""
    height, width = views.contrast.shape[1:]
    to_pixels = np.array([views.colour_size[1] / width, views.colour_size[0] / height])
    swapped = views.colour_intrinsics[:, [1, 0, 2]][:, :, [1, 0, 2]]
    # The thinned image may have been shrunk by slightly different factors along its sides.
    swapped[:, :2] *= (to_pixels[::-1] / to_pixels)[:, None]
    yield ColourMistake(
        CAMERA,
        "the axes of the intrinsics of the colour camera are swapped: exchange fx with fy and cx with cy",
        ColourGeometry(swapped, np.arange(len(views))),
        "axes of K",
        is_large=False,
    )
    sizes = dict.fromkeys(IMAGE_RATIOS, "")
    centre = views.colour_intrinsics[:, :2, 2].mean(0)
    # A principal point is near the middle of the image that its intrinsics are of.
    across, down = width / 2 / centre[0], height / 2 / centre[1]
    is_off = abs(centre / (width, height) - 0.5) > OFF_CENTRE
    if is_off.any():
        sizes[float(round(np.sqrt(across * down), 3))] = ""
    for ratio in sizes:
        yield _moved(
            views,
            CAMERA,
            "the intrinsics of the colour camera are those of an image of another size: multiply their first two rows "
            f"by {ratio:.3g}",
            [[ratio, 0, 0], [0, ratio, 0]],
            "image size",
            is_large=not 0.6 < ratio < 1.7,
        )
    if is_off.any():
        yield _moved(
            views,
            CAMERA,
            "the intrinsics of the colour camera are those of an image of another size: multiply their first row by "
            f"{across:.3g} and their second by {down:.3g}",
            [[across, 0, 0], [0, down, 0]],
            "image sides",
            is_large=False,
        )
        yield from _crops(views, centre, width, height)
    own = resize_intrinsics(views.depth_intrinsics, views.inverse_depth.shape[1:], (height, width))
    words = "are not its own: the depth camera's fit better (are the two mixed up?)"
    ratios = own[:, [0, 0, 1, 1], [0, 2, 1, 2]].mean(0) / views.colour_intrinsics[:, [0, 0, 1, 1], [0, 2, 1, 2]].mean(
        0
    )
    is_same_camera = np.abs(ratios[[0, 2]] / ratios[[1, 3]] - 1).max() < SAME_CAMERA
    if is_same_camera:  # with one pair of matrices for images of two shapes
        rows = f"their first row by {ratios[0]:.3g} and their second by {ratios[2]:.3g}"
        words = f"are those of an image of another size: multiply {rows}"
    yield ColourMistake(
        CAMERA,
        f"the intrinsics of the colour camera {words}",
        ColourGeometry(own, np.arange(len(views))),
        "image sides" if is_same_camera else "depth camera",
        is_large=False,
    )
    yield from (focal_mistake(views, ratio) for ratio in FOCAL_RATIOS)


def focal_mistake(views: SceneViews, ratio: float) -> ColourMistake:
    """A focal length of another camera.

    Args:
        views (`SceneViews`): The scene as stored.
        ratio (`float`): What it is to be multiplied by.

    Returns:
        `ColourMistake`
    """
    intrinsics = views.colour_intrinsics.copy()
    intrinsics[:, [0, 1], [0, 1]] *= ratio
    return ColourMistake(
        CAMERA,
        f"the colour camera's focal length is wrong: about {ratio:.3g} times as long fits better",
        ColourGeometry(intrinsics, np.arange(len(views))),
        "focal",
        ratio,
        is_large=not 0.65 < ratio < 1.5,
    )


def _crops(views: SceneViews, centre: np.ndarray, width: int, height: int) -> Iterator[ColourMistake]:
    """The image was cut, the intrinsics were not. The principal point shows how much is missing, not at which side."""
    sides = np.array([width, height])
    missing = 2 * centre - sides
    is_cut = missing > OFF_CENTRE * sides
    moves = [np.array([0.0]), np.array([0.0])]
    for axis in np.flatnonzero(is_cut):
        # Cut along one side, all amounts are tried, as a principal point need not have been in the very middle.
        moves[axis] = (
            -missing[axis] * np.array([0.0, 0.5, 1.0])
            if is_cut.all()
            else -np.arange(0.0, missing[axis] + MAX_OFF_CENTRE * sides[axis], CROP_STEP)
        )
    to_pixels = np.array(views.colour_size[::-1]) / sides
    for across in moves[0]:
        for down in moves[1]:
            if across == down == 0:
                continue
            x, y = (np.array([across, down]) * to_pixels).round().astype(int)
            yield _moved(
                views,
                CAMERA,
                "the colour images were cropped and their intrinsics were not: the principal point has to move by "
                f"about ({x}, {y}) pixels",
                [[1, 0, across], [0, 1, down]],
                "crop",
                is_large=False,
            )


def _moved(
    views: SceneViews, kind: str, description: str, matrix: list[list[float]], family: str, is_large: bool = True
) -> ColourMistake:
    """The pixel that the stored intrinsics give is carried to where the stored image has it."""
    stored_from_right = np.array([*matrix, [0, 0, 1]], dtype=np.float64)
    corrected = ColourGeometry(stored_from_right @ views.colour_intrinsics, np.arange(len(views)))
    return ColourMistake(kind, description, corrected, family, is_large=is_large)
