"""What a visitor can do with a scene, without the page: read a video, ask, ask how far, ask where. Used by page and API."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from answer_pictures import draw_in_space, draw_place, draw_point
from answer_places import Place, intrinsics_of, lifted, place_of
from PIL import Image
from scene_model import ModelError, Report, Scene, SceneModel
from video_reader import VideoError, read_video


MAX_FRAMES = 32
MAX_QUESTION_CHARACTERS = 1000
MAX_ANSWER_TOKENS = 512
REMEMBERED_TURNS = 16  # questions and answers of a conversation that the model is shown


class RequestError(ValueError):
    """A request that cannot be answered; the message is for the visitor."""


@dataclass
class Outcome:
    """An answer on its way, and whole at the end.

    Args:
        text (`str`): What to show in the chat.
        reports (`list[Report]`): What the model did.
        picture (`PIL.Image.Image`, *optional*): The frame with the answer drawn on it.
        figure (`plotly.graph_objects.Figure`, *optional*): The answer in space.
        metres (`float`, *optional*): A distance.
        place (`Place`, *optional*): A place.
        frame_number (`int`): The frame of the picture.
    """

    text: str
    reports: list[Report]
    picture: Image.Image | None = None
    figure: go.Figure | None = None
    metres: float | None = None
    place: Place | None = None
    frame_number: int = 0


def open_scene(path: str | None, num_frames: int, upload_folder: str | Path) -> tuple[Scene, str]:
    """Reads an uploaded video.

    Args:
        path (`str`): Where Gradio put it.
        num_frames (`int`): Frames to look at.
        upload_folder (`str` or `Path`): The only folder that is read from.

    Returns:
        `tuple[Scene, str]`: The frames, and a sentence about them.

    Raises:
        RequestError: No video, one that cannot be used, or a path elsewhere.
    """
    if not path:
        raise RequestError("There is no video yet: upload or record one, or pick an example.")
    num_frames = _whole("frames", num_frames, 1, MAX_FRAMES)
    if not Path(path).resolve().is_relative_to(Path(upload_folder).resolve()):
        raise RequestError("Only uploaded videos are read.")
    try:
        video = read_video(path, num_frames)
    except (VideoError, OSError) as error:
        raise RequestError(
            str(error) if isinstance(error, VideoError) else "This upload is gone. Upload it again."
        ) from error
    width, height = video.size
    about = (
        f"{len(video.frames)} of {video.num_video_frames} frames, {width} x {height}, {video.seconds:.1f} s. "
        "The model sees these frames and your question, nothing else."
    )
    return Scene(video.frames), about


def ask(model: SceneModel, scene: Scene, question: str, *, remember: bool, max_new_tokens: int) -> Iterator[Outcome]:
    """Answers a question about the video; the conversation goes on where `remember` is set.

    Raises:
        RequestError: An empty or endless question.
    """
    question = _checked_question(question)
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    report = Report()
    for report in model.answer(scene, question, history=remember, max_new_tokens=max_new_tokens):
        yield Outcome(report.text, [report])
    scene.turns = [*scene.turns, question, report.text][-REMEMBERED_TURNS:]
    yield Outcome(report.text or "(The model gave an empty answer.)", [report])


def ask_distance(
    model: SceneModel,
    scene: Scene,
    frame_number: int,
    pixel: tuple[float, float],
    *,
    field_of_view_degrees: float,
    focal_pixels: float | None,
    max_new_tokens: int,
) -> Iterator[Outcome]:
    """Asks how far a point of a frame is and draws the answer.

    Raises:
        RequestError: A point outside the frame, a bad camera, or a model that cannot answer this.
    """
    frame = scene.frames[_whole("frame", frame_number, 0, len(scene.frames) - 1)]
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    if not (0 <= pixel[0] <= frame.width and 0 <= pixel[1] <= frame.height):
        raise RequestError("This point is outside the frame.")
    intrinsics = checked_intrinsics(frame, field_of_view_degrees, focal_pixels)
    report = Report()
    try:
        for report in model.distance(frame, pixel, intrinsics, max_new_tokens=max_new_tokens):
            yield Outcome(report.text, [report])
    except ModelError as error:
        raise RequestError(str(error)) from error
    metres = model.processor.parse_depth_answer(report.text)
    if metres is None:
        text = f"The model's answer holds no distance: {report.text}"
        yield Outcome(text, [report], draw_point(frame, pixel, "?"), frame_number=frame_number)
        return
    picture = draw_point(frame, pixel, f"{metres:.2f} m")
    yield Outcome(f"{metres:.2f} m from the camera.", [report], picture, metres=metres, frame_number=frame_number)


def ask_place(
    model: SceneModel,
    scene: Scene,
    thing: str,
    *,
    field_of_view_degrees: float,
    focal_pixels: float | None,
    max_new_tokens: int,
) -> Iterator[Outcome]:
    """Asks where a thing is, and draws the box on the first frame and in space.

    Raises:
        RequestError: Nothing to look for, or a bad camera.
    """
    thing = _checked_question(thing)
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    frame = scene.frames[0]
    intrinsics = checked_intrinsics(frame, field_of_view_degrees, focal_pixels)
    reports: list[Report] = []
    for template in model.usage.where_questions:
        report = Report()
        question = template.replace("{{", "{").replace("}}", "}").replace("{object}", thing)
        for report in model.answer(scene, question, history=False, max_new_tokens=max_new_tokens):
            yield Outcome("; ".join([*(done.text for done in reports), report.text]), [*reports, report])
        reports.append(report)
    text = "; ".join(report.text for report in reports)
    place = place_of([report.text for report in reports], frame.size)
    if place is None:
        yield Outcome(f"The model's answer holds no place that can be drawn: {text}", reports)
        return
    metres = None
    if place.centre_metres is None and "depth" in model.usage.tasks:
        left, top, right, bottom = place.box
        middle = ((left + right) / 2, (top + bottom) / 2)
        *_, last = model.distance(frame, middle, intrinsics, max_new_tokens=max_new_tokens)
        reports.append(last)
        if (metres := model.processor.parse_depth_answer(last.text)) is not None:
            place = lifted(place, metres, intrinsics)
    picture = draw_place(frame, place, intrinsics, thing)
    if place.centre_metres is None:
        yield Outcome(f"Marked on the first frame: {text}", reports, picture, place=place)
        return
    x, y, z = place.centre_metres
    words = f"{abs(x):.1f} m to the {'right' if x >= 0 else 'left'}, {abs(y):.1f} m {'down' if y >= 0 else 'up'}, {z:.1f} m ahead"
    tangents = (frame.width / 2 / intrinsics[0, 0], frame.height / 2 / intrinsics[1, 1])
    figure = draw_in_space(place, thing, tangents)
    yield Outcome(f"{words} of the first camera.", reports, picture, figure, metres, place)


def checked_intrinsics(frame: Image.Image, field_of_view_degrees: float, focal_pixels: float | None) -> np.ndarray:
    """The camera that the settings describe; raises `RequestError` where they describe none."""
    if focal_pixels and not _within(focal_pixels, 10, 1e5):
        raise RequestError(f"A focal length of {focal_pixels} pixels is not that of a camera: give 10 to 100000.")
    if not _within(field_of_view_degrees, 5, 170):
        raise RequestError(
            f"A field of view of {field_of_view_degrees} degrees is not that of a camera: give 5 to 170."
        )
    return intrinsics_of(frame.size, field_of_view_degrees, focal_pixels)


def _checked_question(text: str | None) -> str:
    text = " ".join((text or "").split())
    if not text:
        raise RequestError("There is no question: write one.")
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise RequestError(f"This question has {len(text)} characters; the limit is {MAX_QUESTION_CHARACTERS}.")
    return text


def _whole(name: str, value: float, low: int, high: int) -> int:
    if not _within(value, low, high) or value != int(value):
        raise RequestError(f"{name}: {value!r} is not a whole number from {low} to {high}.")
    return int(value)


def _within(value: float, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
