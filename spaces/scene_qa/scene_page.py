"""The page of the Space: a video and its frames on the left, the conversation on the right."""

import html
import json
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from answer_pictures import enlarged
from scene_api import SceneApi
from scene_model import Scene, SceneModel
from scene_questions import (
    MAX_ANSWER_TOKENS,
    MAX_FRAMES,
    MAX_QUESTION_CHARACTERS,
    Outcome,
    RequestError,
    ask,
    ask_distance,
    ask_place,
    open_scene,
)
from scene_sessions import SceneSessions
from video_reader import MAX_BYTES, MAX_SECONDS


EXAMPLES = Path(__file__).resolve().parent / "examples"
DEFAULT_FIELD_OF_VIEW_DEGREES = 60.0
QUESTION, DISTANCE, PLACE, DESCRIBE = "Ask anything", "How far is this point?", "Where is …?", "Describe"
HINTS = {
    QUESTION: "Ask about the video …",
    DISTANCE: "Click a point in the frame.",
    PLACE: "Name a thing: box in blue",
    DESCRIBE: "Press Send to have the scene described.",
}
DESCRIBE_QUESTION = "Describe the scene."
EMPTY = f"Upload or record a video (up to {MAX_SECONDS} s and {MAX_BYTES // 2**20} MB), or pick an example."
NOTHING_TO_ASK = "Upload a video or pick an example, then ask."
NO_SCENE = "There is no video, or it was put away after an hour: upload one or pick an example."
RGB_ONLY = (
    "The model sees nothing but the RGB frames and your question: 3D geometry supervised its training only, and no depth, "
    "pose or point cloud is used here."
)


