"""The Space's endpoints for scripts (`gradio_client`): each takes a video and answers once, with no session.

They are generators: whoever leaves is noticed at the next beat, whether the request waits, reads or answers.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import gradio as gr
import numpy as np
from scene_layout import SceneLayout
from scene_model import Scene, SceneModel
from scene_questions import USUAL_ANSWER_TOKENS, Outcome, RequestError, ask, ask_distance, ask_place, open_scene
from scene_turns import Turns, client_of, in_turn
from work_in_beats import in_beats


class SceneApi:
    """Answers for scripts.

    Args:
        model (`SceneModel`): The model.
        uploads (`str`): The folder that uploads lie in.
        answering (`Turns`): Whose turn it is to be answered.
        reading (`Turns`): Whose turn it is to have a video read.
    """

    def __init__(self, model: SceneModel, uploads: str, answering: Turns, reading: Turns):
        self.model = model
        self.uploads = uploads
        self.answering = answering
        self.reading = reading

    def build(self, view: SceneLayout) -> None:
        """Adds the endpoints to the page, inside `gr.Blocks`.

        Args:
            view (`SceneLayout`): The page: it has the video and the question already.
        """
        with gr.Row(visible=False):
            thing = gr.Textbox(label="thing")
            # Plain numbers, not the page's sliders: what is wrong with a value is said by our own checks.
            x, y, number = gr.Number(0.5, label="x"), gr.Number(0.5, label="y"), gr.Number(0, label="frame")
            num_frames = gr.Number(view.num_frames.value, label="num_frames")
            max_new_tokens = gr.Number(USUAL_ANSWER_TOKENS, label="max_new_tokens")
            field_of_view = gr.Number(None, label="field_of_view")
            focal_pixels = gr.Number(0, label="focal_pixels")
            camera = [field_of_view, focal_pixels, max_new_tokens]
            for name, work, inputs in (
                ("ask", self.ask, [view.video, view.question, num_frames, max_new_tokens]),
                ("distance", self.distance, [view.video, x, y, number, num_frames, *camera]),
                ("locate", self.locate, [view.video, thing, num_frames, *camera]),
            ):
                gr.Button(name).click(
                    work,
                    inputs,
                    gr.JSON(label=name),
                    api_name=name,
                    api_description=" ".join(work.__doc__.split()),
                    concurrency_limit=None,  # `Turns` limits them
                )

    def ask(self, video, question, num_frames, max_new_tokens, request: gr.Request | None = None) -> Iterator[dict]:
        """Answers one question about a video.

        Returns `answer` (text) and `model_calls`: of each call of the model `prompt`, `text` (as it was written),
        `prompt_tokens`, `vision_tokens`, `answer_tokens`, `seconds`, `encoded_now`, `stopped`.
        """
        client = client_of(request)
        scene = yield from self._opened(video, num_frames, client, _asked)
        answers = ask(self.model, scene, question, remember=False, max_new_tokens=max_new_tokens)
        yield from self._answered(answers, client, _asked)

    def distance(
        self,
        video,
        x,
        y,
        frame,
        num_frames,
        field_of_view=None,
        focal_pixels=0,
        max_new_tokens=USUAL_ANSWER_TOKENS,
        request: gr.Request | None = None,
    ) -> Iterator[dict]:
        """How far a point of a frame is: `x` and `y` as shares of its width and height, frames counted from 0.

        `field_of_view` is horizontal, in degrees; null where it is not known: it is estimated where this Space has a
        calibrator, else 60. `focal_pixels` takes its place and is in pixels of the video, upright and in its own size.
        Returns `answer` (text), `metres` (a number, or null where the model names no distance) and `model_calls`, as
        `ask` does.
        """
        client = client_of(request)
        scene = yield from self._opened(video, num_frames, client, _measured)
        if frame not in range(len(scene.frames)):
            raise gr.Error(f"frame {frame} is not one of the {len(scene.frames)} frames.", print_exception=False)
        if not all(type(share) in (int, float) and 0 <= share <= 1 for share in (x, y)):
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
        yield from self._answered(answers, client, _measured)

    def locate(
        self,
        video,
        thing,
        num_frames,
        field_of_view=None,
        focal_pixels=0,
        max_new_tokens=USUAL_ANSWER_TOKENS,
        request: gr.Request | None = None,
    ) -> Iterator[dict]:
        """Where a thing is.

        Returns `answer` (text); `box`: left, top, right and bottom edge in pixels of the video, upright and in its own
        size; `centre_metres`: right, down and forward in the camera of the first frame, and `size_metres` along the
        same axes; each null where it is not known; and `model_calls`, as `ask` does. `field_of_view` and
        `focal_pixels` are those of `distance`.
        """
        client = client_of(request)
        scene = yield from self._opened(video, num_frames, client, _located)
        answers = ask_place(
            self.model,
            scene,
            thing,
            field_of_view_degrees=field_of_view,
            focal_pixels=focal_pixels,
            max_new_tokens=max_new_tokens,
        )
        yield from self._answered(answers, client, lambda outcome: _located(outcome, scene.scale))

    def _opened(
        self, video: str | None, num_frames: int, client: str, as_json: Callable[[Outcome], dict]
    ) -> Generator[dict, None, Scene]:
        """Reads a video when it is its turn, which is not that of answers; returns the scene."""
        try:
            with self.reading.ticket(client) as ticket:
                while not self.reading.wait(ticket):
                    yield as_json(Outcome("", []))
                reading = in_beats(
                    lambda left: open_scene(video, num_frames, self.uploads, left), as_json(Outcome("", []))
                )
                return (yield from reading)[0]
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def _answered(self, answers: Iterator[Outcome], client: str, as_json: Callable[[Outcome], dict]) -> Iterator[dict]:
        """An answer as it grows."""
        try:
            with closing(in_turn(self.answering, client, answers)) as outcomes:
                for outcome in outcomes:
                    yield as_json(outcome)
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error


def _asked(outcome: Outcome, **fields) -> dict:
    return {"answer": outcome.text, **fields, "model_calls": [vars(report) for report in outcome.reports]}


def _measured(outcome: Outcome) -> dict:
    return _asked(outcome, metres=outcome.metres)


def _located(outcome: Outcome, scale: np.ndarray | None = None) -> dict:
    """A place, its box in pixels of the video: `scale` of them, along x and y, for a pixel of the frame."""
    place = {"box": None, "centre_metres": None, "size_metres": None}
    if outcome.place is not None:
        place = dict(vars(outcome.place))
        if outcome.place.box is not None:
            place["box"] = [float(edge) for edge in outcome.place.box * np.tile(scale, 2)]
    return _asked(outcome, **place)
