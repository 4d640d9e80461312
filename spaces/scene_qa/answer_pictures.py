"""Answers as pictures: a point with its distance, a box on the frame, and the box in space."""

import numpy as np
import plotly.graph_objects as go
from answer_places import Place, corners_metres
from PIL import Image, ImageDraw, ImageFont


ACCENT = (255, 176, 0)
SHADOW = (20, 20, 28)
CAMERA_COLOUR = "#6d7cff"
BOX_COLOUR = "#ffb000"
EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
CLIPPING_METRES = 0.05  # an edge that passes behind the camera is drawn as far as here
LONGEST_LABEL = 60
SMALLEST_LETTERS = 10
SMALLEST_SIDE = 512  # smaller frames are enlarged before anything is drawn on them, whole pixels at a time


def enlarged(frame: Image.Image) -> tuple[Image.Image, int]:
    """A copy of a frame that text can be read on, and the factor by which it grew."""
    factor = max(1, round(SMALLEST_SIDE / max(frame.size)))
    return frame.resize((frame.width * factor, frame.height * factor), Image.Resampling.NEAREST), factor


def draw_point(frame: Image.Image, pixel: tuple[float, float], label: str) -> Image.Image:
    """Marks a pixel and writes beside it.

    Args:
        frame (`PIL.Image.Image`): RGB.
        pixel (`tuple[float, float]`): x and y, pixel centres at +0.5.
        label (`str`): What to write.

    Returns:
        `PIL.Image.Image`: A larger copy of small frames.
    """
    picture, factor = enlarged(frame)
    draw = ImageDraw.Draw(picture)
    x, y = pixel[0] * factor, pixel[1] * factor
    radius = max(6, max(picture.size) // 60)
    for extra, colour in ((3, SHADOW), (0, ACCENT)):
        ring = (x - radius - extra / 2, y - radius - extra / 2, x + radius + extra / 2, y + radius + extra / 2)
        draw.ellipse(ring, outline=colour, width=3 + extra)
    draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=ACCENT)
    _label(draw, picture.size, (x, y), label, beside=radius + 6)
    return picture


def draw_place(frame: Image.Image, place: Place, intrinsics: np.ndarray, label: str) -> Image.Image:
    """Draws a box of the image, or the edges of a box in space as the camera sees them.

    Args:
        frame (`PIL.Image.Image`): RGB.
        place (`Place`): Where it is.
        intrinsics (`np.ndarray`): (3, 3) in pixels of the frame.
        label (`str`): What to write.

    Returns:
        `PIL.Image.Image`: A larger copy of small frames.
    """
    picture, factor = enlarged(frame)
    draw = ImageDraw.Draw(picture)
    if place.box is not None:
        box = [edge * factor for edge in place.box]
        draw.rectangle(box, outline=SHADOW, width=6)
        draw.rectangle(box, outline=ACCENT, width=3)
        _label(draw, picture.size, (box[0], box[1]), label)
        return picture
    corners = corners_metres(place)
    ends = [_clipped(corners[a], corners[b]) for a, b in EDGES]
    lines = [[tuple(_projected(end, intrinsics) * factor) for end in pair] for pair in ends if pair is not None]
    for width, colour in ((6, SHADOW), (3, ACCENT)):
        for line in lines:
            draw.line(line, fill=colour, width=width)
    x, y = _projected(np.array(place.centre_metres), intrinsics) * factor
    _label(draw, picture.size, (x, y), label)
    return picture


