"""VLM3's questions and answers as text, written and parsed: pixel depth, pixel correspondence, camera pose, objects.

Questions and answers are those of the released checkpoints, word for word, so that they can be asked and trained on.
What the release leaves open is ours: what stands inside `<think>` in a correspondence answer; that a direction names
an axis when its component is at least `NAMED_COMPONENT`; how strict the parsers are; and most wordings about objects.
Of these the release shows one question and answer, in the style of SpatialRGPT with boxes written into the text ("Can
you confirm if bounding box region ... is smaller than bounding box region ...?"), which the others follow.

Parsers take any text and return `None` for what is no answer: nothing is evaluated, nothing raises. A number has any
length, with or without a point and an exponent (`2`, `2.5`, `.5`, `1e1`), and is finite. Tags are read in either case,
and so is the minus of typesetting. Reasoning in `<think>` is cut off before, and thinking that is not closed has no
answer. Where an answer is given several times, the last one counts, but the first yes or no and the first box. A
range, an alternative or a tolerance is no length, angle or hour: "2 to 3 m", "3 or 4 o'clock", "20 ± 5 degrees".
"""

import math
import re

from .text_lengths import DIGITS, GAP, last_length, leaves_open


GROUND_TOKEN = (
    "<ground>"  # the answer that stands for boxes: a ground head chooses them by the hidden state of its last token
)
GROUND_ONE = (
    "Identify the object according to the following description.\n{description}"  # ScanRefer, as the peers ask
)
GROUND_ANY_NUMBER = (  # Multi3DRefer, likewise
    "Identify the object according to the following description.\n{description}\n"
    "There may be no corresponding object, or there may be one or more objects."
)
NAMED_COMPONENT = 0.1  # of a unit vector: 6 degrees off the plane of the other two axes
THINK_INSTRUCTION = ' Please think step by step and follow the format: "<think> [think process] </think>\n\n[answer]".'
DEPTH_QUESTION = (
    "Given this image, how far is the point at coordinates ({x}, {y}) from the camera? The coordinates are in "
    "normalised [0, {steps}] format relative to image width and height. Output the thinking process in <think> "
    "</think> and final answer (the meter number only, without the unit) in <answer> </answer> tags."
)
DEPTH_ANSWER = (
    "<think> The point is around {metres:.2f} meters away from the camera. </think>\n\n<answer> {metres:.2f} </answer>"
)
CORRESPONDENCE_QUESTION = (
    "Given these two images, what pixel in the second image corresponds to pixel ({x}, {y}) in the first image? "
    "Report the answer as (x, y)."
)
CORRESPONDENCE_THOUGHT = (
    "<think> The point at ({from_x}, {from_y}) in the first image appears at ({x}, {y}) in the second image. "
    "</think>\n\n"
)
ROTATION_ANGLE_QUESTION = (
    "Given these two images captured from different viewpoints, what is the relative rotation angle (in degrees) "
    "between the two camera poses?"
)
YAW_PITCH_ROLL_QUESTION = (
    "Treating the first image as the reference viewpoint, describe the camera's reorientation needed to reach the "
    "second image's viewpoint as yaw, pitch and roll about the first camera's local axes, applied intrinsically in "
    "the order yaw -> pitch -> roll.  Conventions: yaw is rotation about the vertical (down) axis, positive = turn "
    "right; pitch is about the lateral (right) axis after yaw, positive = look up; roll is about the optical "
    "(forward) axis after yaw and pitch, positive = bank to the right (image content rotates clockwise from the "
    "operator's POV)."
)
TRANSLATION_DIRECTION_QUESTION = (
    "Where did the camera move, expressed in the first camera's local frame (X right, Y down, Z forward)?  Give a "
    "qualitative direction and the precise unit direction vector (x, y, z)."
)
TRANSLATION_DISTANCE_QUESTION = "Estimate the magnitude of the camera translation between the two viewpoints."
AXIS_WORDS = (("left", "right"), ("up", "down"), ("backward", "forward"))

