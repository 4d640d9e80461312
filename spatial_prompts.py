"""VLM3's questions and answers as text: metric depth of a pixel, pixel correspondence and camera pose, written and parsed.

Questions and answers are those of the released checkpoints, word for word, so that they can be asked and trained on.
Three things the release leaves open are ours: what stands inside `<think>` in a correspondence answer; that a direction
names an axis when its component is at least `NAMED_COMPONENT`; and how strict the parsers are.

Parsers take any text and return `None` for what is no answer: nothing is evaluated, nothing raises. A number is at most
seven digits, a point and twelve digits. Reasoning in `<think>` is cut off before, and thinking that is not closed has
no answer. Where an answer is given several times, the last one counts.
"""

import math
import re


NAMED_COMPONENT = 0.1  # of a unit vector: 6 degrees off the plane of the other two axes
THINK_INSTRUCTION = ' Please think step by step and follow the format: "<think> [think process] </think>\n\n[answer]".'
DEPTH_QUESTION = (
    "Given this image, how far is the point at coordinates ({x}, {y}) from the camera? The coordinates are in normalised "
    "[0, {steps}] format relative to image width and height. Output the thinking process in <think> </think> and final "
    "answer (the meter number only, without the unit) in <answer> </answer> tags."
)
DEPTH_ANSWER = (
    "<think> The point is around {metres:.2f} meters away from the camera. </think>\n\n<answer> {metres:.2f} </answer>"
)
CORRESPONDENCE_QUESTION = (
    "Given these two images, what pixel in the second image corresponds to pixel ({x}, {y}) in the first image? Report the "
    "answer as (x, y)."
)
CORRESPONDENCE_THOUGHT = "<think> The point at ({from_x}, {from_y}) in the first image appears at ({x}, {y}) in the second image. </think>\n\n"
ROTATION_ANGLE_QUESTION = (
    "Given these two images captured from different viewpoints, what is the relative rotation angle (in degrees) between "
    "the two camera poses?"
)
YAW_PITCH_ROLL_QUESTION = (
    "Treating the first image as the reference viewpoint, describe the camera's reorientation needed to reach the second "
    "image's viewpoint as yaw, pitch and roll about the first camera's local axes, applied intrinsically in the order "
    "yaw -> pitch -> roll.  Conventions: yaw is rotation about the vertical (down) axis, positive = turn right; pitch is "
    "about the lateral (right) axis after yaw, positive = look up; roll is about the optical (forward) axis after yaw and "
    "pitch, positive = bank to the right (image content rotates clockwise from the operator's POV)."
)
TRANSLATION_DIRECTION_QUESTION = (
    "Where did the camera move, expressed in the first camera's local frame (X right, Y down, Z forward)?  Give a "
    "qualitative direction and the precise unit direction vector (x, y, z)."
)
TRANSLATION_DISTANCE_QUESTION = "Estimate the magnitude of the camera translation between the two viewpoints."
AXIS_WORDS = (("left", "right"), ("up", "down"), ("backward", "forward"))

_NUMBER = r"(?<![\w.+-])([+-]?[0-9]{1,7}(?:\.[0-9]{1,12})?)(?![\w.]*\d)"
_GAP = r"[ \t\n]{0,8}"
_BARE_NUMBER = re.compile(rf"{_GAP}([+-]?[0-9]{{1,7}}(?:\.[0-9]{{1,12}})?){_GAP}")
_PAIR = re.compile(rf"\({_GAP}{_NUMBER}{_GAP},{_GAP}{_NUMBER}{_GAP}\)")
_ANGLE = re.compile(rf"{_NUMBER}{_GAP}(?:degrees?\b|deg\b|°)", re.IGNORECASE)
_YAW, _PITCH, _ROLL = (
    re.compile(
        rf"\b{name}{_GAP}={_GAP}([+-]?[0-9]{{1,7}}(?:\.[0-9]{{1,12}})?)(?![\w.]*\d){_GAP}(?:°|degrees?\b|deg\b|,|;|\.|$)",
        re.IGNORECASE,
    )
    for name in ("yaw", "pitch", "roll")
)
_VECTOR = re.compile(rf"\({_GAP}{_NUMBER}{_GAP},{_GAP}{_NUMBER}{_GAP},{_GAP}{_NUMBER}{_GAP}\)")
_DISTANCE = re.compile(rf"{_NUMBER}{_GAP}(?:met(?:er|re)s?\b|m\b)", re.IGNORECASE)


