"""What the page of the Space consists of and says: a video and its frames on the left, the conversation on the right."""

import json
import math
from pathlib import Path

import gradio as gr
from scene_model import SceneModel
from scene_questions import MAX_ANSWER_TOKENS, MAX_FRAMES, MAX_QUESTION_CHARACTERS
from video_reader import MAX_BYTES, MAX_SECONDS


EXAMPLES = Path(__file__).resolve().parent / "examples"
DEFAULT_FIELD_OF_VIEW_DEGREES = 60.0
QUESTION, DISTANCE, PLACE, DESCRIBE = "Ask anything", "How far is this point?", "Where is …?", "Describe"
HINTS = {
    QUESTION: "Ask about the video …",
    DISTANCE: "Click a point in the frame, or type x, y",
    PLACE: "Name a thing: box in blue",
    DESCRIBE: "Press Send to have the scene described.",
}
DESCRIBE_QUESTION = "Describe the scene."
EMPTY = f"Upload or record a video (up to {MAX_SECONDS} s and {MAX_BYTES // 2**20} MB), or pick an example."
NOTHING_TO_ASK = "Upload a video or pick an example, then ask."
RGB_ONLY = (
    "The model sees nothing but the RGB frames and your question: 3D geometry supervised its training only, and no depth, "
    "pose or point cloud is used here."
)
RGB_IN = (
    "The model sees nothing but the RGB frames and your question. Geometry is not given to it: it reconstructs depth, cameras and "
    "points from the frames itself, and reads them (Reconstruction, below)."
)
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
        self.examples = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
        folder = Path(model.model_id)
        name = folder.resolve().name if folder.is_dir() else model.model_id
        gr.Markdown(
            "# Ask about a 3D scene, from RGB alone\n"
            f"A video in, answers about distances, places and sizes out. Model: `{name}`",
            elem_id="title",
        )
        with gr.Row():
            with gr.Column(scale=5, min_width=300):
                with gr.Row():
                    with gr.Column(scale=3, min_width=260):
                        self._video()
                    with gr.Column(scale=2, min_width=215):
                        self._examples()
                self._frames()
                self._settings()
            with gr.Column(scale=6, min_width=300):
                self._chat()

    def example(self, path: str | None) -> dict | None:
        """What is known about a bundled video; `None` for other files."""
        names = {example["video"]: example for example in self.examples}
        return None if path is None else names.get(Path(path).name)

    def ideas_for(self, path: str | None) -> list[list[str]]:
        """Questions to start with: those of a bundled example, or those that the model was trained on."""
        if (example := self.example(path)) is not None:
            return [[asked["question"]] for asked in example["questions"]]
        return [[question] for question in self.model.usage.examples] or [[DESCRIBE_QUESTION]]

    def _video(self) -> None:
        self.video = gr.Video(
            label="Video",
            sources=["upload", "webcam"],
            include_audio=True,  # whether there is any: without it, Gradio would convert every upload
            elem_id="video",
        )
        self.picture = gr.UploadButton("or an image or a GIF", file_types=["image"], size="sm", elem_id="picture")

    def _examples(self) -> None:
        gr.Examples(
            [str(EXAMPLES / example["video"]) for example in self.examples],
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
            label=frame_label(0),
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="frame",
            alt_text="The chosen frame. A click asks how far that point is.",
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
                20, 140, value=DEFAULT_FIELD_OF_VIEW_DEGREES, step=0.5, label="Horizontal field of view in degrees"
            )
            self.focal_pixels = gr.Number(
                None,
                label="Focal length in pixels of the video",
                info="0: not known. Otherwise it takes the place of the field of view.",
            )
            self.max_new_tokens = gr.Slider(8, MAX_ANSWER_TOKENS, value=128, step=8, label="Longest answer in tokens")
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
        with gr.Row(elem_id="asking"):
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
        gr.Markdown(RGB_IN if self.model.reconstructs else RGB_ONLY, elem_id="rgb-only")
        self.space_view = gr.Plot(label="In space", visible=False, elem_id="space-view")
        self.ideas = gr.Dataset(components=[self.question], samples=self.ideas_for(None), label="Try", elem_id="ideas")
        with gr.Accordion("What the model did", open=False, elem_id="report"):
            self.figures = gr.Textbox(
                label="Tokens and seconds", show_label=False, container=False, interactive=False, elem_id="figures"
            )
            self.prompt_sent = gr.Textbox(
                label="Prompt sent and raw answer", interactive=False, lines=3, max_lines=12, elem_id="prompt"
            )


def frame_label(number: int) -> str:
    """What stands above a frame, counted from 0."""
    return f"Frame {number + 1}: click to ask how far"


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