# Possessive, as all that repeats: no text takes more than linear time.
_NUMBER = rf"(?<![\w.+-])((?>{DIGITS}))(?![\w.]*\d)"
_BARE_NUMBER = re.compile(rf"{GAP}({DIGITS}){GAP}")
_PAIR = re.compile(rf"\({GAP}{_NUMBER}{GAP},{GAP}{_NUMBER}{GAP}\)")
_ANGLE = re.compile(rf"{_NUMBER}{GAP}(?:degrees?\b|deg\b|°)", re.IGNORECASE)
_YAW, _PITCH, _ROLL = (
    re.compile(
        rf"\b{name}{GAP}={GAP}((?>{DIGITS}))(?![\w.]*\d){GAP}(?:°|degrees?\b|deg\b|,|;|\.|$)",
        re.IGNORECASE,
    )
    for name in ("yaw", "pitch", "roll")
)
_VECTOR = re.compile(rf"\({GAP}{_NUMBER}{GAP},{GAP}{_NUMBER}{GAP},{GAP}{_NUMBER}{GAP}\)")
_THOUGHT_BEGINS, _THOUGHT_ENDS = (re.compile(re.escape(tag), re.IGNORECASE) for tag in ("<think>", "</think>"))
_ANSWER = re.compile(r"</?answer>", re.IGNORECASE)
_CLOCK = re.compile(rf"{_NUMBER}{GAP}o['’\u02bc]{GAP}clock\b", re.IGNORECASE)
_POLARITY = re.compile(r"\b(?:(yes|correct|true|indeed)|(no|not|incorrect|wrong|false))\b", re.IGNORECASE)
_OR_ELSE = re.compile(rf"{GAP}(?:/|or\b){GAP}(?:{_POLARITY.pattern})", re.IGNORECASE)
_BOX = re.compile(r"\([ ]{0,4}" + r"[ ]{0,4},[ ]{0,4}".join([r"([0-9]++)"] * 4) + r"[ ]{0,4}\)")


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
        `float` or `None`: Positive metres; `None` unless the tag is closed and holds one positive number and nothing
        else.
    """
    answer = _without_thought(text)
    if answer is None:
        return None
    tags = list(_ANSWER.finditer(answer))
    closing = max((place for place, tag in enumerate(tags) if tag.group().startswith("</")), default=0)
    opening = max((place for place in range(closing) if not tags[place].group().startswith("</")), default=None)
    if opening is None or closing < len(tags) - 1:
        return None
    found = _BARE_NUMBER.fullmatch(answer, tags[opening].end(), tags[closing].start())
    metres = None if found is None else float(found.group(1))
    return metres if metres is not None and 0 < metres < math.inf else None


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
        think_from (`tuple[int, int]`, *optional*): The pixel of the first image: writes the reasoning before the
            answer.

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
        `tuple[float, float]` or `None`: x and y in text steps; `None` without a pair, or if it is no place in the
        image.
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
    found = _last(_ANGLE, text, single=True)
    return found[0] if found is not None and 0 <= found[0] <= 180 else None


def yaw_pitch_roll_answer(yaw_degrees: float, pitch_degrees: float, roll_degrees: float) -> str:
    """Answers `YAW_PITCH_ROLL_QUESTION` to tenths of a degree; conventions in `trainers/geometry/camera_angles.py`."""
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
        unit_vector (`tuple[float, float, float]`): Direction of the second camera in the first camera's axes (x right,
            y down, z forward), of length 1.

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
    largest = max(map(abs, found))  # of numbers of any length, whose squares may be beyond floating point
    if not largest > 1e-6:
        return None
    found = [component / largest for component in found]
    length = math.hypot(*found)
    return tuple(component / length for component in found)


def translation_distance_answer(metres: float) -> str:
    """Answers `TRANSLATION_DISTANCE_QUESTION` in centimetres."""
    return f"Translation distance: {_finite(metres):.2f} meters"


def parse_translation_distance(text: str) -> float | None:
    """Reads the last length in metres, as `parse_length` does; `None` without one or if it is negative."""
    return parse_length(text)


def region(text_box: tuple[int, int, int, int]) -> str:
    """Names an object by its box in text steps (see `text_pixels.text_from_boxes`)."""
    return "bounding box region ({}, {}, {}, {})".format(*text_box)


def confirm_question(first: str, relation: str, second: str, meant: str = "") -> str:
    """Asks whether one region stands in a relation ("smaller than", "to the left of") to another, in the frame that is
    meant ("in the image")."""
    return f"Can you confirm if {first} is {relation} {second}{' ' if meant else ''}{meant}?"


def confirm_answer(first: str, relation: str, second: str, holds: bool) -> str:
    """Answers it: "Correct, ..." or "Incorrect, ... not ..."."""
    return f"Correct, {first} is {relation} {second}." if holds else f"Incorrect, {first} is not {relation} {second}."


def choice_question(comparative: str, first: str, second: str) -> str:
    """Asks which of two regions is closer, larger, taller ..."""
    return f"Which is {comparative}, {first} or {second}?"


def choice_answer(chosen: str, comparative: str) -> str:
    """Answers it with the region."""
    return f"{chosen[0].upper()}{chosen[1:]} is {comparative}."


def measure_question(quantity: str) -> str:
    """Asks for a length, such as "the width of bounding box region (...)"."""
    return f"What is {quantity}?"


def measure_answer(quantity: str, metres: float) -> str:
    """Answers it in centimetres."""
    return f"{quantity[0].upper()}{quantity[1:]} is {metres:.2f} meters."


def clock_question(start: str, target: str, facing: str) -> str:
    """Asks where one region is as seen from another, on a clock face on the ground, 12 being where one faces ("as the
    camera does")."""
    return f"If you are at {start}, facing {facing}, in which clock direction is {target}?"


def clock_answer(start: str, target: str, hour: int) -> str:
    """Answers it with the hour, 1 to 12."""
    return f"{target[0].upper()}{target[1:]} is roughly at {hour} o'clock from {start}."


def parse_polarity(text: str) -> bool | None:
    """Whether an answer affirms: the first word that says so, or denies, decides; `None` if it offers either."""
    answer = _without_thought(text)
    found = None if answer is None else _POLARITY.search(answer)
    if found is None or _OR_ELSE.match(answer, found.end()):
        return None
    return found.group(1) is not None


def parse_choice(text: str) -> tuple[int, int, int, int] | None:
    """The first box that an answer names, in text steps."""
    answer = _without_thought(text)
    found = None if answer is None else _BOX.search(answer)
    if found is None:
        return None
    numbers = [float(number) for number in found.groups()]  # `int` refuses thousands of digits
    return tuple(map(int, numbers)) if all(map(math.isfinite, numbers)) else None


def parse_length(text: str) -> float | None:
    """The last length of an answer in metres, not negative: a number with a unit, or parts of one ("5 feet 3 inches").

    `text_lengths` says what is read, and what leaves a length open and is none.
    """
    answer = _without_thought(text)
    return None if answer is None else last_length(answer)


def parse_clock(text: str) -> int | None:
    """The last hour of an answer, 1 to 12."""
    found = _last(_CLOCK, text, single=True)
    if found is None:
        return None
    (hour,) = found
    return int(hour) if hour.is_integer() and 1 <= hour <= 12 else None


def longest_answer(question: str) -> int:
    """How many tokens an answer may need.

    Args:
        question (`str`): As the model is asked.

    Returns:
        `int`: 256 where the prompt asks for thinking, as the authors decode the released checkpoints, else 64.
    """
    return 256 if "<think>" in question else 64


def _without_thought(text: str) -> str | None:
    """What follows the reasoning; `None` if that is not closed, or the answer is no text at all."""
    if not isinstance(text, str):
        return None
    rest = _THOUGHT_ENDS.split(text)[-1]
    return None if _THOUGHT_BEGINS.search(rest) else rest.replace("\u2212", "-")  # the minus of typesetting


def _last(pattern: re.Pattern, text: str, *, single: bool = False) -> tuple[float, ...] | None:
    """The numbers of the last match; of a `single` one, none at the end of a range."""
    answer = _without_thought(text)
    if answer is None:
        return None
    found = list(pattern.finditer(answer))
    if not found or (single and leaves_open(answer, found[-1].start())):
        return None
    numbers = tuple(map(float, found[-1].groups()))
    return numbers if all(map(math.isfinite, numbers)) else None


def _finite(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{value} cannot be an angle or a distance: give a finite number that is not negative.")
    return value


def _signed(value: float, digits: int) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be written: give a finite number.")
    return f"{round(value, digits) + 0.0:+.{digits}f}"
