"""Questions about objects of a view, each with its exact answer from the scene's 3D boxes (SpatialRGPT's families).

What left, right, above, below and a clock's 12 mean is an option, and the question says it (see `VLM3Options`). Behind
and in front are along the camera's optical axis. Up is the z axis of the scene's world. Width is the larger of an
object's two horizontal extents, size its box's volume, and distances run between the centres of boxes. Qualitative
questions are asked only where the two objects differ clearly, each relation as often true as false.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from igep.spatial_prompts import (
    choice_answer,
    choice_question,
    clock_answer,
    clock_question,
    confirm_answer,
    confirm_question,
    measure_answer,
    measure_question,
    parse_choice,
    region,
)
from igep.text_pixels import text_from_boxes
from igep.trainers.data.vlm3.object_boxes import SeenObject, seen_objects
from igep.trainers.data.vlm3.spatial_question import PosedView, WrittenQuestion
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


LEAST_GAP_METRES = 0.2  # of places, before one is left of, above or behind the other
LEAST_RATIO = 1.2  # of lengths, before one is taller, wider or closer
LEAST_VOLUME_RATIO = 1.5
LEAST_IMAGE_GAP = 0.05  # of the image's side, before one is left of or above the other in the image
LEAST_GROUND_METRES = 0.2  # between two objects, before one has a clock direction from the other


@dataclass(frozen=True)
class Relation:
    """A quantity by which two objects are compared.

    Args:
        family (`str`): Name of the family.
        more (`str`): Relation of the object that has more of it.
        less (`str`): Relation of the other one.
        quantity (`Callable`): Of a view and an object.
        gap (`float`): Least difference; 0 = the ratio decides.
        ratio (`float`): Least ratio; 0 = the difference decides.
        comparatives (`tuple[str, str]`, *optional*): Words of a choice for more and less; none for places.
        meant (`str`, *optional*): The frame of a place, as the question states it.
    """

    family: str
    more: str
    less: str
    quantity: Callable[[PosedView, SeenObject], float]
    gap: float = 0.0
    ratio: float = 0.0
    comparatives: tuple[str, str] | None = None
    meant: str = ""


def _volume(view: PosedView, seen: SeenObject) -> float:
    return float(seen.size_metres.prod())


def _height(view: PosedView, seen: SeenObject) -> float:
    return float(seen.size_metres[2])


def _width(view: PosedView, seen: SeenObject) -> float:
    return float(seen.size_metres[:2].max())


def _distance(view: PosedView, seen: SeenObject) -> float:
    return float(np.linalg.norm(seen.centre_camera_metres))


def _image_centre(view: PosedView, seen: SeenObject) -> np.ndarray:
    """(2,) x and y of the middle of an object's box in the image, as shares of its sides."""
    return (seen.image_box[:2] + seen.image_box[2:]) / 2 / view.frame.size


SIZES = (
    Relation("object_size", "larger than", "smaller than", _volume, 0, LEAST_VOLUME_RATIO, ("larger", "smaller")),
    Relation("object_height", "taller than", "shorter than", _height, 0, LEAST_RATIO, ("taller", "shorter")),
    Relation("object_width", "wider than", "thinner than", _width, 0, LEAST_RATIO, ("wider", "thinner")),
    Relation(
        "object_closeness",
        "farther from the camera than",
        "closer to the camera than",
        _distance,
        LEAST_GAP_METRES,
        LEAST_RATIO,
        ("farther from the camera", "closer to the camera"),
    ),
)
LEFT_RIGHT = {
    "metres": Relation(
        "object_left_right",
        "to the right of",
        "to the left of",
        lambda view, seen: float(seen.centre_camera_metres[0]),
        LEAST_GAP_METRES,
        meant="by metres along the camera's horizontal axis",
    ),
    "image": Relation(
        "object_left_right",
        "to the right of",
        "to the left of",
        lambda view, seen: float(_image_centre(view, seen)[0]),
        LEAST_IMAGE_GAP,
        meant="in the image",
    ),
}
ABOVE_BELOW = {
    "world": Relation(
        "object_above_below",
        "above",
        "below",
        lambda view, seen: float(seen.centre_world_metres[2]),
        LEAST_GAP_METRES,
        meant="by height in the world",
    ),
    "image": Relation(
        "object_above_below",
        "above",
        "below",
        lambda view, seen: -float(_image_centre(view, seen)[1]),
        LEAST_IMAGE_GAP,
        meant="in the image",
    ),
}
FRONT_BEHIND = Relation(
    "object_front_behind",
    "behind",
    "in front of",
    lambda view, seen: float(seen.centre_camera_metres[2]),
    LEAST_GAP_METRES,
    meant="along the camera's optical axis",
)
FACING = {"axis": "the way the camera looks", "ray": "straight away from the camera"}
# The release answers "is smaller than" with "smaller in size than".
ANSWERED_AS = {"smaller than": "smaller in size than", "larger than": "larger in size than"}


