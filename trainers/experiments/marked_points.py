"""Questions from depth and pose alone: coloured marks on surfaces of a frame, which of two is closer, how far one is.

The marked frame is the first of a clip of two neighbours; the second is as it was taken. Marks are what people point
at, and what words can name: which mark is meant is told by its colour, and no coordinates have to be learned first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image, ImageDraw
from scipy import ndimage

from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialExample


COLOURS = {"red": (225, 25, 25), "green": (20, 190, 40), "blue": (30, 60, 240), "yellow": (250, 230, 30)}
PAIRS = tuple(combinations(COLOURS, 2))
CLOSER, DISTANCE = "closer", "distance"
STEP_METRES = 0.5
LEAST_RATIO = 1.15  # of two depths, before one is closer
FLAT = 0.1  # of the depth, by which the pixels around a point may differ from it
MARK_SHARE = 1 / 24  # radius of a mark, of the frame's side
SPACING = 3.0  # of two marks, in radii
PLACES_TRIED = 200
PLACINGS_TRIED = 8


@dataclass(frozen=True)
class PointQuestion:
    """A question about marked points.

    Args:
        kind (`str`): `closer` or `distance`.
        question (`str`), answer (`str`): As text.
        guess (`str`, *optional*): `closer`: what one answers who sees the marks and nothing else: the lower one.
    """

    kind: str
    question: str
    answer: str
    guess: str | None = None


@dataclass(frozen=True)
class MarkedClip:
    """Two neighbouring frames, marks in the first, and what is asked.

    Args:
        scene_id (`str`): Of the clip with these marks.
        frame_ids (`tuple[str, ...]`): Two.
        frames (`tuple[PIL.Image.Image, ...]`): Two squares of P pixels.
        depth_metres (`np.ndarray`): (2, H, W) float32; 0 = not measured.
        intrinsics (`np.ndarray`): (2, 3, 3) in pixels of the squares.
        world_from_camera (`np.ndarray`): (2, 4, 4).
        questions (`tuple[PointQuestion, ...]`): At least one.
    """

    scene_id: str
    frame_ids: tuple[str, ...]
    frames: tuple[Image.Image, ...]
    depth_metres: np.ndarray
    intrinsics: np.ndarray
    world_from_camera: np.ndarray
    questions: tuple[PointQuestion, ...]


def surface(depth_metres: np.ndarray) -> np.ndarray:
    """Pixels whose depth is that of what lies around them.

    Args:
        depth_metres (`np.ndarray`): (H, W); 0 = not measured.

    Returns:
        `np.ndarray`: (H, W) bool: measured, as are the eight around, and none of these differs by more than `FLAT`.
        The rim of the map is none.
    """
    least, most = ndimage.minimum_filter(depth_metres, 3), ndimage.maximum_filter(depth_metres, 3)
    inner = np.zeros(depth_metres.shape, dtype=bool)
    inner[1:-1, 1:-1] = True
    return (
        inner
        & (least > 0)
        & (most - depth_metres <= FLAT * depth_metres)
        & (depth_metres - least <= FLAT * depth_metres)
    )


def place_points(depth_metres: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray | None:
    """Draws places of marks on surfaces, apart from each other.

    Args:
        depth_metres (`np.ndarray`): (H, W) depth of a square frame.
        count (`int`): Marks.
        rng (`np.random.Generator`): Draws them.

    Returns:
        `np.ndarray` or `None`: (count, 2) row and column of depth pixels; `None` where there is no room for as many.
    """
    candidates = np.argwhere(surface(depth_metres))
    size = np.array(depth_metres.shape)
    chosen: list[np.ndarray] = []
    for place in rng.permutation(candidates)[:PLACES_TRIED]:
        apart = [np.linalg.norm((place - other) / size) for other in chosen]
        if all(distance >= SPACING * MARK_SHARE for distance in apart):
            chosen.append(place)
        if len(chosen) == count:
            return np.stack(chosen)
    return None


def distance_in_steps(metres: float) -> str:
    """A distance to the nearest `STEP_METRES`: "2.5"; halves of a step go up."""
    return f"{np.floor(metres / STEP_METRES + 0.5) * STEP_METRES:.1f}"


def ask(
    depth_metres: dict[str, float], rows: dict[str, float], rng: np.random.Generator, questions_per_kind: int
) -> list[PointQuestion]:
    """Writes questions about marked points.

    Args:
        depth_metres (`dict[str, float]`): Depth of the point under each colour's mark, all of `COLOURS`.
        rows (`dict[str, float]`): How low in the frame it is.
        rng (`np.random.Generator`): Draws which are asked, and which colour is named first.
        questions_per_kind (`int`): At most so many of each kind; an odd one asks for one pair less.

    Returns:
        `list[PointQuestion]`: Pairs whose depths are within `LEAST_RATIO` of each other are not asked. Of the others
        the lower point is the closer one as often as it is not, so that who always names the lower one is right in
        half of them.
    """
    pairs: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for number in rng.permutation(len(PAIRS)):
        pair = PAIRS[number]
        near, far = sorted(pair, key=depth_metres.__getitem__)
        if depth_metres[far] >= LEAST_RATIO * depth_metres[near]:
            pairs[rows[near] > rows[far]].append(pair)
    each = min(len(pairs[True]), len(pairs[False]), questions_per_kind // 2)
    asked = []
    for pair in pairs[True][:each] + pairs[False][:each]:
        first, second = rng.permutation(pair).tolist()
        asked.append(
            PointQuestion(
                CLOSER,
                f"Which point is closer, {first} or {second}?",
                min(pair, key=depth_metres.__getitem__),
                max(pair, key=rows.__getitem__),
            )
        )
    for name in rng.permutation(list(depth_metres)).tolist()[:questions_per_kind]:
        asked.append(
            PointQuestion(
                DISTANCE, f"How many metres away is the {name} point?", distance_in_steps(depth_metres[name])
            )
        )
    return asked


def mark_clip(
    example: SpatialExample, draw: int, *, frame_pixels: int, questions_per_kind: int, seed: int
) -> MarkedClip | None:
    """Marks points in the first frame of a clip and asks about them.

    Args:
        example (`SpatialExample`): Two neighbouring frames with depth and poses.
        draw (`int`): How often the clip was marked before: other marks each time.
        frame_pixels (`int`): Side of the frames that the model sees; they are squashed into squares.
        questions_per_kind (`int`): At most so many of each kind.
        seed (`int`): Of everything that is drawn.

    Returns:
        `MarkedClip` or `None`: `None` where the first frame has too few surfaces.
    """
    numbers = [ord(letter) for letter in example.sample_id]
    rng = np.random.default_rng([seed, draw, *numbers])
    depth = example.depth_metres[0]
    for _ in range(PLACINGS_TRIED):  # until two depths can be compared
        points = place_points(depth, len(COLOURS), rng)
        if points is None:
            return None
        names = rng.permutation(list(COLOURS)).tolist()
        metres = {name: float(depth[row, column]) for name, (row, column) in zip(names, points, strict=True)}
        heights = {name: float(row) for name, (row, _) in zip(names, points, strict=True)}
        questions = ask(metres, heights, rng, questions_per_kind)
        if any(asked.kind == CLOSER for asked in questions):
            break
    frames = [frame.convert("RGB").resize((frame_pixels, frame_pixels)) for frame in example.frames]
    places = (points[:, ::-1] + 0.5) / np.array(depth.shape)[::-1] * frame_pixels
    frames[0] = draw_marks(frames[0], dict(zip(names, places.tolist(), strict=True)))
    return MarkedClip(
        scene_id=f"{example.sample_id}#{draw}",
        frame_ids=example.frame_ids,
        frames=tuple(frames),
        depth_metres=example.depth_metres,
        intrinsics=resize_intrinsics(example.intrinsics, depth.shape, (frame_pixels, frame_pixels)),
        world_from_camera=example.world_from_camera,
        questions=tuple(questions),
    )


def draw_marks(frame: Image.Image, places: dict[str, Sequence[float]]) -> Image.Image:
    """A frame with discs in it, each in a black rim.

    Args:
        frame (`PIL.Image.Image`): RGB.
        places (`dict[str, Sequence[float]]`): Centre (x, y) in pixels, by colour.

    Returns:
        `PIL.Image.Image`: A copy.
    """
    marked = frame.copy()
    pen = ImageDraw.Draw(marked)
    radius = frame.width * MARK_SHARE
    for name, (x, y) in places.items():
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[name], outline=(0, 0, 0))
    return marked


def write_tables(folder: Path, clips: Sequence[MarkedClip]) -> None:
    """Writes clips as the two tables of the row schema, which `dataset: hub` reads.

    Args:
        folder (`Path`): Folder of the dataset; its card is written last.
        clips (`Sequence[MarkedClip]`): What is trained on.

    Raises:
        ValueError: Depth beyond 65 m, which a map of 16 bits in millimetres does not hold.
    """
    scenes = [_scene_row(clip) for clip in clips]
    questions = [
        {
            "question_id": f"{clip.scene_id}/{number}",
            "scene_id": clip.scene_id,
            "question": asked.question,
            "answers": [asked.answer],
            "question_type": asked.kind,
            "referred_boxes": [],
        }
        for clip in clips
        for number, asked in enumerate(clip.questions)
    ]
    card = "---\nconfigs:\n"
    for name, rows, features in (
        ("scenes", scenes, SCENE_FEATURES),
        ("questions", questions, QUESTION_FEATURES),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(folder / name / "train-00000-of-00001.parquet")
        card += f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n"
    (folder / "README.md").write_text(
        f"{card}---\n\nClips of two frames with marked points, written by `igep real-frames`.\n", encoding="utf-8"
    )


def _scene_row(clip: MarkedClip) -> dict:
    millimetres = np.round(clip.depth_metres.astype(np.float64) * 1000)
    if millimetres.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"{clip.scene_id}: depth of {millimetres.max() / 1000:.0f} m: lower max_depth_metres.")
    return {
        "scene_id": clip.scene_id,
        "frame_ids": list(clip.frame_ids),
        "frames": list(clip.frames),
        "depth": [Image.fromarray(depth.astype(np.uint16)) for depth in millimetres],
        "metres_per_depth_unit": 0.001,
        "depth_kind": "z",
        "intrinsics": clip.intrinsics.tolist(),
        "depth_intrinsics": [],
        "colour_from_depth": [],
        "world_from_camera": clip.world_from_camera.tolist(),
        "boxes": [],
    }
