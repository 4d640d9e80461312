"""Renders the example videos of the Space: synthetic rooms, larger and longer than those that models train on.

    python spaces/render_examples.py
    python spaces/render_examples.py --truths    # what is true of them alone, of videos that are there

Writes `scene_qa/examples/room_*.mp4`; `examples.json` with the field of view of each, its objects, questions to
suggest and the true answers to all that can be asked of it; and `rooms.json` with its geometry. The rooms are of a
seed that nothing trains or tests on.
"""

import argparse
import json
import math
import random
from pathlib import Path

import av
import torch

from igep.trainers.data.rooms.room_questions import (
    PLANAR_QUESTIONS,
    SPATIAL_QUESTIONS,
    RoomView,
    ask_about,
    room_views,
)
from igep.trainers.data.rooms.room_renderer import RoomLayout, RoomSpec, render_rooms, sample_layout
from igep.trainers.data.scenes.video_decoding import evenly_in_time


FOLDER = Path(__file__).resolve().parent / "scene_qa" / "examples"
SEED = 20_261_121
CANDIDATES = 24
NUM_EXAMPLES = 3
NUM_QUESTIONS = 6
MOST_QUESTIONS = 200  # more than can be asked of a room
FRAMES_PER_SECOND = 24
SPEC = RoomSpec(num_frames=72, image_size=384, pixel_noise=0.0, fixed_gaze=True)


def write_video(frames: torch.Tensor, file: Path) -> None:
    """Encodes (F, H, W, 3) uint8 frames as H.264."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "22", "preset": "slow"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--truths", action="store_true", help="write no videos: what is true of them alone")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    layout = sample_layout(CANDIDATES, SPEC, generator)
    chosen = []
    for room in range(CANDIDATES):
        one = type(layout)(**{name: _rows(value, room) for name, value in vars(layout).items()})
        view = view_from(one, 0, generator)
        # What a visitor can ask about: several things in sight, all of them.
        if len(view.visible) >= 3 and len(view.visible) == int(one.exists.sum()):
            chosen.append((one, view))
        if len(chosen) == NUM_EXAMPLES:
            break
    examples, rooms = [], {}
    for number, (one, view) in enumerate(chosen, 1):
        file = FOLDER / f"room_{number}.mp4"
        if not options.truths:
            write_video(render_rooms(one, SPEC, generator).frames[0], file)
        # The first frame that a model sees is that of the video, or the middle one where it sees no other.
        views = {0: view}
        middle = evenly_in_time(range(SPEC.num_frames), 1)[0]
        views[middle] = view_from(one, middle, generator)
        degrees = 2 * math.degrees(math.atan(0.5 / view.focal_over_width))
        examples.append(
            {
                "video": file.name,
                "field_of_view_degrees": round(degrees, 1),
                "objects": [view.names[slot] for slot in view.visible],
                "questions": [
                    asked.question
                    for asked in ask_about(view, NUM_QUESTIONS, SPATIAL_QUESTIONS, random.Random(number))
                ],
                "truths": {frame: truths_of(seen) for frame, seen in views.items()},
            }
        )
        rooms[file.name] = geometry_of(one, view)
    (FOLDER / "examples.json").write_text(json.dumps(examples, indent=2) + "\n", encoding="utf-8")
    lines = [f"{json.dumps(name)}: {json.dumps(room)}" for name, room in rooms.items()]
    (FOLDER / "rooms.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def view_from(one: RoomLayout, frame: int, generator: torch.Generator) -> RoomView:
    """What a frame of a room shows, as if it were the first."""
    seen = type(one)(**(vars(one) | {"world_from_camera": one.world_from_camera[:, frame : frame + 1]}))
    return room_views(render_rooms(seen, SPEC, generator))[0]


def truths_of(view: RoomView) -> dict[str, str]:
    """All that can be asked of a view, with the answers."""
    asked = ask_about(view, MOST_QUESTIONS, tuple({*SPATIAL_QUESTIONS, *PLANAR_QUESTIONS}), random.Random(0))
    return {question.question: question.answer for question in sorted(asked, key=lambda one: one.question)}


def geometry_of(one: RoomLayout, view: RoomView) -> dict:
    """A room as `scene_qa/example_rooms.py` reads it."""
    return {
        "extent": _rounded(one.extent[0]),
        "rotation": _rounded(one.world_from_camera[0, 0, :3, :3]),
        "positions": _rounded(one.world_from_camera[0, :, :3, 3]),
        "objects": [
            {
                "name": name,
                "centre": _rounded(one.centre[0, slot]),
                "size": _rounded(one.size[0, slot]),
                "yaw": _rounded(one.yaw[0, slot]),
            }
            for slot, name in enumerate(view.names)
            if one.exists[0, slot]
        ],
    }


def _rounded(values: torch.Tensor) -> list | float:
    """To a hundredth of a millimetre."""
    return torch.round(values.double(), decimals=5).tolist()


def _rows(value, room: int):
    if isinstance(value, dict):
        return {name: _rows(part, room) for name, part in value.items()}
    return value[room : room + 1]


if __name__ == "__main__":
    main()
