"""Focal unification: images of any camera resized as if one camera had taken them all (VLM3, DepthLM).

The size of a thing in an image says how far it is only for a known focal length. Resizing every image until its focal
length in pixels is the same takes that ambiguity out of the image, with no change to the model. Each axis has its own
factor, so that fx = fy. Of the released samples, that of the camera pose is resized so as well, and that of the
objects by the factor of fx on both axes (`mode="fx"`), as DepthLM's code does; that of the correspondence only until
its longer side has 1024 pixels (`longest_side`).

The model must see the image at this size: see `IGEPProcessor.check_unified_size`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from transformers.utils import logging

from .text_pixels import inside_image


logger = logging.get_logger(__name__)

FOCAL_PIXELS = 1000.0  # of the released depth, correspondence and object checkpoints; 750 for camera pose
MODES = ("both", "fx")
PIXEL_MAPPINGS = ("image", "exact", "truncate")
ROUNDING_PIXELS = 1e-3  # a side that misses a whole number by the rounding of a float32 focal length keeps its pixel
WHOLE_INDEX = 1e-6  # by which rounding may make a whole number of pixels too small
LARGEST_IMAGE = 50_000_000  # pixels; a focal length of a few pixels asks for more than any memory holds
DEFAULT_FIELD_OF_VIEW_DEGREES = 60.0  # horizontal: between a phone's main camera (65) and a 35 mm lens (54)

Calibrator = Callable[[Image.Image], float]
"""Tells the horizontal field of view of an RGB image in degrees."""


@dataclass(frozen=True)
class UnifiedView:
    """An image at the unified focal length, and everything given with it in its pixels.

    Args:
        frame (`PIL.Image.Image`): The image.
        intrinsics (`np.ndarray`): (3, 3) float64 in pixels of `frame`: they are scaled as the image was, to whole
            pixels, so that focal lengths may miss the wanted one by a pixel in the image's width.
        depth_metres (`np.ndarray`, *optional*): (h, w) z-depth of what `frame` shows; 0 = invalid. Resizing an image
            moves no surface, so the values are unchanged, and so is the resolution but for what a crop cuts off.
        pixels (`np.ndarray`, *optional*): (..., 2) float64, as they are written where `inside`.
        inside (`np.ndarray`, *optional*): (...) bool, the points that `frame` still shows.
        boxes (`np.ndarray`, *optional*): (..., 4) float64 x1, y1, x2, y2, clipped to `frame`; without area where it
            shows nothing of them.
        factors (`tuple[float, float]`): Width and height of the resized image over those of the original.
        offset (`tuple[float, float]`): Left and top edge of `frame` in the resized image; negative = padding.
        scale (`tuple[float, float]`): The factors before the sides became whole.
        pixel_mapping (`str`): How places are written, see `written_pixels`.
    """

    frame: Image.Image
    intrinsics: np.ndarray
    depth_metres: np.ndarray | None
    pixels: np.ndarray | None
    inside: np.ndarray | None
    boxes: np.ndarray | None
    factors: tuple[float, float]
    offset: tuple[float, float]
    scale: tuple[float, float]
    pixel_mapping: str

    def from_original(self, pixels: np.ndarray) -> np.ndarray:
        """Maps points (..., 2) of the original image into `frame`."""
        return np.asarray(pixels, dtype=np.float64) * self.factors - self.offset

    def to_original(self, pixels: np.ndarray) -> np.ndarray:
        """Maps points (..., 2) of `frame` into the original image."""
        return (np.asarray(pixels, dtype=np.float64) + self.offset) / self.factors

    def written_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Where points of `frame` are said to be in questions and answers.

        Args:
            pixels (`np.ndarray`): (..., 2) where they are.

        Returns:
            `np.ndarray`: (..., 2). With `pixel_mapping` `image` the same. `exact`: column and row of the original
            image, counted from 0, times the factors before the sides became whole; `truncate`: the whole numbers below
            those. Clipped to the edges, which such numbers may pass.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        if self.pixel_mapping == "image":
            return pixels
        written = (self.to_original(pixels) - 0.5) * self.scale
        if self.pixel_mapping == "truncate":
            written = np.floor(written + WHOLE_INDEX)
        return np.clip(written + 0.5 - self.offset, 0, (self.frame.width, self.frame.height))

    def read_pixels(self, written: np.ndarray) -> np.ndarray:
        """Which points of the original image an answer means: the inverse of `written_pixels`, as far as it has one.

        Args:
            written (`np.ndarray`): (..., 2) in pixels of `frame`, as they are written.

        Returns:
            `np.ndarray`: (..., 2) in pixels of the original image.
        """
        if self.pixel_mapping == "image":
            return self.to_original(written)
        return (np.asarray(written, dtype=np.float64) + self.offset - 0.5) / self.scale + 0.5


def unify_focal_length(
    frame: Image.Image,
    intrinsics: np.ndarray,
    *,
    focal_pixels: float | None = FOCAL_PIXELS,
    mode: str = "both",
    longest_side: int | None = None,
    max_pixels: int | None = None,
    canvas_size: tuple[int, int] | None = None,
    pixel_mapping: str = "image",
    depth_metres: np.ndarray | None = None,
    pixels: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
    intrinsics_size: tuple[int, int] | None = None,
) -> UnifiedView:
    """Resizes an image to a focal length, then crops it around its centre if it has to be smaller.

    The new sides are truncated to whole pixels; intrinsics, points and boxes move with the image. The authors of the
    release move points by the factors before truncation instead, which is up to a pixel off: `pixel_mapping` writes
    them so.

    Args:
        frame (`PIL.Image.Image`): RGB image.
        intrinsics (`np.ndarray`): (3, 3) in pixels of `frame`.
        focal_pixels (`float`, *optional*, defaults to `1000.0`): The focal length to have; `None` = leave the size.
        mode (`str`, *optional*, defaults to `"both"`): `"both"` = each axis by its own factor; `"fx"` = both by that
            of fx, as in the released sample of objects and in DepthLM's code.
        longest_side (`int`, *optional*): Then resize, or instead with `focal_pixels=None`, until the longer side has
            so many pixels; the other is rounded. 1024 in the released sample of correspondence.
        max_pixels (`int`, *optional*): Crop to at most so many pixels, keeping the shape: what bounds the tokens.
        canvas_size (`tuple[int, int]`, *optional*): Crop, or pad with black, to exactly this height and width: for
            encoders of one size.
        pixel_mapping (`str`, *optional*, defaults to `"image"`): How points are written, see
            `UnifiedView.written_pixels`: `"image"` = where the image shows them; `"truncate"` as in the released depth
            labels, `"exact"` as in those of correspondence.
        depth_metres (`np.ndarray`, *optional*): (h, w) z-depth of the same view at any resolution.
        pixels (`np.ndarray`, *optional*): (..., 2) points in pixels of `frame`.
        boxes (`np.ndarray`, *optional*): (..., 4) x1, y1, x2, y2 in pixels of `frame`.
        intrinsics_size (`tuple[int, int]`, *optional*): Height and width that the intrinsics were written for;
            checked.

    Returns:
        `UnifiedView`

    Raises:
        ValueError: Intrinsics that are no camera's or of another image size, a focal length that is not positive, an
            image that would be too large or vanish, a point or box outside the image.
    """
    size = (frame.height, frame.width)
    intrinsics = checked_intrinsics(intrinsics, size, intrinsics_size)
    if pixel_mapping not in PIXEL_MAPPINGS:
        raise ValueError(f"pixel_mapping={pixel_mapping!r} is unknown: use one of {', '.join(PIXEL_MAPPINGS)}.")
    scale, (height, width) = _resizing(size, intrinsics, focal_pixels, mode, longest_side)

    # The image: resized, then the centred part that is kept.
    # The reducing gap of PIL stays off: the authors' images are plain bicubic.
    resized = frame if (width, height) == frame.size else frame.resize((width, height), Image.Resampling.BICUBIC)
    left, top, right, bottom = _window((height, width), max_pixels, canvas_size)
    if (left, top, right, bottom) != (0, 0, width, height):
        resized = resized.crop((left, top, right, bottom))  # what lies outside comes out black

    # All moves with the pixels, so by the factors of the whole sides. The camera (3, 3) has its origin at the corner
    # of what is kept.
    factors = (width / frame.width, height / frame.height)
    unified = intrinsics.copy()
    unified[:2] *= np.array(factors)[:, None]
    unified[:2, 2] -= (left, top)
    view = UnifiedView(
        frame=resized,
        intrinsics=unified,
        depth_metres=None if depth_metres is None else _cut(depth_metres, (height, width), (left, top, right, bottom)),
        pixels=None,
        inside=None,
        boxes=None,
        factors=factors,
        offset=(left, top),
        scale=tuple(scale.tolist()),
        pixel_mapping=pixel_mapping,
    )
    moved = {}
    new_size = (resized.height, resized.width)
    if pixels is not None:
        outside = ~inside_image(pixels, size)
        if outside.any():
            raise ValueError(
                f"pixels: {np.asarray(pixels)[outside][0].tolist()} is outside the image of {frame.width} x "
                f"{frame.height} pixels."
            )
        moved["pixels"] = view.from_original(pixels)
        for edge in (np.zeros(2), np.array(new_size[::-1])):  # a point on an edge stays on it, whatever is rounded
            moved["pixels"] = np.where(np.isclose(moved["pixels"], edge, rtol=0, atol=1e-9), edge, moved["pixels"])
        moved["inside"] = inside_image(moved["pixels"], new_size)
        moved["pixels"] = view.written_pixels(moved["pixels"])
    if boxes is not None:
        corners = np.asarray(boxes, dtype=np.float64)
        wrong = ~((corners[..., 0] < corners[..., 2]) & (corners[..., 1] < corners[..., 3]))
        if wrong.any():
            raise ValueError(f"boxes: {corners[wrong][0].tolist()} must be x1 < x2 and y1 < y2: swap its edges.")
        moved_corners = view.from_original(corners.reshape(*corners.shape[:-1], 2, 2))
        moved["boxes"] = moved_corners.clip(0, new_size[::-1]).reshape(corners.shape)
    return replace(view, **moved)


def unified_size(
    size: tuple[int, int],
    intrinsics: np.ndarray,
    *,
    focal_pixels: float | None = FOCAL_PIXELS,
    mode: str = "both",
    longest_side: int | None = None,
    max_pixels: int | None = None,
    canvas_size: tuple[int, int] | None = None,
    pixel_mapping: str = "image",
) -> tuple[int, int]:
    """The size that `unify_focal_length` makes of an image, without the image.

    Args:
        size (`tuple[int, int]`): Height and width of the image.
        intrinsics (`np.ndarray`): (3, 3) in pixels of the image.
        focal_pixels (`float`, *optional*, defaults to `1000.0`): As there, and so are the others; `pixel_mapping`
            changes no size.

    Returns:
        `tuple[int, int]`: Height and width.

    Raises:
        ValueError: As there.
    """
    intrinsics = checked_intrinsics(intrinsics, size)
    _, resized = _resizing(size, intrinsics, focal_pixels, mode, longest_side)
    left, top, right, bottom = _window(resized, max_pixels, canvas_size)
    return bottom - top, right - left


def checked_intrinsics(
    intrinsics: np.ndarray, size: tuple[int, int], intrinsics_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Checks that intrinsics can be those of an image.

    Args:
        intrinsics (`np.ndarray`): (3, 3); fy = 0 stands for fx.
        size (`tuple[int, int]`): Height and width of the image.
        intrinsics_size (`tuple[int, int]`, *optional*): Height and width that the intrinsics were written for.

    Returns:
        `np.ndarray`: (3, 3) float64.

    Raises:
        ValueError: They cannot; the message says why.
    """
    intrinsics = np.array(intrinsics, dtype=np.float64)
    height, width = size
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all():
        raise ValueError(f"intrinsics={intrinsics.tolist()} must be nine finite numbers, a 3 x 3 matrix.")
    if intrinsics_size is not None and tuple(intrinsics_size) != (height, width):
        raise ValueError(
            f"intrinsics are for an image of {intrinsics_size[1]} x {intrinsics_size[0]} pixels (width x height), "
            f"this one has {width} x {height}: scale them to it."
        )
    if intrinsics[1, 1] == 0:
        intrinsics[1, 1] = intrinsics[0, 0]
    if not (intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"intrinsics: focal lengths {intrinsics[0, 0]:g} and {intrinsics[1, 1]:g} must be positive.")
    if not (0 < intrinsics[0, 2] < width and 0 < intrinsics[1, 2] < height):
        raise ValueError(
            f"intrinsics: the principal point {intrinsics[:2, 2].tolist()} is outside the image of {width} x {height} "
            "pixels (width x height). Intrinsics are in pixels of this image: scale them to its size."
        )
    return intrinsics