def draw_in_space(place: Place, label: str, field_of_view: tuple[float, float]) -> go.Figure:
    """The camera and a box before it, seen from above and behind; can be turned.

    Args:
        place (`Place`): With centre and size.
        label (`str`): Name of the box.
        field_of_view (`tuple[float, float]`): Tangents of half the horizontal and half the vertical angle.

    Returns:
        `plotly.graph_objects.Figure`
    """
    corners = corners_metres(place)
    reach = max(0.5, place.centre_metres[2] * 0.35)
    tangent_x, tangent_y = field_of_view
    reach /= max(1.0, tangent_x, tangent_y)  # else a tall video's cone is larger than the room
    rim = [np.array([sx * tangent_x, sy * tangent_y, 1.0]) * reach for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    frustum = [pair for k in range(4) for pair in ((np.zeros(3), rim[k]), (rim[k], rim[(k + 1) % 4]))]
    figure = go.Figure()
    figure.add_trace(_lines(frustum, CAMERA_COLOUR, "camera"))
    figure.add_trace(_lines([(corners[a], corners[b]) for a, b in EDGES], BOX_COLOUR, label))
    figure.add_trace(_lines([(np.zeros(3), np.array(place.centre_metres))], "#999999", "line of sight", "dot"))
    figure.update_layout(
        height=380,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        font={"color": "#8a8f98"},
        legend={"orientation": "h", "y": 0, "bgcolor": "rgba(0,0,0,0)"},
        scene={
            "xaxis": _axis("right, m"),
            "yaxis": _axis("forward, m"),
            "zaxis": _axis("up, m"),
            "aspectmode": "data",
            # Far enough away for the labels of all axes to be seen on a phone.
            "camera": {"eye": {"x": -1.75, "y": -2.4, "z": 1.2}, "center": {"x": 0, "y": 0, "z": -0.12}},
            "domain": {"y": [0.07, 1]},
        },
    )
    return figure


def _axis(title: str) -> dict:
    return {
        "title": title,
        "backgroundcolor": "rgba(0,0,0,0)",
        "gridcolor": "#9aa3b2",
        "showgrid": True,
        "gridwidth": 2,
        "nticks": 5,
        "zeroline": False,
    }


def _lines(pairs: list, colour: str, name: str, dash: str = "solid") -> go.Scatter3d:
    """Line segments; the camera's axes (right, down, forward) become right, forward, up."""
    points = [point for start, end in pairs for point in (start, end, np.full(3, np.nan))]
    x, y, z = np.array(points).T
    return go.Scatter3d(
        x=x, y=z, z=-y, mode="lines", name=name, line={"color": colour, "width": 5, "dash": dash}, hoverinfo="skip"
    )


def _clipped(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The part of an edge before the camera."""
    if max(start[2], end[2]) < CLIPPING_METRES:
        return None
    if start[2] < CLIPPING_METRES:
        start = start + (end - start) * (CLIPPING_METRES - start[2]) / (end[2] - start[2])
    elif end[2] < CLIPPING_METRES:
        end = end + (start - end) * (CLIPPING_METRES - end[2]) / (start[2] - end[2])
    return start, end


def _projected(point: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    x, y, w = intrinsics @ point
    return np.clip(np.array([x, y]) / w, -1e5, 1e5)


def _label(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], place: tuple[float, float], text: str, beside: float = 0
) -> None:
    """Writes at a place, or so far beside it: to its right, or where the picture ends there, to its left."""
    if not text:
        return
    text, font = _fitted(draw, text, size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 12, bottom - top + 10
    right_of, left_of = place[0] + beside, place[0] - beside - width
    x = left_of if beside and right_of + width + 2 > size[0] else right_of
    x = min(max(x, 2), max(size[0] - width - 2, 2))
    y = min(max(place[1] - height / 2, 2), max(size[1] - height - 2, 2))
    draw.rounded_rectangle((x, y, x + width, y + height), radius=5, fill=SHADOW)
    draw.text((x + 6 - left, y + 5 - top), text, fill=ACCENT, font=font)


def _fitted(draw: ImageDraw.ImageDraw, text: str, size: tuple[int, int]) -> tuple[str, ImageFont.ImageFont]:
    """A label in letters small enough for the picture, and cut where no letters are."""
    points, room = max(16, max(size) // 28), max(size[0] - 16, 1)
    text = text if len(text) <= LONGEST_LABEL else text[:LONGEST_LABEL] + "..."
    font = ImageFont.load_default(size=points)
    if (width := draw.textlength(text, font=font)) > room:
        font = ImageFont.load_default(size=max(SMALLEST_LETTERS, int(points * room / width)))
    while len(text) > 4 and draw.textlength(text, font=font) > room:
        text = text[:-4] + "..."
    return text, font