def depth_question(text_xy: tuple[int, int], steps: int = 2000) -> str:
    """Asks how far a pixel is.

    Args:
        text_xy (`tuple[int, int]`): The pixel in text steps (see `text_pixels`).
        steps (`int`, *optional*, defaults to `2000`): N of the text pixels.

    Returns:
        `str`
    """
    x, y = text_xy
    return DEPTH_QUESTION.format(x=int(x), y=int(y), steps=steps)


def depth_answer(metres: float) -> str:
    """Answers it in centimetres.

    Args:
        metres (`float`): Positive.

    Returns:
        `str`

    Raises:
        ValueError: Not a positive finite number.
    """
    if not 0 < metres < math.inf:
        raise ValueError(f"metres={metres}: a depth is a positive number of metres.")
    return DEPTH_ANSWER.format(metres=metres)


def parse_depth(text: str) -> float | None:
    """Reads the metres inside the last `<answer>` tag.

    Args:
        text (`str`): The model's answer.

    Returns:
        `float` or `None`: Positive metres; `None` unless the tag is closed and holds one positive number and nothing else.
    """
    answer = _without_thought(text)
    if answer is None:
        return None
    end = answer.rfind("</answer>")
    start = answer.rfind("<answer>", 0, max(end, 0))
    if start < 0 or "<answer>" in answer[end:]:
        return None
    found = _BARE_NUMBER.fullmatch(answer[start + len("<answer>") : end])
    metres = None if found is None else float(found.group(1))
    return metres if metres is not None and metres > 0 else None


def correspondence_question(text_xy: tuple[int, int], think: bool = False) -> str:
    """Asks where a pixel of the first image is in the second.

    Args:
        text_xy (`tuple[int, int]`): The pixel of the first image in text steps.
        think (`bool`, *optional*, defaults to `False`): Ask for the reasoning as well.

    Returns:
        `str`
    """
    x, y = text_xy
    return CORRESPONDENCE_QUESTION.format(x=int(x), y=int(y)) + (THINK_INSTRUCTION if think else "")


def correspondence_answer(text_xy: tuple[int, int], think_from: tuple[int, int] | None = None) -> str:
    """Answers with the pixel of the second image.

    Args:
        text_xy (`tuple[int, int]`): The pixel of the second image in text steps.
        think_from (`tuple[int, int]`, *optional*): The pixel of the first image: writes the reasoning before the answer.

    Returns:
        `str`
    """
    x, y = (int(value) for value in text_xy)
    thought = ""
    if think_from is not None:
        from_x, from_y = (int(value) for value in think_from)
        thought = CORRESPONDENCE_THOUGHT.format(from_x=from_x, from_y=from_y, x=x, y=y)
    return f"{thought}({x}, {y})"


def parse_correspondence(text: str, steps: int = 1000) -> tuple[float, float] | None:
    """Reads the last pair in brackets.

    Args:
        text (`str`): The model's answer.
        steps (`int`, *optional*, defaults to `1000`): N of the text pixels.

    Returns:
        `tuple[float, float]` or `None`: x and y in text steps; `None` without a pair, or if it is no place in the image.
    """
    found = _last(_PAIR, text)
    if found is None:
        return None
    x, y = found
    return (x, y) if 0 <= x < steps and 0 <= y < steps else None


