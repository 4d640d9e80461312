"""The Space's endpoints for scripts (`gradio_client`): each takes a video and answers once, with no session."""

from collections.abc import Iterator

import gradio as gr
import numpy as np
from scene_layout import DEFAULT_FIELD_OF_VIEW_DEGREES, SceneLayout
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

    def build(self, view: SceneLayout, concurrency: int) -> None:
        """Adds the endpoints to the page, inside `gr.Blocks`.

        Args:
            view (`SceneLayout`): The page: it has the video and the question already.
            concurrency (`int`): Answers that the model writes at once.
        """
        with gr.Row(visible=False):
            result = gr.JSON()
            thing = gr.Textbox(label="thing")
            # Plain numbers, not the page's sliders: what is wrong with a value is said by our own checks.
            x, y, number = gr.Number(0.5, label="x"), gr.Number(0.5, label="y"), gr.Number(0, label="frame")
            num_frames = gr.Number(view.num_frames.value, label="num_frames")
            max_new_tokens = gr.Number(view.max_new_tokens.value, label="max_new_tokens")
            field_of_view = gr.Number(DEFAULT_FIELD_OF_VIEW_DEGREES, label="field_of_view")
            focal_pixels = gr.Number(0, label="focal_pixels")
            camera = [field_of_view, focal_pixels, max_new_tokens]
            queue = {"concurrency_id": "answering", "concurrency_limit": concurrency}
            for name, work, inputs in (
                ("ask", self.ask, [view.video, view.question, num_frames, max_new_tokens]),
                ("distance", self.distance, [view.video, x, y, number, num_frames, *camera]),
                ("locate", self.locate, [view.video, thing, num_frames, *camera]),
            ):
                gr.Button(name).click(work, inputs, result, api_name=name, **queue)

    def ask(self, video, question, num_frames, max_new_tokens) -> dict:
        """Answers one question about a video."""
        scene = self._opened(video, num_frames)
        return _as_json(_finished(ask(self.model, scene, question, remember=False, max_new_tokens=max_new_tokens)))

    def distance(self, video, x, y, frame, num_frames, field_of_view, focal_pixels, max_new_tokens) -> dict:
        """How far a point of a frame is: x and y as shares of its width and height, frames counted from 0.

        `focal_pixels` is in pixels of the video, upright and in its own size.
        """
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
        """Where a thing is: a box in pixels of the video, or centre and size in metres in the camera of the first frame.

        Pixels, those of `focal_pixels` too, are those of the video upright and in its own size. Only the model's frames
        are made smaller where it is larger than 1280 pixels.
        """
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
        if outcome.place is not None:
            place = dict(vars(outcome.place))
            if outcome.place.box is not None:
                place["box"] = [float(edge) for edge in outcome.place.box * np.tile(scene.scale, 2)]
        return _as_json(outcome, **place)

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