class ScenePage:
    """What happens on the page. Components are attributes, made by `build`.

    Args:
        model (`SceneModel`): The model.
        sessions (`SceneSessions`): Where the visitors' scenes are kept.
        uploads (`str`): The folder that uploads lie in.
    """

    def __init__(self, model: SceneModel, sessions: SceneSessions, uploads: str):
        self.model = model
        self.sessions = sessions
        self.uploads = uploads
        self.examples = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))

    # ---- What the visitor does

    def load(self, path: str | None, num_frames: int, key: str | None) -> dict:
        """A new video, or another number of frames: the conversation begins anew."""
        self.sessions.remove(key)
        changes = {
            self.session: None,
            self.chat: gr.Chatbot(value=[], placeholder=NOTHING_TO_ASK),
            self.gallery: gr.Gallery(value=None, visible=False),
            self.frame: gr.Image(value=None, visible=False),
            self.space_view: gr.Plot(visible=False),
            self.frame_number: 0,
            self.prompt_sent: "",
            self.figures: "",
            self.ideas: gr.Dataset(samples=self._ideas(path)),
        }
        if path is None:
            return changes | {self.status: EMPTY}
        try:
            scene, about = open_scene(path, num_frames, self.uploads)
        except RequestError as error:
            return changes | {self.status: f"⚠ {error}"}
        if (example := self._example(path)) is not None:
            changes[self.field_of_view] = example["field_of_view_degrees"]
        return changes | {
            self.session: self.sessions.add(scene),
            self.status: about,
            self.chat: gr.Chatbot(value=[], placeholder="Ask about this video, or click a point of the frame."),
            self.gallery: gr.Gallery(value=scene.frames, visible=len(scene.frames) > 1, selected_index=0),
            self.frame: gr.Image(value=enlarged(scene.frames[0])[0], visible=True, label=_frame_label(0)),
        }

    def show_frame(self, key: str | None, chosen: gr.SelectData) -> dict:
        """Another frame of the gallery."""
        scene = self.sessions.get(key)
        if scene is None or not 0 <= chosen.index < len(scene.frames):
            return {self.frame_number: 0}
        picture, _ = enlarged(scene.frames[chosen.index])
        return {self.frame_number: chosen.index, self.frame: gr.Image(value=picture, label=_frame_label(chosen.index))}

    def send(
        self,
        key: str | None,
        messages: list[dict],
        text: str,
        task: str,
        remember: bool,
        max_new_tokens: int,
        field_of_view: float,
        focal_pixels: float | None,
    ) -> Iterator[dict]:
        """A question was sent."""
        scene = self.sessions.get(key)
        if task == DISTANCE:
            yield from self._converse(messages, DISTANCE, scene, _refused(f"{HINTS[DISTANCE]} Each click asks."))
            return
        if task == PLACE:
            asked = f"Where is the {text}?" if text.strip() else PLACE
            answers = scene and ask_place(
                self.model,
                scene,
                text,
                field_of_view_degrees=field_of_view,
                focal_pixels=focal_pixels,
                max_new_tokens=max_new_tokens,
            )
        else:
            asked = DESCRIBE_QUESTION if task == DESCRIBE else text
            answers = scene and ask(self.model, scene, asked, remember=remember, max_new_tokens=max_new_tokens)
        yield from self._converse(messages, asked, scene, answers)

    def click(
        self,
        key: str | None,
        messages: list[dict],
        number: int,
        max_new_tokens: int,
        field_of_view: float,
        focal_pixels: float | None,
        point: gr.SelectData,
    ) -> Iterator[dict]:
        """A point of the frame was clicked, which asks how far it is whatever the task was."""
        scene = self.sessions.get(key)
        asked, answers = DISTANCE, None
        if scene is not None:
            shown, factor = enlarged(scene.frames[number])
            x, y = (min(max(at + 0.5, 0), side) / factor for at, side in zip(point.index, shown.size, strict=True))
            asked = f"How far is pixel ({int(x)}, {int(y)}) of frame {number + 1}?"
            answers = ask_distance(
                self.model,
                scene,
                number,
                (x, y),
                field_of_view_degrees=field_of_view,
                focal_pixels=focal_pixels,
                max_new_tokens=max_new_tokens,
            )
        for changes in self._converse(messages, asked, scene, answers):
            yield {self.tasks: DISTANCE} | changes

    def forget(self, key: str | None) -> None:
        """The chat was cleared: the model is not shown those turns any more."""
        if (scene := self.sessions.get(key)) is not None:
            scene.turns = []

    # ---- What the page shows

    def _converse(
        self, messages: list[dict], asked: str, scene: Scene | None, answers: Iterator[Outcome] | None
    ) -> Iterator[dict]:
        """The chat while an answer arrives, and everything beside it once it is there."""
        messages = [*messages, _message("user", asked), _message("assistant", "…")]
        yield {self.chat: messages, self.question: ""}
        try:
            if scene is None:
                raise RequestError(NO_SCENE)
            for outcome in answers:
                messages[-1] = _message("assistant", outcome.text or "…")
                yield {self.chat: messages}
        except RequestError as error:
            messages[-1] = _message("assistant", f"⚠ {error}")
            yield {self.chat: messages}
            return
        changes = {
            self.prompt_sent: "\n\n".join(report.prompt for report in outcome.reports),
            self.figures: _figures(outcome),
            self.space_view: gr.Plot(value=outcome.figure, visible=outcome.figure is not None),
        }
        if outcome.picture is not None:
            number = outcome.frame_number
            changes[self.frame] = gr.Image(value=outcome.picture, visible=True, label=_frame_label(number))
            changes[self.frame_number] = number
        yield changes

    def _example(self, path: str | None) -> dict | None:
        names = {example["video"]: example for example in self.examples}
        return None if path is None else names.get(Path(path).name)

    def _ideas(self, path: str | None) -> list[list[str]]:
        """Questions to start with: those of a bundled example, or those that the model was trained on."""
        if (example := self._example(path)) is not None:
            return [[asked["question"]] for asked in example["questions"]]
        return [[question] for question in self.model.usage.examples] or [[DESCRIBE_QUESTION]]

    # ---- Layout

    def build(self, concurrency: int) -> gr.Blocks:
        """Lays the page out and wires it.

        Args:
            concurrency (`int`): Answers that the model writes at once.

        Returns:
            `gr.Blocks`
        """
        folder = Path(self.model.model_id)
        name = folder.resolve().name if folder.is_dir() else self.model.model_id
        with gr.Blocks(title="3D scene questions from RGB", delete_cache=(600, 3600)) as page:
            self.session, self.frame_number = gr.State(), gr.State(0)
            gr.Markdown(
                "# Ask about a 3D scene, from RGB alone\n"
                f"A video in, answers about distances, places and sizes out. Model: `{name}`",
                elem_id="title",
            )
            with gr.Row():
                with gr.Column(scale=5, min_width=300):
                    self._scene_column()
                with gr.Column(scale=6, min_width=300):
                    self._chat_column()
            self._wire(concurrency)
        return page

    def _scene_column(self) -> None:
        self.video = gr.Video(
            label="Video",
            sources=["upload", "webcam"],
            include_audio=True,  # whether there is any: without it, Gradio would convert every upload
            elem_id="video",
        )
        gr.Examples(
            [str(EXAMPLES / example["video"]) for example in self.examples],
            inputs=self.video,
            label="Example videos: synthetic rooms",
            elem_id="examples",
        )
        self.status = gr.Textbox(
            EMPTY, label="Video", show_label=False, container=False, interactive=False, lines=2, elem_id="status"
        )
        self.gallery = gr.Gallery(
            label="What the model sees",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            visible=False,
            buttons=[],
            elem_id="gallery",
        )
        self.frame = gr.Image(
            label=_frame_label(0),
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="frame",
            alt_text="The chosen frame. A click asks how far that point is.",
        )
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            usage = self.model.usage
            self.num_frames = gr.Slider(
                1, MAX_FRAMES, value=usage.num_frames, step=1, label="Frames that the model sees"
            )
            self.field_of_view = gr.Slider(
                20, 140, value=DEFAULT_FIELD_OF_VIEW_DEGREES, step=0.5, label="Horizontal field of view in degrees"
            )
            self.focal_pixels = gr.Number(
                None,
                label="Focal length in pixels of the frame",
                info="0: not known. Otherwise it takes the place of the field of view.",
            )
            self.max_new_tokens = gr.Slider(8, MAX_ANSWER_TOKENS, value=128, step=8, label="Longest answer in tokens")
            self.remember = gr.Checkbox(
                usage.multi_turn,
                label="The model reads the conversation so far",
                info="Off by default where it was trained on single questions.",
            )

    def _chat_column(self) -> None:
        self.tasks = gr.Radio(
            list(HINTS), value=QUESTION, label="Task", show_label=False, container=False, elem_id="tasks"
        )
        self.chat = gr.Chatbot(
            label="Conversation",
            show_label=False,
            height=380,
            render_markdown=False,
            sanitize_html=True,
            allow_tags=False,
            feedback_options=None,
            buttons=[],
            placeholder=NOTHING_TO_ASK,
            elem_id="chat",
        )
        with gr.Row():
            self.question = gr.Textbox(
                label="Question",
                show_label=False,
                container=False,
                placeholder=HINTS[QUESTION],
                max_length=MAX_QUESTION_CHARACTERS,
                scale=6,
                min_width=110,
                elem_id="question",
            )
            self.send_button = gr.Button("Send", variant="primary", scale=1, min_width=70, elem_id="send")
            self.stop_button = gr.Button("Stop", scale=1, min_width=70, elem_id="stop")
        gr.Markdown(RGB_ONLY, elem_id="rgb-only")
        self.ideas = gr.Dataset(components=[self.question], samples=self._ideas(None), label="Try", elem_id="ideas")
        self.space_view = gr.Plot(label="In space", visible=False, elem_id="space-view")
        with gr.Accordion("What the model did", open=False, elem_id="report"):
            self.figures = gr.Textbox(
                label="Tokens and seconds", show_label=False, container=False, interactive=False, elem_id="figures"
            )
            self.prompt_sent = gr.Textbox(
                label="Prompt sent", interactive=False, lines=3, max_lines=12, elem_id="prompt"
            )

    def _wire(self, concurrency: int) -> None:
        private = {"api_visibility": "private"}
        reading = {"concurrency_id": "reading", "concurrency_limit": 4}
        answering = {"concurrency_id": "answering", "concurrency_limit": concurrency}
        camera = [self.max_new_tokens, self.field_of_view, self.focal_pixels]
        shown = [self.chat, self.frame, self.frame_number, self.space_view, self.prompt_sent, self.figures]
        scene = [self.session, self.status, self.gallery, self.ideas, self.field_of_view, *shown]
        for event in (self.video.change, self.num_frames.release):
            event(self.load, [self.video, self.num_frames, self.session], scene, **private, **reading)
        self.gallery.select(self.show_frame, self.session, [self.frame_number, self.frame], **private, queue=False)
        self.tasks.change(
            lambda task: gr.Textbox(placeholder=HINTS[task]), self.tasks, self.question, **private, queue=False
        )
        self.ideas.click(
            lambda idea: (idea[0], QUESTION), self.ideas, [self.question, self.tasks], **private, queue=False
        )
        inputs = [self.session, self.chat, self.question, self.tasks, self.remember, *camera]
        running = [
            event(self.send, inputs, [*shown, self.question], **private, **answering, show_progress="minimal")
            for event in (self.send_button.click, self.question.submit)
        ]
        inputs = [self.session, self.chat, self.frame_number, *camera]
        outputs = [*shown, self.question, self.tasks]
        running.append(self.frame.select(self.click, inputs, outputs, **private, **answering, show_progress="minimal"))
        self.stop_button.click(None, cancels=running, **private)
        self.chat.clear(self.forget, self.session, None, **private, queue=False)

        api = SceneApi(self.model, self.uploads)
        with gr.Row(visible=False):
            result = gr.JSON()
            thing = gr.Textbox(label="thing")
            # Plain numbers, not the page's sliders: what is wrong with a value is said by our own checks.
            x, y, number = gr.Number(0.5, label="x"), gr.Number(0.5, label="y"), gr.Number(0, label="frame")
            num_frames = gr.Number(self.num_frames.value, label="num_frames")
            max_new_tokens = gr.Number(self.max_new_tokens.value, label="max_new_tokens")
            field_of_view = gr.Number(DEFAULT_FIELD_OF_VIEW_DEGREES, label="field_of_view")
            focal_pixels = gr.Number(0, label="focal_pixels")
            camera = [field_of_view, focal_pixels, max_new_tokens]
            for name, work, inputs in (
                ("ask", api.ask, [self.video, self.question, num_frames, max_new_tokens]),
                ("distance", api.distance, [self.video, x, y, number, num_frames, *camera]),
                ("locate", api.locate, [self.video, thing, num_frames, *camera]),
            ):
                gr.Button(name).click(work, inputs, result, api_name=name, **answering)


