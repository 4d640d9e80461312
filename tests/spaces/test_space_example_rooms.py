"""What the Space says is true of its examples: computed from their geometry, held against the renderer's own."""

import json
import random
import runpy
import shutil

import numpy as np
import pytest
import torch
from example_rooms import EXAMPLES, ExampleRoom, example_rooms
from model_run import Usage
from scene_words import PLACE, QUESTION, hint_of, ideas_of, truth_of
from space_server import SPACE
from video_reader import read_video

from igep.trainers.data.rooms.room_questions import room_views
from igep.trainers.data.rooms.room_renderer import RoomSpec, render_rooms, sample_layout


SIZE = 64


@pytest.fixture(scope="module")
def writer() -> dict:
    return runpy.run_path(str(SPACE.parent / "render_examples.py"))


@pytest.fixture(scope="module")
def rendered():
    """Rooms of all shapes, from nine places each."""
    generator = torch.Generator().manual_seed(3)
    spec = RoomSpec(num_frames=9, image_size=SIZE, pixel_noise=0.0, fixed_gaze=True)
    layout = sample_layout(8, spec, generator)
    return render_rooms(layout, spec, generator)


def room_of(writer: dict, rendered, number: int) -> ExampleRoom:
    one = type(rendered.layout)(
        **{name: writer["_rows"](value, number) for name, value in vars(rendered.layout).items()}
    )
    geometry = writer["geometry_of"](one, room_views(rendered)[number])
    degrees = 2 * np.degrees(np.arctan(0.5 / 0.8))
    example = {"video": "room.mp4", "field_of_view_degrees": degrees, "objects": [], "questions": [], "truths": {}}
    return ExampleRoom(example, geometry)


def test_the_distance_of_a_point_is_that_of_the_surface_that_was_rendered(writer, rendered):
    rng, errors = random.Random(0), []
    for number in range(8):
        room = room_of(writer, rendered, number)
        for _ in range(60):
            frame, x, y = rng.randrange(9), rng.randrange(SIZE), rng.randrange(SIZE)
            found = room.distance_metres(((x + 0.5) / SIZE, (y + 0.5) / SIZE), frame, "z")
            errors.append(abs(found - float(rendered.depth_metres[number, frame, y, x])))
            ray = np.array([(x + 0.5) / SIZE - 0.5, (y + 0.5) / SIZE - 0.5, 0.8]) / 0.8
            away = room.distance_metres(((x + 0.5) / SIZE, (y + 0.5) / SIZE), frame, "euclidean")
            assert away == pytest.approx(found * np.linalg.norm(ray))
    # A ray along an edge may meet either side of it.
    assert np.quantile(errors, 0.99) < 1e-3


def test_where_a_thing_is_is_where_it_was_rendered(writer, rendered):
    for number, view in enumerate(room_views(rendered)):
        room = room_of(writer, rendered, number)
        for slot in view.visible:
            colour, shape = view.colours[slot], view.shapes[slot]
            for name in (view.names[slot], f"{colour} {shape}", f"{shape.title()}  in {colour}"):
                assert room.centre_metres(name, 0) == pytest.approx(view.camera_xyz_metres[slot], abs=1e-3)
        assert room.centre_metres("chair", 0) is None


@pytest.mark.parametrize("room", example_rooms(), ids=lambda room: room.video)
@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_all_that_is_suggested_is_about_the_example_and_has_a_truth(room, num_frames):
    first = read_video(EXAMPLES / room.video, num_frames).frame_numbers[0]
    things = ideas_of(PLACE, room, Usage())
    assert len(things) >= 3
    assert room.objects[0] in hint_of(PLACE, room)
    for thing in things:
        assert truth_of(PLACE, thing, room, first).endswith(" m ahead")
    for question in ideas_of(QUESTION, room, Usage()):
        assert truth_of(QUESTION, question, room, first) or first != 0
    for question in (f"how many metres away is the {thing}" for thing in things):
        metres = np.linalg.norm(room.centre_metres(question.split(" the ")[1], first))
        if answer := truth_of(QUESTION, question, room, first):
            assert float(answer) == pytest.approx(metres, abs=0.26)
    assert truth_of(QUESTION, "How many chairs are there?", room, first) == ""


def test_the_camera_is_that_of_the_first_frame_that_is_seen():
    room = example_rooms()[0]
    first, alone = (read_video(EXAMPLES / room.video, count).frame_numbers[0] for count in (2, 1))
    assert first == 0 < alone
    thing = room.objects[0]
    assert truth_of(PLACE, thing, room, first) != truth_of(PLACE, thing, room, alone)
    assert room.answer("How many boxes are there?", 5) == "", "no truth is known of other frames"


def test_a_file_is_an_example_by_what_it_holds(tmp_path):
    one, two, _ = example_rooms()
    copied = tmp_path / "anything.mp4"
    shutil.copy(EXAMPLES / one.video, copied)
    assert one.is_at(str(copied))
    other = tmp_path / one.video
    shutil.copy(EXAMPLES / two.video, other)
    assert not one.is_at(str(other)), "the name of an example is no example"
    assert not one.is_at(str(tmp_path / "gone.mp4"))


def test_what_is_shipped_is_what_the_renderer_writes(writer, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["render_examples.py", "--truths"])
    writer["main"].__globals__["FOLDER"] = tmp_path
    writer["main"]()
    for name in ("examples.json", "rooms.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((EXAMPLES / name).read_text())