def intrinsics_from_field_of_view(size: tuple[int, int], field_of_view_degrees: float) -> np.ndarray:
    """Intrinsics of a camera with square pixels and a centred principal point.

    Args:
        size (`tuple[int, int]`): Height and width of the image.
        field_of_view_degrees (`float`): Horizontal field of view.

    Returns:
        `np.ndarray`: (3, 3) float64.

    Raises:
        ValueError: An angle not between 0 and 180 degrees.
    """
    if not 0 < field_of_view_degrees < 180:
        raise ValueError(f"field_of_view_degrees={field_of_view_degrees} must lie between 0 and 180.")
    height, width = size
    focal = width / 2 / math.tan(math.radians(field_of_view_degrees) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def estimate_intrinsics(frame: Image.Image, calibrator: Calibrator | None = None) -> np.ndarray:
    """Intrinsics of an image that came without any.

    Args:
        frame (`PIL.Image.Image`): RGB image.
        calibrator (`Calibrator`, *optional*): Tells its horizontal field of view. Without one it is taken to be
            `DEFAULT_FIELD_OF_VIEW_DEGREES`, and a warning says so once: metric answers are then off by the ratio of
            the focal lengths.

    Returns:
        `np.ndarray`: (3, 3) float64.

    Raises:
        ValueError: The calibrator's answer is no field of view.
    """
    if calibrator is None:
        logger.warning_once(
            f"No intrinsics and no calibrator: taking a horizontal field of view of {DEFAULT_FIELD_OF_VIEW_DEGREES:g} "
            "degrees. Metric answers scale with the focal length: give intrinsics, a field of view or a calibrator "
            "where they matter."
        )
        return intrinsics_from_field_of_view((frame.height, frame.width), DEFAULT_FIELD_OF_VIEW_DEGREES)
    return intrinsics_from_field_of_view((frame.height, frame.width), float(calibrator(frame)))


def _resizing(
    size: tuple[int, int], intrinsics: np.ndarray, focal_pixels: float | None, mode: str, longest_side: int | None
) -> tuple[np.ndarray, tuple[int, int]]:
    """The factor of each axis (x, y), and the height and width that it makes."""
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} is unknown: use one of {', '.join(MODES)}.")
    if longest_side is not None and longest_side < 1:
        raise ValueError(f"longest_side={longest_side} must be at least 1 pixel.")
    sides = np.array(size[::-1], dtype=np.float64)
    scale = np.ones(2)
    if focal_pixels is not None:
        if not 0 < focal_pixels < math.inf:
            raise ValueError(f"focal_pixels={focal_pixels} must be a positive number of pixels, such as 1000.")
        scale = focal_pixels / np.array([intrinsics[0, 0], intrinsics[0, 0] if mode == "fx" else intrinsics[1, 1]])
    if longest_side is None:
        width, height = (int(side) for side in sides * scale + ROUNDING_PIXELS)
    else:
        scale = scale * longest_side / (sides * scale).max()
        width, height = (round(side) for side in (sides * scale).tolist())
    if min(width, height) < 1 or width * height > LARGEST_IMAGE:
        raise ValueError(
            f"focal_pixels={focal_pixels} and longest_side={longest_side} make an image of {size[1]} x {size[0]} "
            f"pixels with fx {intrinsics[0, 0]:g} and fy {intrinsics[1, 1]:g} one of {width} x {height}: check the "
            "intrinsics, or correct these options."
        )
    return scale, (height, width)


