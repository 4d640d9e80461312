"""The Space's endpoints for scripts (`gradio_client`): each takes a video and answers once, with no session."""

from collections.abc import Iterator

import gradio as gr
from scene_model import Scene, SceneModel
from scene_questions import Outcome, RequestError, ask, ask_distance, ask_place, open_scene


class SceneApi:
    """Answers for scripts.

    Args:
        model (`SceneModel`): The model.
        uploads (`str`): The folder that uploads lie in.
    """

    def __init__(self, model: SceneModel, uploads: str):
        self.model = model
        self.uploads = uploads

    def ask(self, video, question, num_frames, max_new_tokens) -> dict:
        """Answers one question about a video."""
        scene = self._opened(video, num_frames)
        return _as_json(_finished(ask(self.model, scene, question, remember=False, max_new_tokens=max_new_tokens)))

    def distance(self, video, x, y, frame, num_frames, field_of_view, focal_pixels, max_new_tokens) -> dict:
        """How far a point of a frame is: x and y as shares of its width and height, frames counted from 0."""
        scene = self._opened(video, num_frames)
        if frame not in range(len(scene.frames)):
            raise gr.Error(f"frame {frame} is not one of the {len(scene.frames)} frames.", print_exception=False)
        if not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in (x, y)):
            raise gr.Error("x and y are shares of width and height, from 0 to 1.", print_exception=False)
        width, height = scene.frames[int(frame)].size
        answers = ask_distance(
            self.model,
            scene,
            frame,
            (x * width, y * height),
            field_of_view_degrees=field_of_view,
            focal_pixels=focal_pixels,
            max_new_tokens=max_new_tokens,
        )
        outcome = _finished(answers)
        return _as_json(outcome, metres=outcome.metres)

    def locate(self, video, thing, num_frames, field_of_view, focal_pixels, max_new_tokens) -> dict:
        """Where a thing is: a box in pixels of the first frame, or centre and size in metres in its camera."""
        scene = self._opened(video, num_frames)
        answers = ask_place(
            self.model,
            scene,
            thing,
            field_of_view_degrees=field_of_view,
            focal_pixels=focal_pixels,
            max_new_tokens=max_new_tokens,
        )
        outcome = _finished(answers)
        place = {"box": None, "centre_metres": None, "size_metres": None}
        return _as_json(outcome, **(place if outcome.place is None else vars(outcome.place)))

    def _opened(self, video: str | None, num_frames: int) -> Scene:
        try:
            return open_scene(video, num_frames, self.uploads)[0]
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error


def _finished(answers: Iterator[Outcome]) -> Outcome:
    try:
        *_, outcome = answers
    except RequestError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return outcome


def _as_json(outcome: Outcome, **fields) -> dict:
    return {"answer": outcome.text, **fields, "model_calls": [vars(report) for report in outcome.reports]}
