"""A decoded video frame as a player shows it: turned, mirrored and stretched as the file says, in ordinary colours.

The Space is published alone and has this file too, as `spaces/scene_qa/video_display.py`; a test holds them equal.
"""

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorPrimaries, ColorTrc
from PIL import Image


HIGH_DYNAMIC_RANGE = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
# Where a pixel (x, y), y down, is shown: x' = a x + c y, y' = b x + d y, by the (a, b, c, d) of the display matrix.
ORIENTATIONS = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def displayed(frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> Image.Image:
    """The picture that a player shows.

    Light of high dynamic range (PQ, HLG) is converted for an ordinary screen, whose white is its reference white (203
    cd/m²): what is brighter is white too.

    Args:
        frame (`av.VideoFrame`): As decoded.
        pixel_aspect (`Fraction`, *optional*): Width of a pixel over its height, before the frame is turned. Pixels
            that are not square are made so by enlarging the side that is too short.

    Returns:
        `PIL.Image.Image`: RGB.
    """
    if frame.color_trc in HIGH_DYNAMIC_RANGE:
        image = frame.reformat(
            format="rgb24", dst_color_trc=ColorTrc.BT709, dst_color_primaries=ColorPrimaries.BT709
        ).to_image()
    else:
        image = frame.to_image()
    if pixel_aspect and pixel_aspect != 1:
        image = image.resize(
            (round(image.width * max(pixel_aspect, 1)), round(image.height / min(pixel_aspect, 1))),
            Image.Resampling.BICUBIC,
        )
    orientation = _orientation(frame)
    return image if orientation is None else image.transpose(orientation)


def _orientation(frame: av.VideoFrame) -> Image.Transpose | None:
    """What the display matrix asks for: the nearest of the eight ways in which a rectangle can lie."""
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5] / 2**16
    return ORIENTATIONS[max(ORIENTATIONS, key=lambda way: np.dot(way, (a, b, c, d)))]
