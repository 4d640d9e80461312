"""Renders the example videos of the Space: synthetic rooms, larger and longer than those that models train on.

    python spaces/render_examples.py

Writes `scene_qa/examples/room_*.mp4` and `examples.json` with the field of view of each and
questions with their true answers. The rooms are of a seed that nothing trains or tests on.
"""

import json
import math
import random
from pathlib import Path

import av
import torch

from igep.trainers.data.rooms.room_questions import SPATIAL_QUESTIONS, ask_about, room_views
from igep.trainers.data.rooms.room_renderer import RenderedRooms, RoomSpec, render_rooms, sample_layout


FOLDER = Path(__file__).resolve().parent / "scene_qa" / "examples"
SEED = 20_261_121
CANDIDATES = 24
NUM_EXAMPLES = 3
NUM_QUESTIONS = 6
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
    FOLDER.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    layout = sample_layout(CANDIDATES, SPEC, generator)
    chosen = []
    for room in range(CANDIDATES):
        one = type(layout)(**{name: _rows(value, room) for name, value in vars(layout).items()})
        first = type(one)(**(vars(one) | {"world_from_camera": one.world_from_camera[:, :1]}))
        rendered: RenderedRooms = render_rooms(first, SPEC, generator)
        view = room_views(rendered)[0]
        # What a visitor can ask about: several things in sight, all of them.
        if len(view.visible) >= 3 and len(view.visible) == int(one.exists.sum()):
            chosen.append((one, view))
        if len(chosen) == NUM_EXAMPLES:
            break
    examples = []
    for number, (one, view) in enumerate(chosen, 1):
        file = FOLDER / f"room_{number}.mp4"
        write_video(render_rooms(one, SPEC, generator).frames[0], file)
        degrees = 2 * math.degrees(math.atan(0.5 / view.focal_over_width))
        examples.append(
            {
                "video": file.name,
                "field_of_view_degrees": round(degrees, 1),
                "questions": [
                    {"question": asked.question, "answer": asked.answer}
                    for asked in ask_about(view, NUM_QUESTIONS, SPATIAL_QUESTIONS, random.Random(number))
                ],
            }
        )
    (FOLDER / "examples.json").write_text(json.dumps(examples, indent=2) + "\n", encoding="utf-8")


def _rows(value, room: int):
    if isinstance(value, dict):
        return {name: _rows(part, room) for name, part in value.items()}
    return value[room : room + 1]


if __name__ == "__main__":
    main()
