"""3D boxes as text, asked for, written and parsed: JSON that names a frame and a box in the camera of that frame.

    {"frame": 2, "bbox_3d": [-0.31, 0.42, 2.05, 0.50, 1.00, 0.52, 12.3, -8.0, 1.5]}

`frame` counts the frames that the model was shown, from 0. `bbox_3d` is [x, y, z, w, h, l, yaw, pitch, roll]: the
centre in metres along the axes of that frame's camera (x right, y down, z forward), the full sizes in metres along the
box's own axes, and angles in degrees: `camera_from_box = Ry(yaw) Rx(pitch) Rz(roll)`, where yaw turns right, pitch
looks up and roll banks right. It is read without any pose, intrinsics or world.

The parser takes any text and never raises. Reasoning in `<think>` is cut off before, and thinking that is not closed
has no answer. Prose and code fences around the JSON do not matter; what is meant as a box and is none is told apart
from a box.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple


ONE_BOX = (
    "Answer with the number of a frame that shows the object well, counted from 0, and its 3D box in the camera of "
    "that frame (x right, y down, z forward; metres and degrees), as JSON: "
    '{"frame": k, "bbox_3d": [x, y, z, w, h, l, yaw, pitch, roll]}'
)
ANY_NUMBER_OF_BOXES = (
    "Answer with a JSON list that has for each such object the number of a frame that shows it well, counted from 0, "
    "and its 3D box in the camera of that frame (x right, y down, z forward; metres and degrees): "
    '[{"frame": k, "bbox_3d": [x, y, z, w, h, l, yaw, pitch, roll]}, ...]. '
    "If there is no such object, the list is empty: []"
)
BOX_NUMBERS = 9
SMALLEST_METRES = 0.01  # that two decimals hold: a size of 0.00 would be a box without volume
FARTHEST_METRES = 1000.0  # no centre or size of a scene that is shown in frames is beyond it
FULL_TURN = 360.0

UNFINISHED_THOUGHT = "thinking that is not closed"
NO_BOX = "no box"
NOT_JSON = "no JSON, or cut off"
WRONG_FRAME = "no frame, or one that was not shown"
WRONG_LENGTH = "not nine numbers"
WRONG_NUMBER = "a number that is not finite or out of range"
NEGATIVE_SIZE = "a negative size"

_BOX_KEY = '"bbox_3d"'
_FLAT_OBJECT = re.compile(r"\{[^{}]*\}")
_EMPTY_LIST = re.compile(r"\[\s*\]")


class TextBox(NamedTuple):
    """A box in the camera of a frame.

    Args:
        frame (`int`): Number of the frame among those that the model was shown, from 0.
        box (`tuple[float, ...]`): Nine numbers, see the top of this file.
    """

    frame: int
    box: tuple[float, ...]


class BoxAnswer(NamedTuple):
    """What an answer says about boxes.

    Args:
        boxes (`tuple[TextBox, ...]`): Those that could be read, in their order.
        problems (`tuple[str, ...]`): For each box that could not, why; or why there is no answer at all. Without boxes
            and without problems the answer is the empty list: no such object.
    """

    boxes: tuple[TextBox, ...]
    problems: tuple[str, ...]


def box_question(question: str, any_number: bool = False) -> str:
    """Asks for boxes.

    Args:
        question (`str`): What is looked for, in words.
        any_number (`bool`, *optional*, defaults to `False`): Whether none, one or several objects may fit; otherwise
            one does.

    Returns:
        `str`: The question, and on a line of its own how to answer.
    """
    return f"{question}\n{ANY_NUMBER_OF_BOXES if any_number else ONE_BOX}"


def box_answer(boxes: Sequence[TextBox], any_number: bool = False) -> str:
    """Answers with boxes: lengths to two decimals, angles to one. A size below `SMALLEST_METRES` is written as that.

    Args:
        boxes (`Sequence[TextBox]`): The boxes.
        any_number (`bool`, *optional*, defaults to `False`): Write a list, which may be empty; otherwise the one box.

    Returns:
        `str`: JSON.

    Raises:
        ValueError: Not one box where one is asked for, or a box that is none.
    """
    if not any_number and len(boxes) != 1:
        raise ValueError(f"{len(boxes)} boxes answer a question about one object: give one, or set any_number.")
    written = [_written(each) for each in boxes]
    return f"[{', '.join(written)}]" if any_number else written[0]


def parse_boxes(text: str, num_frames: int) -> BoxAnswer:
    """Reads every box of an answer.

    Args:
        text (`str`): The model's answer.
        num_frames (`int`): Frames that it was shown.

    Returns:
        `BoxAnswer`
    """
    if not isinstance(text, str):
        return BoxAnswer((), (NO_BOX,))
    answer = text[text.rfind("</think>") + len("</think>") :] if "</think>" in text else text
    if "<think>" in answer:
        return BoxAnswer((), (UNFINISHED_THOUGHT,))
    found = [_parsed(each, num_frames) for each in _FLAT_OBJECT.findall(answer) if _BOX_KEY in each]
    problems = [each for each in found if isinstance(each, str)]
    problems += [NOT_JSON] * _FLAT_OBJECT.sub("", answer).count(_BOX_KEY)
    if not found and not problems and not _EMPTY_LIST.search(answer):
        problems = [NO_BOX]
    return BoxAnswer(tuple(each for each in found if isinstance(each, TextBox)), tuple(problems))


def _written(each: TextBox) -> str:
    problem = WRONG_FRAME if each.frame < 0 else _box_problem(each.box)
    if problem is not None:
        raise ValueError(f"{each} cannot be written: {problem}.")
    lengths = [*each.box[:3], *(max(size, SMALLEST_METRES) for size in each.box[3:6])]
    numbers = [*(_fixed(value, 2) for value in lengths), *(_fixed(value, 1) for value in each.box[6:])]
    return f'{{"frame": {each.frame}, {_BOX_KEY}: [{", ".join(numbers)}]}}'


def _fixed(value: float, digits: int) -> str:
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # 0 is added so that nothing reads -0.00


def _parsed(text: str, num_frames: int) -> TextBox | str:
    """A box, or the problem with it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON
    frame, box = found.get("frame"), found.get("bbox_3d")
    if type(frame) not in (int, float) or not 0 <= frame < num_frames or frame != int(frame):
        return WRONG_FRAME
    problem = _box_problem(box)
    return problem or TextBox(int(frame), tuple(float(value) for value in box))


def _box_problem(box: object) -> str | None:
    if not isinstance(box, (list, tuple)) or len(box) != BOX_NUMBERS:
        return WRONG_LENGTH
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in box):
        return WRONG_NUMBER
    limits = (FARTHEST_METRES,) * 6 + (FULL_TURN,) * 3
    if not all(abs(value) <= limit for value, limit in zip(box, limits, strict=True)):  # which NaN is not either
        return WRONG_NUMBER
    return NEGATIVE_SIZE if min(box[3:6]) < 0 else None