def ask_about_objects(
    view: PosedView, boxes: list[dict], options: VLM3Options, rng: np.random.Generator
) -> list[WrittenQuestion]:
    """Asks about the objects that a view shows.

    Args:
        view (`PosedView`): View with intrinsics and pose; with depth, hidden objects are left out.
        boxes (`list[dict]`): Boxes of the scene, in the row schema.
        options (`VLM3Options`): Number of questions, text pixels, and what places mean.
        rng (`np.random.Generator`): Draws families, objects and wordings.

    Returns:
        `list[WrittenQuestion]`: Different questions, families taking turns; none where no object can be seen.
        References are `{"kind": "polarity" | "choice" | "metres" | "clock", "value": list[float]}`, as
        `ObjectRelations` takes them.
    """
    seen = seen_objects(view, boxes)
    number = options.questions_per_image
    names = {
        one.index: region(tuple(text_from_boxes(one.image_box, view.size, options.steps).tolist())) for one in seen
    }
    relations = (*SIZES, LEFT_RIGHT[options.left_right_in], ABOVE_BELOW[options.above_below_in], FRONT_BEHIND)
    # Two objects whose boxes read the same cannot be told apart in text.
    told_apart = [one for one in seen if list(names.values()).count(names[one.index]) == 1]
    families = [
        *([lambda relation=relation: _compare(view, relation, told_apart, names, rng) for relation in relations]),
        *(
            [
                lambda relation=relation: _choose(view, relation, told_apart, names, rng)
                for relation in relations
                if relation.comparatives
            ]
        ),
        lambda: _measure_one(view, told_apart, names, rng),
        lambda: _measure_two(told_apart, names, rng),
        lambda: _clock(view, options.clock_facing, told_apart, names, rng),
    ]
    written: dict[str, WrittenQuestion] = {}
    fruitless = 0
    while len(written) < number and fruitless < 3:
        before = len(written)
        for family in rng.permutation(len(families)).tolist():
            asked = families[family]()
            if asked is not None and len(written) < number:
                written.setdefault(asked.question, asked)
        fruitless = fruitless + 1 if len(written) == before else 0
    return list(written.values())


def _pairs(seen: list[SeenObject], rng: np.random.Generator) -> list[tuple[SeenObject, SeenObject]]:
    pairs = list(permutations(seen, 2))
    return [pairs[index] for index in rng.permutation(len(pairs)).tolist()]


def _clear_difference(relation: Relation, first: float, second: float) -> bool:
    wide = abs(first - second) >= relation.gap
    return wide and (not relation.ratio or max(first, second) >= relation.ratio * min(first, second))


def _clearly_different(
    view: PosedView, relation: Relation, seen: list[SeenObject], rng: np.random.Generator
) -> tuple[SeenObject, SeenObject, bool, bool] | None:
    """Two objects that differ clearly, whether the first has more and whether more is asked for; `None` if none do."""
    for first, second in _pairs(seen, rng):
        values = relation.quantity(view, first), relation.quantity(view, second)
        if _clear_difference(relation, *values):
            return first, second, values[0] > values[1], bool(rng.integers(2))
    return None


