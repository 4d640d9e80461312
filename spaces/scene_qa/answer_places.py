"""Where an answer says something is: a box in the image, or a centre in metres, read from text that may be anything.

Nothing is evaluated and nothing raises: what is no place is `None`. Boxes in the image count in thousandths of its
width and height, as Qwen3-VL and VLM3's object questions do. Metres are in the camera of the first frame: x right, y
down, z forward.
"""

import math
import re
from dataclasses import dataclass

import numpy as np


BOX_STEPS = 1000
DEFAULT_SIDE_METRES = 0.5
FARTHEST_METRES = 100.0
NEAREST_METRES = 0.05

_NUMBER = r"([+-]?[0-9]{1,7}(?:\.[0-9]{1,12})?)"
_GAP = r"[\s,]{1,8}"
_FOUR = re.compile(rf"[\[(]\s{{0,8}}{_GAP.join([_NUMBER] * 4)}\s{{0,8}}[\])]")
_THREE = re.compile(rf"(?<![\w.+-]){_GAP.join([_NUMBER] * 3)}(?![\w.]*[0-9])")
_ONE = re.compile(rf"(?<![\w.+-]){_NUMBER}(?![\w.]*[0-9])")


@dataclass(frozen=True)
class Place:
    """A place that an answer names: in the image, in space, or both.

    Args:
        box (`tuple[float, float, float, float]`, *optional*): Left, top, right, bottom edge in pixels of the frame.
        centre_metres (`tuple[float, float, float]`, *optional*): In the camera of the frame.
        size_metres (`tuple[float, float, float]`, *optional*): Extents along the camera's axes.
    """

    box: tuple[float, float, float, float] | None = None
    centre_metres: tuple[float, float, float] | None = None
    size_metres: tuple[float, float, float] | None = None


def intrinsics_of(
    size: tuple[int, int], field_of_view_degrees: float, focal_pixels: float | None = None
) -> np.ndarray:
    """The camera of a frame whose centre is the middle of the image.

    Args:
        size (`tuple[int, int]`): Width and height in pixels.
        field_of_view_degrees (`float`): Horizontal.
        focal_pixels (`float`, *optional*): Takes the place of the field of view.

    Returns:
        `np.ndarray`: (3, 3).
    """
    width, height = size
    focal = focal_pixels or width / 2 / math.tan(math.radians(field_of_view_degrees) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def place_of(answers: list[str], size: tuple[int, int]) -> Place | None:
    """Reads where something is.

    Args:
        answers (`list[str]`): The model's answers: where it is, and, if it was asked, how tall.
        size (`tuple[int, int]`): Width and height of the frame.

    Returns:
        `Place` or `None`
    """
    if not answers:
        return None
    if (found := _FOUR.search(answers[0])) is not None:
        return _image_box([float(number) for number in found.groups()], size)
    if (found := _THREE.search(answers[0])) is None:
        return None
    centre = tuple(float(number) for number in found.groups())
    if not NEAREST_METRES <= centre[2] <= FARTHEST_METRES or max(map(abs, centre)) > FARTHEST_METRES:
        return None
    tall = _ONE.search(answers[1]) if len(answers) > 1 else None
    side = float(tall.group(1)) if tall is not None else DEFAULT_SIDE_METRES
    side = side if 0 < side <= FARTHEST_METRES else DEFAULT_SIDE_METRES
    return Place(centre_metres=centre, size_metres=(side, side, side))


def _image_box(edges: list[float], size: tuple[int, int]) -> Place | None:
    left, top, right, bottom = edges
    if not (0 <= left < right <= BOX_STEPS and 0 <= top < bottom <= BOX_STEPS):
        return None
    width, height = size
    return Place(
        box=(
            left * width / BOX_STEPS,
            top * height / BOX_STEPS,
            right * width / BOX_STEPS,
            bottom * height / BOX_STEPS,
        )
    )


def corners_metres(place: Place) -> np.ndarray:
    """The 8 corners of a place in space: (8, 3), bit 0 of the number is x, bit 1 y, bit 2 z."""
    signs = np.array([[(corner >> axis & 1) - 0.5 for axis in range(3)] for corner in range(8)])
    return np.array(place.centre_metres) + signs * np.array(place.size_metres)


def lifted(place: Place, depth_metres: float, intrinsics: np.ndarray) -> Place:
    """A box in the image, put into space at a distance: as wide and tall as it looks there, and as deep as it is wide.

    Args:
        place (`Place`): With a box.
        depth_metres (`float`): Along the camera's axis.
        intrinsics (`np.ndarray`): (3, 3) in pixels of the frame.

    Returns:
        `Place`: With centre and size as well.
    """
    left, top, right, bottom = place.box
    per_pixel = depth_metres / np.array([intrinsics[0, 0], intrinsics[1, 1]])
    middle = (np.array([(left + right) / 2, (top + bottom) / 2]) - intrinsics[:2, 2]) * per_pixel
    width, height = np.array([right - left, bottom - top]) * per_pixel
    centre = (float(middle[0]), float(middle[1]), float(depth_metres))
    return Place(place.box, centre, (float(width), float(height), float(width)))