def _window(
    size: tuple[int, int], max_pixels: int | None, canvas_size: tuple[int, int] | None
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the centred part that is kept."""
    height, width = kept = size
    if max_pixels is not None and canvas_size is not None:
        raise ValueError(f"max_pixels={max_pixels} and canvas_size={canvas_size} exclude each other: give one.")
    if max_pixels is not None:
        if max_pixels < 1:
            raise ValueError(f"max_pixels={max_pixels} must be at least 1.")
        shrink = min(1.0, math.sqrt(max_pixels / (height * width)))
        kept = (max(1, int(height * shrink)), max(1, int(width * shrink)))
    if canvas_size is not None:
        kept = tuple(canvas_size)
        if len(kept) != 2 or min(kept) < 1:
            raise ValueError(f"canvas_size={canvas_size} must be a height and a width of at least 1.")
    left, top = (width - kept[1]) // 2, (height - kept[0]) // 2
    return left, top, left + kept[1], top + kept[0]


def _cut(depth_metres: np.ndarray, size: tuple[int, int], window: tuple[int, int, int, int]) -> np.ndarray:
    """Cuts the window of an image of `size` out of a depth map of the same view at another resolution."""
    left, top, right, bottom = window
    if (left, top, right, bottom) == (0, 0, size[1], size[0]):
        return depth_metres
    axes = []
    for low, high, side, stored in (
        (top, bottom, size[0], len(depth_metres)),
        (left, right, size[1], len(depth_metres[0])),
    ):
        count = max(1, round((high - low) * stored / side))
        places = (low + (np.arange(count) + 0.5) * (high - low) / count) * stored / side
        axes.append((np.floor(places).astype(int), (places >= 0) & (places < stored)))
    (rows, row_is_real), (columns, column_is_real) = axes
    cut = depth_metres[rows.clip(0, len(depth_metres) - 1)[:, None], columns.clip(0, len(depth_metres[0]) - 1)]
    return np.where(row_is_real[:, None] & column_is_real, cut, 0).astype(depth_metres.dtype)