def _compare(
    view: PosedView, relation: Relation, seen: list[SeenObject], names: dict[int, str], rng: np.random.Generator
) -> WrittenQuestion | None:
    pair = _clearly_different(view, relation, seen, rng)
    if pair is None:
        return None
    first, second, first_has_more, asks_more = pair
    words = relation.more if asks_more else relation.less
    holds = first_has_more == asks_more
    parts = names[first.index], names[second.index]
    return WrittenQuestion(
        confirm_question(parts[0], words, parts[1], relation.meant),
        confirm_answer(parts[0], ANSWERED_AS.get(words, words), parts[1], holds),
        relation.family,
        {"kind": "polarity", "value": [float(holds)]},
    )


def _choose(
    view: PosedView, relation: Relation, seen: list[SeenObject], names: dict[int, str], rng: np.random.Generator
) -> WrittenQuestion | None:
    pair = _clearly_different(view, relation, seen, rng)
    if pair is None:
        return None
    first, second, first_has_more, asks_more = pair
    words = relation.comparatives[0 if asks_more else 1]
    chosen = names[(first if first_has_more == asks_more else second).index]
    return WrittenQuestion(
        choice_question(words, names[first.index], names[second.index]),
        choice_answer(chosen, words),
        relation.family,
        {"kind": "choice", "value": [float(number) for number in parse_choice(chosen)]},
    )


def _measure_one(
    view: PosedView, seen: list[SeenObject], names: dict[int, str], rng: np.random.Generator
) -> WrittenQuestion | None:
    if not seen:
        return None
    one = seen[int(rng.integers(len(seen)))]
    quantities = (
        ("the width of {}", _width(view, one), "object_width_metres"),
        ("the height of {}", _height(view, one), "object_height_metres"),
        ("the distance from the camera to {}", _distance(view, one), "object_distance_metres"),
    )
    words, metres, family = quantities[int(rng.integers(len(quantities)))]
    return _measured(words.format(names[one.index]), metres, family)


def _measure_two(seen: list[SeenObject], names: dict[int, str], rng: np.random.Generator) -> WrittenQuestion | None:
    for first, second in _pairs(seen, rng):
        apart = second.centre_world_metres - first.centre_world_metres
        quantities = (
            ("the distance between {} and {}", np.linalg.norm(apart), "object_between_metres"),
            ("the horizontal distance between {} and {}", np.linalg.norm(apart[:2]), "object_horizontal_metres"),
            ("the vertical distance between {} and {}", abs(apart[2]), "object_vertical_metres"),
        )
        words, metres, family = quantities[int(rng.integers(len(quantities)))]
        if metres >= 0.05:  # below, centimetres say nothing
            return _measured(words.format(names[first.index], names[second.index]), float(metres), family)
    return None


def _measured(quantity: str, metres: float, family: str) -> WrittenQuestion:
    return WrittenQuestion(
        measure_question(quantity), measure_answer(quantity, metres), family, {"kind": "metres", "value": [metres]}
    )


def _clock(
    view: PosedView, facing: str, seen: list[SeenObject], names: dict[int, str], rng: np.random.Generator
) -> WrittenQuestion | None:
    for start, target in _pairs(seen, rng):
        apart = (target.centre_world_metres - start.centre_world_metres)[:2]
        ahead = view.world_from_camera[:3, 2]
        if facing == "ray":
            ahead = start.centre_world_metres - view.world_from_camera[:3, 3]
        length = np.linalg.norm(ahead[:2])
        # Looking straight up or down, or standing below the camera, one faces nowhere on the ground.
        if np.linalg.norm(apart) < LEAST_GROUND_METRES or length < 0.1 * np.linalg.norm(ahead):
            continue
        forward = ahead[:2] / length
        right = np.array([forward[1], -forward[0]])
        hours = np.degrees(np.arctan2(apart @ right, apart @ forward)) / 30
        hour = int(np.rint(hours)) % 12 or 12
        return WrittenQuestion(
            clock_question(names[start.index], names[target.index], FACING[facing]),
            clock_answer(names[start.index], names[target.index], hour),
            "object_clock",
            {"kind": "clock", "value": [float(hour)]},
        )
    return None
