"""Pixels as text: places in an image as whole numbers from 0 to N - 1 on both axes, whatever the size of the image.

Pixels are continuous image coordinates (x, y) with pixel centres at +0.5, as everywhere in this package. The numbers
count from the centre of the first pixel, as the released checkpoints do: the pixel in column 10 of an image of 1215
columns is 16 of 2000.
"""

import numpy as np


DEPTH_STEPS = 2000  # N of the metric depth prompt
CORRESPONDENCE_STEPS = 1000  # N of the released correspondence prompt
OBJECT_STEPS = 1000  # N of the released object prompts


def inside_image(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Says which points lie in an image.

    Args:
        pixels (`np.ndarray`): (..., 2) x and y.
        size (`tuple[int, int]`): Height and width.

    Returns:
        `np.ndarray`: (...) bool; `False` for what is not finite.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    return ((pixels >= 0) & (pixels <= _extent(size))).all(-1)


def text_from_pixels(pixels: np.ndarray, size: tuple[int, int], steps: int = 2000) -> np.ndarray:
    """Writes points of an image as numbers of a prompt.

    Args:
        pixels (`np.ndarray`): (..., 2) x and y.
        size (`tuple[int, int]`): Height and width of the image.
        steps (`int`, *optional*, defaults to `2000`): N, numbers per axis.

    Returns:
        `np.ndarray`: (..., 2) int64 in [0, N): `round((x - 0.5) N / width)`, clamped.

    Raises:
        ValueError: A point outside the image, a size or N below 1.
    """
    pixels = _array("pixels", pixels, 2)
    extent, steps = _extent(size), _checked_steps(steps)
    outside = ~inside_image(pixels, size)
    if outside.any():
        raise ValueError(
            f"pixels: {pixels[outside][0].tolist()} is outside the image of {size[1]} x {size[0]} pixels (width x "
            "height): give x and y in pixels of this image, or leave the point out."
        )
    return np.clip(np.rint((pixels - 0.5) * steps / extent), 0, steps - 1).astype(np.int64)


def pixels_from_text(text: np.ndarray, size: tuple[int, int], steps: int = 2000) -> np.ndarray:
    """Reads the numbers of a prompt or an answer as points of an image: the inverse of `text_from_pixels`.

    A point comes back within half a step (`width / (2 N)` pixels). Only in the last half step before the right or
    lower edge of an image more than 2 N pixels long, where the number is clamped, it may be a whole step.

    Args:
        text (`np.ndarray`): (..., 2) numbers, whole or not.
        size (`tuple[int, int]`): Height and width of the image.
        steps (`int`, *optional*, defaults to `2000`): N, numbers per axis.

    Returns:
        `np.ndarray`: (..., 2) float64 x and y, at the centre of the pixel that the numbers name.

    Raises:
        ValueError: A number outside [0, N), a size or N below 1.
    """
    text = _checked_text(_array("text", text, 2), steps)
    return np.minimum(text * _extent(size) / steps + 0.5, _extent(size))


def text_from_boxes(boxes: np.ndarray, size: tuple[int, int], steps: int = OBJECT_STEPS) -> np.ndarray:
    """Writes boxes of an image as numbers of a prompt.

    Args:
        boxes (`np.ndarray`): (..., 4) left, top, right and bottom edge: x1, y1, x2, y2.
        size (`tuple[int, int]`): Height and width of the image.
        steps (`int`, *optional*, defaults to `1000`): N, numbers per axis.

    Returns:
        `np.ndarray`: (..., 4) int64 in [0, N): `round(x N / width)`, clamped. Edges lie between pixels, so nothing is
        taken off them.

    Raises:
        ValueError: A box that is not inside the image or whose edges are in the wrong order, a size or N below 1.
    """
    boxes = _array("boxes", boxes, 4)
    extent, steps = _extent(size), _checked_steps(steps)
    _check_order(boxes)
    corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
    outside = ~inside_image(corners, size).all(-1)
    if outside.any():
        raise ValueError(
            f"boxes: {boxes[outside][0].tolist()} reaches outside the image of {size[1]} x {size[0]} pixels (width x "
            "height): clip it first."
        )
    return np.clip(np.rint(corners * steps / extent), 0, steps - 1).astype(np.int64).reshape(boxes.shape)


def boxes_from_text(text: np.ndarray, size: tuple[int, int], steps: int = OBJECT_STEPS) -> np.ndarray:
    """Reads the numbers of boxes: inverse of `text_from_boxes`, within half a step (a whole one at the clamped end).

    Args:
        text (`np.ndarray`): (..., 4) numbers x1, y1, x2, y2.
        size (`tuple[int, int]`): Height and width of the image.
        steps (`int`, *optional*, defaults to `1000`): N, numbers per axis.

    Returns:
        `np.ndarray`: (..., 4) float64 edges in pixels.

    Raises:
        ValueError: A number outside [0, N), edges in the wrong order, a size or N below 1.
    """
    text = _checked_text(_array("text", text, 4), steps)
    _check_order(text)
    corners = text.reshape(*text.shape[:-1], 2, 2) * _extent(size) / steps
    return corners.reshape(text.shape)


def _array(name: str, values: np.ndarray, length: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape[-1:] != (length,):
        raise ValueError(f"{name} has shape {array.shape}: its last axis must hold {length} numbers.")
    return array


def _extent(size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size={tuple(size)}: give height and width in pixels, both at least 1.")
    return np.array([width, height], dtype=np.float64)


def _checked_steps(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps={steps}: text pixels need at least one number per axis.")
    return steps


def _checked_text(text: np.ndarray, steps: int) -> np.ndarray:
    wrong = ~((text >= 0) & (text < _checked_steps(steps))).all(-1)
    if wrong.any():
        raise ValueError(f"text: {text[wrong][0].tolist()} is not in [0, {steps}): it is no place in the image.")
    return text


def _check_order(boxes: np.ndarray) -> None:
    wrong = ~((boxes[..., 0] < boxes[..., 2]) & (boxes[..., 1] < boxes[..., 3]))
    if wrong.any():
        raise ValueError(
            f"boxes: {boxes[wrong][0].tolist()} must be x1 < x2 and y1 < y2 (left, top, right, bottom): swap its "
            "edges."
        )