def _message(role: str, text: str) -> dict:
    """Questions and answers are text: without Markdown too, Gradio would take them for HTML."""
    return {"role": role, "content": html.escape(text, quote=False)}


def _frame_label(number: int) -> str:
    return f"Frame {number + 1}: click to ask how far"


def _refused(message: str) -> Iterator[Outcome]:
    raise RequestError(message)
    yield  # a generator, like the answers


def _figures(outcome: Outcome) -> str:
    reports = outcome.reports
    prompt, vision, answer = (
        sum(vars(report)[name] for report in reports) for name in ("prompt_tokens", "vision_tokens", "answer_tokens")
    )
    parts = [
        f"{prompt} prompt tokens, {vision} of them frames",
        f"{answer} answer tokens",
        f"{sum(report.seconds for report in reports):.2f} s",
        "frames encoded now" if any(report.encoded_now for report in reports) else "frames encoded before",
        *(report.stopped for report in reports if report.stopped),
    ]
    return " · ".join(parts)


def build_page(model: SceneModel, sessions: SceneSessions, uploads: str, *, concurrency: int) -> gr.Blocks:
    """The Space's page.

    Args:
        model (`SceneModel`): The model.
        sessions (`SceneSessions`): Where the visitors' scenes are kept.
        uploads (`str`): The folder that uploads lie in.
        concurrency (`int`): Answers that the model writes at once.

    Returns:
        `gr.Blocks`: To be queued and launched.
    """
    return ScenePage(model, sessions, uploads).build(concurrency)
