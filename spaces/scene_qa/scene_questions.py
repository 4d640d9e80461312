"""What a visitor can do with a scene, without the page: read a video, ask, ask how far, ask where. For page and API.

Every answer begins with an outcome without text: the request has been checked, and the model is asked now.
"""

import logging
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from answer_pictures import draw_in_space, draw_place, draw_point
from answer_places import Place, intrinsics_of, lifted, place_of
from answer_text import said
from field_of_view import DEFAULT_DEGREES, known_field_of_view
from PIL import Image
from question_text import is_empty, named_thing
from scene_model import ModelError, Report, Scene, SceneModel
from scene_words import in_words
from video_reader import VideoError, read_video
from work_in_beats import in_beats


MAX_FRAMES = 32
MAX_QUESTION_CHARACTERS = 1000
MAX_ANSWER_TOKENS = 512
USUAL_ANSWER_TOKENS = 128
REMEMBERED_TURNS = 16  # questions and answers of a conversation that the model is shown
logger = logging.getLogger(__name__)


class RequestError(ValueError):
    """A request that cannot be answered; the message is for the visitor."""


@dataclass
class Outcome:
    """An answer on its way, and whole at the end.

    Args:
        text (`str`): What to show in the chat.
        reports (`list[Report]`): What the model did, once it is done.
        picture (`PIL.Image.Image`, *optional*): The frame with what was asked about, or with the answer drawn on it.
        figure (`plotly.graph_objects.Figure`, *optional*): The answer in space.
        metres (`float`, *optional*): A distance.
        place (`Place`, *optional*): A place, its box in pixels of the frame.
        frame_number (`int`): The frame of the picture.
    """

    text: str
    reports: list[Report]
    picture: Image.Image | None = None
    figure: go.Figure | None = None
    metres: float | None = None
    place: Place | None = None
    frame_number: int = 0


