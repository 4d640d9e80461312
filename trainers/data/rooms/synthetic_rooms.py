"""Posed RGB-D scenes and questions that come out of a seed: the embedded dataset, nothing to download.

    from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms

    scenes, questions = synthetic_rooms(4096, seed=1)

Depth is stored as 16-bit PNG like any real set, in steps of 0.2 mm, which covers the longest diagonal of a room.
"""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import Dataset, Features
from PIL import Image

from igep.trainers.data.rooms.room_questions import SPATIAL_QUESTIONS, RoomView, Writer, ask_about, room_views
from igep.trainers.data.rooms.room_renderer import (
    ROOMS_PER_CHUNK,
    RenderedRooms,
    RoomSpec,
    render_rooms,
    sample_layout,
)
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES


METRES_PER_DEPTH_UNIT = 0.0002


@dataclass
class SyntheticRoomsOptions:
    """Options of `synthetic_rooms`.

    Args:
        num_rooms (`int`, *optional*, defaults to `4096`): `synthetic_rooms`: rooms to train on.
        room_seed (`int`, *optional*, defaults to `0`): `synthetic_rooms`: seed; held-out rooms take the next one.
        room_frames (`int`, *optional*, defaults to `2`): `synthetic_rooms`: frames of a room.
        room_image_size (`int`, *optional*, defaults to `64`): `synthetic_rooms`: width and height in pixels.
        room_focal_range (`list[float]`, *optional*, defaults to `[0.8, 0.8]`): `synthetic_rooms`: lowest and highest
            focal length, over image width.
        room_fixed_gaze (`bool`, *optional*, defaults to `False`): `synthetic_rooms`: the camera moves without turning.
        questions_per_room (`int`, *optional*, defaults to `2`): `synthetic_rooms`: questions about a room.
        eval_rooms (`int`, *optional*, defaults to `0`): `synthetic_rooms`: further rooms that are held out.
    """

    num_rooms: int = field(default=4096, metadata={"help": "synthetic_rooms: rooms to train on."})
    room_seed: int = field(default=0, metadata={"help": "synthetic_rooms: seed; held-out rooms take the next one."})
    room_frames: int = field(default=2, metadata={"help": "synthetic_rooms: frames of a room."})
    room_image_size: int = field(default=64, metadata={"help": "synthetic_rooms: width and height in pixels."})
    room_focal_range: list[float] = field(
        default_factory=lambda: [0.8, 0.8],
        metadata={"help": "synthetic_rooms: lowest and highest focal length, over image width."},
    )
    room_fixed_gaze: bool = field(
        default=False, metadata={"help": "synthetic_rooms: the camera moves without turning."}
    )
    questions_per_room: int = field(default=2, metadata={"help": "synthetic_rooms: questions about a room."})
    eval_rooms: int = field(default=0, metadata={"help": "synthetic_rooms: further rooms that are held out."})


def rendered_chunks(num_rooms: int, *, seed: int, spec: RoomSpec) -> Iterator[RenderedRooms]:
    """Renders rooms chunk by chunk; room i is the same whatever the number of rooms asked for.

    Args:
        num_rooms (`int`): Rooms in all.
        seed (`int`): The same seed gives the same rooms.
        spec (`RoomSpec`): What kind of rooms.

    Yields:
        `RenderedRooms` of up to `ROOMS_PER_CHUNK` rooms.
    """
    if num_rooms < 1:
        raise ValueError(f"num_rooms={num_rooms}: ask for at least one room")
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, num_rooms, ROOMS_PER_CHUNK):
        layout = sample_layout(ROOMS_PER_CHUNK, spec, generator)
        rendered = render_rooms(layout, spec, generator)
        yield rendered if start + ROOMS_PER_CHUNK <= num_rooms else _first_rooms(rendered, num_rooms - start)


def _first_rooms(rendered: RenderedRooms, count: int) -> RenderedRooms:
    layout = rendered.layout
    fields = {name: value[:count] for name, value in vars(layout).items() if name != "paint"}
    paint = {name: value[:count] for name, value in layout.paint.items()}
    return RenderedRooms(
        type(layout)(**fields, paint=paint),
        rendered.frames[:count],
        rendered.depth_metres[:count],
        rendered.object_index[:count],
    )


