"""What the Space's page consists of and says: a video and its frames on the left, the conversation on the right."""

import math

import gradio as gr
from example_rooms import EXAMPLES, ExampleRoom, example_rooms
from field_of_view import DEFAULT_DEGREES
from scene_model import SceneModel
from scene_questions import MAX_ANSWER_TOKENS, MAX_FRAMES, MAX_QUESTION_CHARACTERS, USUAL_ANSWER_TOKENS
from scene_words import DISTANCE, QUESTION, hint_of, ideas_of, notice_of, tasks_of, title_of
from video_reader import MAX_BYTES, MAX_SECONDS


EMPTY = f"Upload or record a video (up to {MAX_SECONDS} s and {MAX_BYTES // 2**20} MB), or pick an example."
NOTHING_TO_ASK = "Upload a video or pick an example, then ask."
# Gradio gives its example buttons no names, and its texts are not read aloud when they change.
NAMES_FOR_SCREEN_READERS = """() => {
  document.querySelector("#status").setAttribute("aria-live", "polite");
  document.querySelectorAll("#examples button").forEach(
    (button, number) => button.setAttribute("aria-label", `Example video ${number + 1}`)
  );
}"""


class SceneLayout:
    """The components of the page, made inside `gr.Blocks`.

    Args:
        model (`SceneModel`): The model.
    """

    def __init__(self, model: SceneModel):
        self.model = model
        self.examples = example_rooms()
        self.tasks_offered = tasks_of(model.usage, model.training)
        gr.Markdown(title_of(model.model_id, model.usage, model.training), elem_id="title")
        with gr.Row(elem_id="scene"):
            with gr.Column(scale=5, min_width=300, elem_classes=["side"]):
                with gr.Row():
                    with gr.Column(scale=3, min_width=260):
                        self._video()
                    with gr.Column(scale=2, min_width=215):
                        self._examples()
                self._frames()
                self._settings()
            with gr.Column(scale=6, min_width=300, elem_classes=["side"]):
                self._chat()

    def example(self, path: str | None) -> ExampleRoom | None:
        """What is known about a bundled video; `None` for other files."""
        return None if path is None else next((room for room in self.examples if room.is_at(path)), None)

    def ideas_for(self, path: str | None, task: str) -> gr.Dataset:
        """What to ask about a video, as an update of the page; hidden where nothing is typed."""
        ideas = [[idea] for idea in ideas_of(task, self.example(path), self.model.usage)]
        return gr.Dataset(samples=ideas, visible=bool(ideas))

    def hint_for(self, path: str | None, task: str) -> gr.Textbox:
        """What stands in the empty question box, as an update of the page."""
        return gr.Textbox(placeholder=hint_of(task, self.example(path)))

    @property
    def invitation(self) -> str:
        """What stands in the empty chat once there is a video."""
        if DISTANCE not in self.tasks_offered:
            return "Ask about this video."
        return (
            "Ask about this video, or click a point of the frame."
            if QUESTION in self.tasks_offered
            else "Click a point of the frame."
        )

    def frame_label(self, number: int) -> str:
        """What stands above a frame, counted from 0."""
        return f"Frame {number + 1}" + (": click to ask how far" if DISTANCE in self.tasks_offered else "")

    def _video(self) -> None:
        self.video = gr.Video(
            label="Video",
            sources=["upload", "webcam"],
            include_audio=True,  # of uploads: without it, Gradio would convert every one
            # A recording has no sound, and a phone shows what is before its holder.
            webcam_options=gr.WebcamOptions(
                mirror=False, constraints={"video": {"facingMode": {"ideal": "environment"}}, "audio": False}
            ),
            elem_id="video",
        )
        self.picture = gr.UploadButton("or an image or a GIF", file_types=["image"], size="sm", elem_id="picture")

    def _examples(self) -> None:
        gr.Examples(
            [str(EXAMPLES / example.video) for example in self.examples],
            inputs=self.video,
            label="Example rooms",
            elem_id="examples",
        )
        self.status = gr.HTML(EMPTY, elem_id="status")

    def _frames(self) -> None:
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
            label=self.frame_label(0),
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="frame",
            elem_classes=["asks"] if DISTANCE in self.tasks_offered else [],
            alt_text="The chosen frame."
            + (" A click asks how far that point is." if DISTANCE in self.tasks_offered else ""),
        )

    def _settings(self) -> None:
        usage = self.model.usage
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.num_frames = gr.Slider(
                1,
                MAX_FRAMES,
                value=usage.num_frames,
                step=1,
                label="Frames that the model sees",
                info="Another number begins the conversation anew.",
            )
            self.field_of_view = gr.Slider(
                20, 140, value=DEFAULT_DEGREES, step=0.5, label="Horizontal field of view in degrees"
            )
            has_calibrator = self.model.calibrator is not None
            self.is_estimated = gr.Checkbox(
                has_calibrator,
                label="Estimate the field of view from the video",
                info="Otherwise the number above is taken.",
                visible=has_calibrator,
                elem_id="is-estimated",
            )
            self.focal_pixels = gr.Number(
                None,
                label="Focal length in pixels of the video",
                info="0: not known. Otherwise it takes the place of the field of view.",
            )
            self.max_new_tokens = gr.Slider(
                8, MAX_ANSWER_TOKENS, value=USUAL_ANSWER_TOKENS, step=8, label="Longest answer in tokens"
            )
            self.remember = gr.Checkbox(
                usage.multi_turn,
                label="The model reads the conversation so far",
                info="Off by default where it was trained on single questions.",
            )
        self.sliders = (self.num_frames, self.field_of_view, self.max_new_tokens)
        for slider in self.sliders:
            # Anything may be typed beside a slider, and Gradio would answer it with an error on every output.
            slider.preprocess = lambda number, slider=slider: bounded(number, slider)

    def _chat(self) -> None:
        first = self.tasks_offered[0]
        self.tasks = gr.Radio(
            self.tasks_offered,
            value=first,
            label="Task",
            show_label=False,
            container=False,
            visible=len(self.tasks_offered) > 1,
            elem_id="tasks",
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
        with gr.Row(elem_id="asking"):
            self.question = gr.Textbox(
                label="Question",
                show_label=False,
                container=False,
                placeholder=hint_of(first, None),
                max_length=MAX_QUESTION_CHARACTERS,
                scale=6,
                min_width=110,
                elem_id="question",
            )
            self.send_button = gr.Button("Send", variant="primary", scale=1, min_width=70, elem_id="send")
            self.stop_button = gr.Button("Stop", scale=1, min_width=70, elem_id="stop")
        ideas = [[idea] for idea in ideas_of(first, None, self.model.usage)]
        self.ideas = gr.Dataset(
            components=[self.question], samples=ideas, label="Try", visible=bool(ideas), elem_id="ideas"
        )
        gr.Markdown(notice_of(self.model.usage, self.model.training), elem_id="rgb-only")
        self.space_view = gr.Plot(label="In space", visible=False, elem_id="space-view")
        with gr.Accordion("What the model did", open=False, elem_id="report"):
            self.figures = gr.Textbox(
                label="Tokens and seconds", show_label=False, container=False, interactive=False, elem_id="figures"
            )
            self.prompt_sent = gr.Textbox(
                label="Prompt sent and raw answer", interactive=False, lines=3, max_lines=12, elem_id="prompt"
            )


def bounded(number: float | None, slider: gr.Slider) -> float:
    """The number nearest to one that was typed beside a slider; nothing typed is the slider's default.

    Args:
        number (`float` or `None`): Anything.
        slider (`gr.Slider`): Has ends and steps.

    Returns:
        `float`: Whole where the steps are.
    """
    if not isinstance(number, (int, float)) or math.isnan(number):
        return slider.value
    number = min(max(number, slider.minimum), slider.maximum)
    return slider.minimum + round((number - slider.minimum) / slider.step) * slider.step