def rotation_angle_answer(angle_degrees: float) -> str:
    """Answers `ROTATION_ANGLE_QUESTION` to a tenth of a degree; 0 to 180."""
    return f"Rotation angle: {_finite(angle_degrees):.1f} degrees"


def parse_rotation_angle(text: str) -> float | None:
    """Reads the last angle with its unit; `None` without one, or outside 0 to 180 degrees."""
    found = _last(_ANGLE, text)
    return found[0] if found is not None and 0 <= found[0] <= 180 else None


def yaw_pitch_roll_answer(yaw_degrees: float, pitch_degrees: float, roll_degrees: float) -> str:
    """Answers `YAW_PITCH_ROLL_QUESTION` to a tenth of a degree; conventions in `camera_angles`."""
    angles = (_signed(angle, 1) for angle in (yaw_degrees, pitch_degrees, roll_degrees))
    return "Yaw={}°, Pitch={}°, Roll={}°".format(*angles)


def parse_yaw_pitch_roll(text: str) -> tuple[float, float, float] | None:
    """Reads the last yaw, pitch and roll; `None` if one is missing or beyond a full turn."""
    angles = [_last(pattern, text) for pattern in (_YAW, _PITCH, _ROLL)]
    if any(angle is None or abs(angle[0]) > 360 for angle in angles):
        return None
    return tuple(angle[0] for angle in angles)


def translation_direction_answer(unit_vector: tuple[float, float, float]) -> str:
    """Answers `TRANSLATION_DIRECTION_QUESTION` in words and numbers.

    Args:
        unit_vector (`tuple[float, float, float]`): Direction of the second camera in the first camera's axes (x right, y
            down, z forward), of length 1.

    Returns:
        `str`: The words are those of the components of at least `NAMED_COMPONENT`, in the order x, y, z.

    Raises:
        ValueError: The vector does not have length 1.
    """
    components = [float(component) for component in unit_vector]
    if not abs(math.hypot(*components) - 1) < 1e-3:
        raise ValueError(f"unit_vector={components}: a direction has length 1; where nothing moved there is none.")
    words = [
        pair[component > 0]
        for pair, component in zip(AXIS_WORDS, components, strict=True)
        if abs(component) >= NAMED_COMPONENT
    ]
    numbers = ", ".join(_signed(component, 2) for component in components)
    return f"The camera moves {', '.join(words)}, unit vector ({numbers})."


def parse_translation_direction(text: str) -> tuple[float, float, float] | None:
    """Reads the last three numbers in brackets and gives them length 1; `None` if they have no direction."""
    found = _last(_VECTOR, text)
    if found is None:
        return None
    length = math.hypot(*found)
    return tuple(component / length for component in found) if length > 1e-6 else None


def translation_distance_answer(metres: float) -> str:
    """Answers `TRANSLATION_DISTANCE_QUESTION` in centimetres."""
    return f"Translation distance: {_finite(metres):.2f} meters"


def parse_translation_distance(text: str) -> float | None:
    """Reads the last length in metres; `None` without one or if it is negative."""
    found = _last(_DISTANCE, text)
    return found[0] if found is not None and found[0] >= 0 else None


def _without_thought(text: str) -> str | None:
    """What follows the reasoning; `None` if that is not closed, or the answer is no text at all."""
    if not isinstance(text, str):
        return None
    end = text.rfind("</think>")
    rest = text if end < 0 else text[end + len("</think>") :]
    return None if "<think>" in rest else rest


def _last(pattern: re.Pattern, text: str) -> tuple[float, ...] | None:
    answer = _without_thought(text)
    if answer is None:
        return None
    found = pattern.findall(answer)
    if not found:
        return None
    return tuple(float(number) for number in ([found[-1]] if isinstance(found[-1], str) else found[-1]))


def _finite(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{value} cannot be an angle or a distance: give a finite number that is not negative.")
    return value


def _signed(value: float, digits: int) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be written: give a finite number.")
    return f"{round(value, digits) + 0.0:+.{digits}f}"