def synthetic_rooms(
    num_rooms: int,
    *,
    seed: int,
    num_frames: int = 2,
    image_size: int = 64,
    questions_per_room: int = 2,
    writers: tuple[Writer, ...] = SPATIAL_QUESTIONS,
    focal_range: tuple[float, float] = (0.8, 0.8),
    fixed_gaze: bool = False,
) -> tuple[Dataset, Dataset]:
    """Renders rooms into the two tables of the row schema.

    Args:
        num_rooms (`int`): Rooms to render.
        seed (`int`): The same seed gives the same tables, byte for byte.
        num_frames (`int`, *optional*, defaults to `2`): Frames per room.
        image_size (`int`, *optional*, defaults to `64`): Width and height in pixels.
        questions_per_room (`int`, *optional*, defaults to `2`): 0 gives rooms that nobody annotated.
        writers (`tuple[Writer, ...]`, *optional*): Question families; the seven spatial ones unless given.
        focal_range (`tuple[float, float]`, *optional*, defaults to `(0.8, 0.8)`): Focal lengths over image width.
        fixed_gaze (`bool`, *optional*, defaults to `False`): The camera moves without turning.

    Returns:
        `tuple[Dataset, Dataset]`: Scenes and questions.
    """
    spec = RoomSpec(num_frames=num_frames, image_size=image_size, focal_range=focal_range, fixed_gaze=fixed_gaze)
    scenes, questions = [], []
    for rendered in rendered_chunks(num_rooms, seed=seed, spec=spec):
        for index, view in enumerate(room_views(rendered)):
            scene_id = f"room_{seed}_{len(scenes):06d}"
            scenes.append(_scene_row(rendered, index, view, scene_id))
            rng = random.Random(f"questions {scene_id}")
            slots = torch.nonzero(rendered.layout.exists[index]).flatten().tolist()
            for number, asked in enumerate(ask_about(view, questions_per_room, writers, rng)):
                questions.append(
                    {
                        "question_id": f"{scene_id}_{number}",
                        "scene_id": scene_id,
                        "question": asked.question,
                        "answers": [asked.answer],
                        "question_type": asked.question_type,
                        "referred_boxes": [slots.index(slot) for slot in asked.referred_slots],
                    }
                )
    return _table(scenes, SCENE_FEATURES), _table(questions, QUESTION_FEATURES)


def rendered_rooms(options: SyntheticRoomsOptions, *, held_out: bool = False) -> tuple[Dataset, Dataset | None]:
    """Renders the rooms that options name.

    Args:
        options (`SyntheticRoomsOptions`): The options.
        held_out (`bool`, *optional*, defaults to `False`): `eval_rooms` of the next seed in place of those to train
            on.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions, `None` without any question.

    Raises:
        ValueError: An option is out of range.
    """
    if len(options.room_focal_range) != 2:
        raise ValueError(f"room_focal_range={options.room_focal_range} must be two numbers, lowest and highest.")
    scenes, questions = synthetic_rooms(
        options.eval_rooms if held_out else options.num_rooms,
        seed=options.room_seed + held_out,
        num_frames=options.room_frames,
        image_size=options.room_image_size,
        questions_per_room=options.questions_per_room,
        focal_range=tuple(options.room_focal_range),
        fixed_gaze=options.room_fixed_gaze,
    )
    return scenes, questions if len(questions) else None


def _table(rows: list[dict], features: Features) -> Dataset:
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def _encoded(pixels: np.ndarray, **options) -> dict[str, bytes | None]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **options)
    return {"bytes": buffer.getvalue(), "path": None}


def _scene_row(rendered: RenderedRooms, index: int, view: RoomView, scene_id: str) -> dict:
    layout = rendered.layout
    frames = rendered.frames[index].numpy()
    depth_units = (rendered.depth_metres[index].double().numpy() / METRES_PER_DEPTH_UNIT).round().astype(np.uint16)
    slots = torch.nonzero(layout.exists[index]).flatten().tolist()
    return {
        "scene_id": scene_id,
        "frame_ids": [f"{frame:05d}" for frame in range(len(frames))],
        # At these sizes decoding costs more than disk: a BMP is read seven times faster than a PNG.
        "frames": [_encoded(frame, format="BMP") for frame in frames],
        "depth": [_encoded(depth, format="PNG", compress_level=0) for depth in depth_units],
        "metres_per_depth_unit": METRES_PER_DEPTH_UNIT,
        "depth_kind": "z",
        "intrinsics": [layout.intrinsics[index].tolist()] * len(frames),
        "depth_intrinsics": [],
        "colour_from_depth": [],
        "world_from_camera": layout.world_from_camera[index].tolist(),
        "boxes": [
            {
                "label": view.names[slot],
                "centre_metres": layout.centre[index, slot].tolist(),
                "size_metres": layout.size[index, slot].tolist(),
                "yaw_radians": layout.yaw[index, slot].item(),
            }
            for slot in slots
        ],
    }
