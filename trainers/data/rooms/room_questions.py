"""Questions about a synthetic room, with exact answers, in two groups: what 3D understanding is for, and plain 2D.

"The camera" is the first frame's. Lengths are metres. An object is asked about only when it can be seen there.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from igep.trainers.data.rooms.room_renderer import COLOURS, SHAPES, RenderedRooms


PLURALS = {"box": "boxes", "sphere": "spheres", "cylinder": "cylinders"}
VISIBLE_FRACTION = 48 / 4096  # of the first frame's pixels, before an object is asked about
LENGTH_STEP_METRES = 0.5
HEIGHT_STEP_METRES = 0.2
SCREEN_CELLS = 8  # the 2D grid of "where on screen", per axis
MIN_DEPTH_GAP_METRES = 0.3  # below it "which is closer" has no honest answer
MIN_TANGENT_GAP = 0.08  # likewise for left and right
TRIES_PER_QUESTION = 20
WHERE_QUESTIONS = ("What is the 3D centre of the {object}?", "How many metres tall is the {object}?")  # as asked below


@dataclass(frozen=True)
class RoomView:
    """What the first frame of one room shows.

    Args:
        names (`list[str]`): "box in red" and so on, one per slot.
        colours (`list[str]`), shapes (`list[str]`): One per slot.
        camera_xyz_metres (`np.ndarray`): (K, 3) object centres in the first camera.
        height_metres (`np.ndarray`): (K,) upright extents.
        focal_over_width (`float`): Focal length as a fraction of the image width.
        visible (`list[int]`): Slots seen in the first frame.
        seen_in_any_frame (`list[int]`): Slots seen in at least one frame.
    """

    names: list[str]
    colours: list[str]
    shapes: list[str]
    camera_xyz_metres: np.ndarray
    height_metres: np.ndarray
    focal_over_width: float
    visible: list[int]
    seen_in_any_frame: list[int]


@dataclass(frozen=True)
class RoomQuestion:
    question: str
    answer: str
    question_type: str
    referred_slots: tuple[int, ...]


def format_length(metres: float, step_metres: float = LENGTH_STEP_METRES) -> str:
    """Rounds to the answer grid and writes one decimal, without a negative zero."""
    return f"{round(float(metres) / step_metres) * step_metres + 0.0:.1f}"


def _distance(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if not view.visible:
        return None
    slot = rng.choice(view.visible)
    answer = format_length(np.linalg.norm(view.camera_xyz_metres[slot]))
    return RoomQuestion(f"How many metres away is the {view.names[slot]}?", answer, "distance", (slot,))


def _pair(view: RoomView, rng: random.Random) -> tuple[int, int] | None:
    return tuple(rng.sample(view.visible, 2)) if len(view.visible) >= 2 else None


def _closer(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if (pair := _pair(view, rng)) is None:
        return None
    one, two = (float(np.linalg.norm(view.camera_xyz_metres[slot])) for slot in pair)
    if abs(one - two) < MIN_DEPTH_GAP_METRES:
        return None
    question = f"Which is closer, the {view.names[pair[0]]} or the {view.names[pair[1]]}?"
    return RoomQuestion(question, view.colours[pair[0] if one < two else pair[1]], "closer", pair)


def _left_right(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if (pair := _pair(view, rng)) is None:
        return None
    one, two = (view.camera_xyz_metres[slot, 0] / view.camera_xyz_metres[slot, 2] for slot in pair)
    if abs(one - two) < MIN_TANGENT_GAP:
        return None
    question = f"Is the {view.names[pair[0]]} left or right of the {view.names[pair[1]]}?"
    return RoomQuestion(question, "left" if one < two else "right", "left_right", pair)


def _size(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if not view.visible:
        return None
    slot = rng.choice(view.visible)
    answer = format_length(view.height_metres[slot], HEIGHT_STEP_METRES)
    return RoomQuestion(f"How many metres tall is the {view.names[slot]}?", answer, "size", (slot,))


def _count(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    shape = rng.choice(SHAPES)
    slots = tuple(slot for slot in view.seen_in_any_frame if view.shapes[slot] == shape)
    return RoomQuestion(f"How many {PLURALS[shape]} are there?", str(len(slots)), "count", slots)


def _object_distance(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if (pair := _pair(view, rng)) is None:
        return None
    metres = np.linalg.norm(view.camera_xyz_metres[pair[0]] - view.camera_xyz_metres[pair[1]])
    question = f"How many metres apart are the {view.names[pair[0]]} and the {view.names[pair[1]]}?"
    return RoomQuestion(question, format_length(metres), "object_distance", pair)


def _centre(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if not view.visible:
        return None
    slot = rng.choice(view.visible)
    answer = " ".join(format_length(value) for value in view.camera_xyz_metres[slot])
    return RoomQuestion(f"What is the 3D centre of the {view.names[slot]}?", answer, "centre", (slot,))


def _colour(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    alone = [s for s in view.visible if sum(view.shapes[o] == view.shapes[s] for o in view.seen_in_any_frame) == 1]
    if not alone:
        return None
    slot = rng.choice(alone)
    return RoomQuestion(f"What colour is the {view.shapes[slot]}?", view.colours[slot], "colour", (slot,))


def _shape(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if not view.visible:
        return None
    slot = rng.choice(view.visible)
    return RoomQuestion(f"What shape is in {view.colours[slot]}?", view.shapes[slot], "shape", (slot,))


def _screen_position(view: RoomView, rng: random.Random) -> RoomQuestion | None:
    if not view.visible:
        return None
    slot = rng.choice(view.visible)
    x, y, z = view.camera_xyz_metres[slot]
    cells = (SCREEN_CELLS * (tangent / z * view.focal_over_width + 0.5) for tangent in (y, x))
    row, column = (min(SCREEN_CELLS - 1, max(0, int(cell))) for cell in cells)
    question = f"Where on screen is the {view.names[slot]}?"
    return RoomQuestion(question, f"row {row} column {column}", "screen_position", (slot,))


Writer = Callable[[RoomView, random.Random], RoomQuestion | None]
SPATIAL_QUESTIONS: tuple[Writer, ...] = (_distance, _closer, _left_right, _size, _count, _object_distance, _centre)
SPATIAL_QUESTION_TYPES = ("distance", "closer", "left_right", "size", "count", "object_distance", "centre")
PLANAR_QUESTIONS: tuple[Writer, ...] = (_left_right, _count, _colour, _shape, _screen_position)
PLANAR_QUESTION_TYPES = ("left_right", "count", "colour", "shape", "screen_position")


def room_views(rendered: RenderedRooms) -> list[RoomView]:
    """What can be asked about each of R rendered rooms.

    Args:
        rendered (`RenderedRooms`): R rooms.

    Returns:
        `list[RoomView]`: R views.
    """
    layout = rendered.layout
    slots = layout.exists.shape[1]
    seen = np.stack([(rendered.object_index == slot).flatten(2).float().mean(-1).numpy() for slot in range(slots)], -1)
    camera = layout.world_from_camera[:, 0]
    offset = layout.centre - camera[:, None, :3, 3]
    camera_xyz = (offset @ camera[:, :3, :3]).double().numpy()
    focal = (layout.intrinsics[:, 0, 0] / rendered.frames.shape[3]).tolist()
    colour_names = list(COLOURS)
    views = []
    for room, (shape, colour) in enumerate(zip(layout.shape.tolist(), layout.colour.tolist(), strict=True)):
        shapes, colours = [SHAPES[index] for index in shape], [colour_names[index] for index in colour]
        views.append(
            RoomView(
                names=[f"{shape} in {colour}" for shape, colour in zip(shapes, colours, strict=True)],
                colours=colours,
                shapes=shapes,
                camera_xyz_metres=camera_xyz[room],
                height_metres=layout.size[room, :, 2].double().numpy(),
                focal_over_width=focal[room],
                visible=np.flatnonzero(seen[room, 0] >= VISIBLE_FRACTION).tolist(),
                seen_in_any_frame=np.flatnonzero(seen[room].max(0) >= VISIBLE_FRACTION).tolist(),
            )
        )
    return views


def ask_about(
    view: RoomView, num_questions: int, writers: tuple[Writer, ...], rng: random.Random
) -> list[RoomQuestion]:
    """Draws questions about one room, families equally likely, no question twice.

    Args:
        view (`RoomView`): The room.
        num_questions (`int`): How many; fewer come back only when the room does not offer that many.
        writers (`tuple[Writer, ...]`): Families to draw from.
        rng (`random.Random`): Source of randomness.

    Returns:
        `list[RoomQuestion]`
    """
    drawn: dict[str, RoomQuestion] = {}
    for _ in range(num_questions * TRIES_PER_QUESTION):
        if len(drawn) == num_questions:
            break
        if (question := rng.choice(writers)(view, rng)) is not None:
            drawn.setdefault(question.question, question)
    return list(drawn.values())
