"""What is true of the bundled examples: rendered rooms, whose geometry `examples/rooms.json` holds.

The world of a room has z up and a corner of the room at its origin; cameras have x right, y down, z forward. Metres.
"""

import filecmp
import json
from pathlib import Path

import numpy as np


EXAMPLES = Path(__file__).resolve().parent / "examples"
MISSED = np.inf


class ExampleRoom:
    """A bundled video.

    Args:
        example (`dict`): What `examples.json` says: `video`, `field_of_view_degrees`, `objects`, `questions` to
            suggest, and `truths`, the answers to all questions by the number of the first frame that is looked at.
        geometry (`dict`): What `rooms.json` says: `extent`, `rotation` of all cameras, `positions` of each, and
            `objects`, each with `name`, `centre`, `size` and `yaw`.
    """

    def __init__(self, example: dict, geometry: dict):
        self.video: str = example["video"]
        self.field_of_view_degrees: float = example["field_of_view_degrees"]
        self.objects: list[str] = example["objects"]
        self.questions: list[str] = example["questions"]
        self._truths: dict[str, dict[str, str]] = example["truths"]
        self._geometry = geometry

    def is_at(self, path: str) -> bool:
        """Whether a file is this video, whatever its name: anybody may upload another one of the same name."""
        file, own = Path(path), EXAMPLES / self.video
        if not file.is_file() or file.stat().st_size != own.stat().st_size:
            return False
        return filecmp.cmp(file, own, shallow=False)

    def answer(self, question: str, first_frame: int) -> str:
        """The true answer to a question in words, "the camera" being that of the first frame that is looked at.

        Args:
            question (`str`): In any case, with or without its question mark.
            first_frame (`int`): Its number in the video, from 0.

        Returns:
            `str`: Empty where it is not known.
        """
        known = {_plain(asked): answer for asked, answer in self._truths.get(str(first_frame), {}).items()}
        return known.get(_plain(question), "")

    def centre_metres(self, thing: str, frame: int) -> tuple[float, float, float] | None:
        """Where an object is in the camera of a frame; `None` where there is none of this name.

        Args:
            thing (`str`): "box in red" or "red box".
            frame (`int`): Its number in the video, from 0.

        Returns:
            `tuple[float, float, float]` or `None`: Right, down, forward.
        """
        for found in self._geometry["objects"]:
            shape, colour = found["name"].split(" in ")
            if _plain(thing) in (found["name"], f"{colour} {shape}"):
                offset = np.subtract(found["centre"], self._geometry["positions"][frame])
                return tuple((offset @ np.array(self._geometry["rotation"])).tolist())
        return None

    def distance_metres(self, share: tuple[float, float], frame: int, kind: str) -> float:
        """How far the surface at a point of a frame is.

        Args:
            share (`tuple[float, float]`): x and y of the point as shares of the width and height.
            frame (`int`): Its number in the video, from 0.
            kind (`str`): `euclidean`, from the camera's centre, or `z`, along its axis.

        Returns:
            `float`
        """
        half = np.tan(np.radians(self.field_of_view_degrees) / 2)
        ray = np.array([(2 * share[0] - 1) * half, (2 * share[1] - 1) * half, 1.0])
        direction = np.array(self._geometry["rotation"]) @ ray
        direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        origin = np.array(self._geometry["positions"][frame])
        walls = (np.where(direction > 0, self._geometry["extent"], 0.0) - origin) / direction
        hits = [_hit(found, origin, direction) for found in self._geometry["objects"]]
        depth = float(min([walls.min(), *hits]))
        return depth if kind == "z" else depth * float(np.linalg.norm(ray))


def example_rooms() -> list[ExampleRoom]:
    """Reads the bundled examples."""
    examples, rooms = (
        json.loads((EXAMPLES / name).read_text(encoding="utf-8")) for name in ("examples.json", "rooms.json")
    )
    return [ExampleRoom(example, rooms[example["video"]]) for example in examples]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(" ?.!")


def _hit(found: dict, origin: np.ndarray, direction: np.ndarray) -> float:
    """How many times `direction` an object is away along a ray; infinitely many where it is missed."""
    cosine, sine = np.cos(found["yaw"]), np.sin(found["yaw"])
    turned = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    start, along = turned @ (origin - found["centre"]), turned @ direction
    half = np.array(found["size"]) / 2
    shape = found["name"].split(" in ")[0]
    if shape == "box":
        along = np.where(np.abs(along) < 1e-9, 1e-9, along)
        one, two = (-half - start) / along, (half - start) / along
        enter, leave = np.minimum(one, two).max(), np.maximum(one, two).min()
        return enter if 0 < enter < leave else MISSED
    if shape == "sphere":
        return _nearest_root(along @ along, along @ start, start @ start - half[0] ** 2)
    side = _nearest_root(along[:2] @ along[:2], along[:2] @ start[:2], start[:2] @ start[:2] - half[0] ** 2)
    if np.isinf(side) or abs(start[2] + side * along[2]) >= half[2]:
        side = MISSED
    top = (half[2] - start[2]) / along[2] if along[2] else MISSED
    is_on_top = 0 < top < MISSED and np.linalg.norm(start[:2] + top * along[:2]) < half[0]
    return min(side, top) if is_on_top else side


def _nearest_root(a: float, b: float, c: float) -> float:
    """The smaller root of a t^2 + 2 b t + c; infinite where there is none ahead."""
    discriminant = b * b - a * c
    if a <= 0 or discriminant <= 0:
        return MISSED
    root = (-b - np.sqrt(discriminant)) / a
    return root if root > 0 else MISSED