def open_scene(
    path: str | None, num_frames: int, upload_folder: str | Path, unwanted: threading.Event | None = None
) -> tuple[Scene, str]:
    """Reads an uploaded video.

    Args:
        path (`str`): Where Gradio put it.
        num_frames (`int`): Frames to look at.
        upload_folder (`str` or `Path`): The only folder that is read from.
        unwanted (`threading.Event`, *optional*): Is set once nobody wants it any more.

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
        video = read_video(path, num_frames, unwanted)
    except (VideoError, OSError) as error:
        raise RequestError(
            str(error) if isinstance(error, VideoError) else "This upload is gone. Upload it again."
        ) from error
    width, height = video.size
    about = (
        f"{len(video.frames)} of {video.num_video_frames} frames, {width} x {height}, {video.seconds:.1f} s. "
        "The model sees these frames and your question, nothing else."
    )
    if video.seconds == 0:
        about = f"An image of {width} x {height}. The model sees it and your question, nothing else."
    if video.damage:
        about = f"⚠ This video is damaged: {video.damage}. {about}"
    scene = Scene(
        video.frames, video_size=video.size, source=(path, num_frames), frame_numbers=tuple(video.frame_numbers)
    )
    return scene, about


def ask(model: SceneModel, scene: Scene, question: str, *, remember: bool, max_new_tokens: int) -> Iterator[Outcome]:
    """Answers a question about the video; the conversation goes on where `remember` is set.

    Raises:
        RequestError: An empty or endless question, or a model that does not answer.
    """
    question = _checked_question(question)
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    yield Outcome("", [])
    for report in _reports(model.answer(scene, question, history=remember, max_new_tokens=max_new_tokens)):
        yield Outcome(said(report.text, is_whole=False).shown(), [report])
    answer = said(report.text, is_whole=True)
    scene.turns = [*scene.turns, question, answer.answer][-REMEMBERED_TURNS:]
    yield Outcome(answer.whole(), [report])


def ask_distance(
    model: SceneModel,
    scene: Scene,
    frame_number: int,
    pixel: tuple[float, float],
    *,
    field_of_view_degrees: float | None,
    focal_pixels: float | None,
    max_new_tokens: int,
) -> Iterator[Outcome]:
    """Asks how far a point of a frame is and draws the answer.

    Args:
        model (`SceneModel`): The model.
        scene (`Scene`): The frames.
        frame_number (`int`): Which of them.
        pixel (`tuple[float, float]`): x and y in pixels of the frame, pixel centres at +0.5.
        field_of_view_degrees (`float` or `None`): Horizontal; where nobody knows it, it is estimated or the default.
        focal_pixels (`float` or `None`): In pixels of the video; takes the place of the field of view.
        max_new_tokens (`int`): Longest answer.

    Yields:
        `Outcome`: The first one shows the point.

    Raises:
        RequestError: A point outside the frame, a bad camera, or a model that cannot answer this.
    """
    frame = scene.frames[_whole("frame", frame_number, 0, len(scene.frames) - 1)]
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    if not (0 <= pixel[0] <= frame.width and 0 <= pixel[1] <= frame.height):
        width, height = (round(side) for side in frame.size * scene.scale)
        raise RequestError(f"This point is outside the frame of {width} x {height} pixels.")
    checked_intrinsics(
        scene, DEFAULT_DEGREES if field_of_view_degrees is None else field_of_view_degrees, focal_pixels
    )
    yield Outcome("", [], draw_point(frame, pixel, ""), frame_number=frame_number)
    intrinsics = yield from _known_intrinsics(model, scene, field_of_view_degrees, focal_pixels)
    for report in _reports(model.distance(frame, pixel, intrinsics, max_new_tokens=max_new_tokens)):
        yield Outcome(said(report.text, is_whole=False).shown(), [report])
    metres = model.processor.parse_depth_answer(report.text)
    if metres is None:
        text = f"The model's answer holds no distance: {said(report.text, is_whole=True).whole()}"
        yield Outcome(text, [report], draw_point(frame, pixel, "?"), frame_number=frame_number)
        return
    picture = draw_point(frame, pixel, f"{metres:.2f} m")
    where = "along the camera's axis" if model.usage.distance_kind == "z" else "from the camera"
    yield Outcome(f"{metres:.2f} m {where}.", [report], picture, metres=metres, frame_number=frame_number)


def ask_place(
    model: SceneModel,
    scene: Scene,
    thing: str,
    *,
    field_of_view_degrees: float | None,
    focal_pixels: float | None,
    max_new_tokens: int,
) -> Iterator[Outcome]:
    """Asks where a thing is, and draws the box on the first frame and in space.

    Args:
        model (`SceneModel`): The model.
        scene (`Scene`): The frames.
        thing (`str`): What to look for.
        field_of_view_degrees (`float` or `None`): Horizontal; where nobody knows it, it is estimated or the default.
        focal_pixels (`float` or `None`): In pixels of the video; takes the place of the field of view.
        max_new_tokens (`int`): Longest answer.

    Yields:
        `Outcome`

    Raises:
        RequestError: Nothing to look for, a bad camera, or a model that does not answer.
    """
    thing = named_thing(_checked_question(thing))
    if is_empty(thing):
        raise RequestError("There is nothing to look for: name a thing.")
    if not model.usage.where_questions:
        raise RequestError("This model was not trained on where things are. Ask in words instead.")
    max_new_tokens = _whole("longest answer", max_new_tokens, 1, MAX_ANSWER_TOKENS)
    frame = scene.frames[0]
    checked_intrinsics(
        scene, DEFAULT_DEGREES if field_of_view_degrees is None else field_of_view_degrees, focal_pixels
    )
    yield Outcome("", [])
    intrinsics = yield from _known_intrinsics(model, scene, field_of_view_degrees, focal_pixels)
    reports: list[Report] = []
    answers: list[str] = []
    for template in model.usage.where_questions:
        question = template.replace("{{", "{").replace("}}", "}").replace("{object}", thing)
        for report in _reports(model.answer(scene, question, history=False, max_new_tokens=max_new_tokens)):
            growing = said(report.text, is_whole=False).shown()
            yield Outcome("; ".join(filter(None, [*answers, growing])), [*reports, report])
        reports.append(report)
        answers.append(said(report.text, is_whole=True).answer)
    text = "; ".join(filter(None, answers)) or said(reports[0].text, is_whole=True).whole()
    place = place_of(answers, frame.size)
    if place is None:
        yield Outcome(f"The model's answer holds no place that can be drawn: {text}", reports)
        return
    metres = None
    if place.centre_metres is None and "depth" in model.usage.tasks:
        left, top, right, bottom = place.box
        middle = ((left + right) / 2, (top + bottom) / 2)
        try:
            for report in model.distance(frame, middle, intrinsics, max_new_tokens=max_new_tokens):
                yield Outcome(text, [*reports, report])  # whoever leaves is noticed here too
        except ModelError:
            pass  # the image that depth is asked of may be cut: the box is known all the same
        else:
            reports.append(report)
            metres = model.processor.parse_depth_answer(report.text)
        if metres is not None:
            ray = np.linalg.solve(intrinsics, [*middle, 1])
            along_axis = metres if model.usage.distance_kind == "z" else metres / np.linalg.norm(ray)
            place = lifted(place, along_axis, intrinsics)
    picture = draw_place(frame, place, intrinsics, thing)
    if place.centre_metres is None:
        yield Outcome(f"Marked on the first frame: {text}", reports, picture, place=place)
        return
    tangents = (frame.width / 2 / intrinsics[0, 0], frame.height / 2 / intrinsics[1, 1])
    figure = draw_in_space(place, thing, tangents)
    yield Outcome(f"{in_words(place.centre_metres)} of the first camera.", reports, picture, figure, metres, place)


def checked_intrinsics(scene: Scene, field_of_view_degrees: float, focal_pixels: float | None) -> np.ndarray:
    """The camera that the settings describe.

    Args:
        scene (`Scene`): The frames.
        field_of_view_degrees (`float`): Horizontal.
        focal_pixels (`float` or `None`): In pixels of the video; takes the place of the field of view.

    Returns:
        `np.ndarray`: (3, 3), in pixels of the frames.

    Raises:
        RequestError: The settings describe no camera.
    """
    if focal_pixels not in (None, 0) and not _within(focal_pixels, 10, 1e5):
        raise RequestError(f"A focal length of {focal_pixels} pixels is not that of a camera: give 10 to 100000.")
    if not _within(field_of_view_degrees, 5, 170):
        raise RequestError(
            f"A field of view of {field_of_view_degrees} degrees is not that of a camera: give 5 to 170."
        )
    focal_pixels = focal_pixels / scene.scale[0] if focal_pixels else None
    return intrinsics_of(scene.frames[0].size, field_of_view_degrees, focal_pixels)


def _known_intrinsics(
    model: SceneModel, scene: Scene, field_of_view_degrees: float | None, focal_pixels: float | None
) -> Generator[Outcome, None, np.ndarray]:
    """(3, 3): the camera that the settings describe or, where nobody set them, a calibrator: work for its own turn."""

    def known(unwanted: threading.Event) -> float:
        return known_field_of_view(model.calibrator, scene, field_of_view_degrees, focal_pixels, unwanted)

    try:
        degrees = yield from in_beats(known, Outcome("", []))
    except ValueError as error:
        logger.warning("the calibrator tells no field of view: %s", error)
        raise RequestError(
            "The camera of this video cannot be estimated: set the field of view or the focal length (Settings)."
        ) from error
    return checked_intrinsics(scene, degrees, focal_pixels)


def _reports(reports: Iterator[Report]) -> Iterator[Report]:
    """What the model does; what it cannot do becomes a message for the visitor."""
    try:
        yield from reports
    except ModelError as error:
        raise RequestError(str(error)) from error


def _checked_question(text: str | None) -> str:
    text = " ".join((text or "").split())
    if is_empty(text):
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
