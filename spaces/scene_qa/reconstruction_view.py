"""The part of the page that shows what a Vid-LLM reconstructs: a 3D viewer, depth maps, and how the camera moved."""

import html
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gradio as gr
from scene_model import ModelError, SceneModel
from scene_questions import RequestError, open_scene
from scene_reconstruction import SceneGeometry, as_glb, depth_pictures, geometry_of, in_words
from scene_sessions import SceneSessions
from scene_turns import Turns, client_of
from work_in_beats import in_beats


FILE = "reconstruction.glb"
KEPT_SECONDS = 600.0  # of a file that was written: Gradio has long copied it then
NO_SCENE = "There is no video, or it was put away after an hour: upload one or pick an example."
FAILED = "Something went wrong here. Try it again, or pick another video."
ABOUT = (
    "This model reconstructs what it sees, in metres, from the RGB frames alone, and reads that for every answer. "
    "Shown are its most confident points, and the path of the camera in red. Drag to turn, scroll to come nearer."
)
logger = logging.getLogger(__name__)


class ReconstructionView:
    """The components, made inside `gr.Blocks`, and what they do.

    Args:
        model (`SceneModel`): A model that `reconstructs`.
        sessions (`SceneSessions`): Where the visitors' scenes are kept.
        uploads (`str`): The folder that uploads lie in.
        answering (`Turns`): Whose turn it is to have the model at work.
        reading (`Turns`): Whose turn it is to have a video read.
    """

    def __init__(self, model: SceneModel, sessions: SceneSessions, uploads: str, answering: Turns, reading: Turns):
        self.model = model
        self.sessions = sessions
        self.uploads = uploads
        self.answering = answering
        self.reading = reading
        self.files = tempfile.TemporaryDirectory()  # until the process ends

    def build(self, session: gr.State, video: gr.Video) -> None:
        """Lays the part out and wires it, with an endpoint `reconstruct` for scripts.

        Args:
            session (`gr.State`): Key of the visitor's scene.
            video (`gr.Video`): The page's video.
        """
        with gr.Accordion("Reconstruction", open=True, elem_id="reconstruction"):
            gr.Markdown(ABOUT)
            button = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            self.status = gr.HTML("", elem_id="reconstruction-status")
            with gr.Row():
                # Visible from the start, and filled by functions that return: Gradio 6.31 draws nothing in a viewer
                # that appears together with its model, or whose model a generator yields.
                self.points = gr.Model3D(
                    label="Points and the camera's path",
                    interactive=False,
                    height=420,
                    clear_color=(0.07, 0.07, 0.09, 1.0),
                    elem_id="points",
                )
                self.depth = gr.Gallery(
                    label="Depth: bright is near",
                    object_fit="contain",
                    interactive=False,
                    visible=False,
                    elem_id="depth-maps",
                )
        shown = [self.status, self.points, self.depth]
        queue = {"concurrency_limit": None}  # `Turns` limits them
        is_ready = gr.State(False)
        reconstructed = button.click(
            self.prepare,
            session,
            [self.status, is_ready],
            api_visibility="private",
            show_progress_on=self.status,
            **queue,
        )
        reconstructed.then(self.show, [session, is_ready], shown, api_visibility="private", queue=False)
        session.change(self.clear, None, shown, api_visibility="private", queue=False)
        with gr.Row(visible=False):
            num_frames = gr.Number(self.model.usage.num_frames, label="num_frames")
            gr.Button("reconstruct").click(
                self.for_scripts,
                [video, num_frames],
                [gr.File(label="file"), gr.JSON(label="cameras")],
                api_name="reconstruct",
                api_description=" ".join(self.for_scripts.__doc__.split()),
                **queue,
            )

    def prepare(self, key: str | None, request: gr.Request | None = None) -> Iterator[tuple[str | dict, bool]]:
        """Reconstructs the visitor's video at its turn; says how it went, and whether there is something to show."""
        scene = self.sessions.get(key)
        if scene is None:
            yield f"⚠ {NO_SCENE}", False
            return
        try:
            # At every beat Gradio may end it: whoever leaves gives up the place, and the work.
            with self.answering.ticket(client_of(request)) as ticket:
                while not self.answering.wait(ticket):
                    yield gr.skip(), False
                for _ in self.model.look_at(scene):
                    yield gr.skip(), False
        except (RequestError, ModelError) as error:
            yield html.escape(f"⚠ {error}"), False
        except gr.Error as error:  # ZeroGPU's own, such as a spent quota
            yield html.escape(f"⚠ {error.message}"), False
        except Exception:
            logger.exception("a video could not be reconstructed")
            yield f"⚠ {FAILED}", False
        else:
            yield gr.skip(), True

    def show(self, key: str | None, is_ready: bool) -> dict:
        """Shows what was reconstructed; what went wrong stands there already."""
        scene = self.sessions.get(key)
        if scene is None or not is_ready:
            return gr.skip()
        geometry = geometry_of(self.model, scene)
        return {
            self.status: html.escape(in_words(geometry)),
            self.points: self._written(geometry),
            self.depth: gr.Gallery(value=depth_pictures(geometry), visible=True),
        }

    def clear(self) -> dict:
        """Another video: what is shown is not of it."""
        return {
            self.status: "",
            self.points: None,
            self.depth: gr.Gallery(value=None, visible=False),
        }

    def for_scripts(
        self, video, num_frames, request: gr.Request | None = None
    ) -> Iterator[tuple[str | None, dict | None]]:
        """Reconstructs a video: a .glb file, and its cameras.

        Returns `file`, and `cameras` with `world_from_camera` (of each frame 4 x 4, in metres and the world of the
        first camera: x right, y down, z forward), `intrinsics` (3 x 3, in pixels of `width` x `height`) and
        `metres_moved`.
        """
        client = client_of(request)
        try:
            # At every beat Gradio may end it: whoever leaves gives up the place, and the work.
            with self.reading.ticket(client) as ticket:
                while not self.reading.wait(ticket):
                    yield None, None
                reading = in_beats(lambda left: open_scene(video, num_frames, self.uploads, left), (None, None))
                scene, _ = yield from reading
            with self.answering.ticket(client) as ticket:
                while not self.answering.wait(ticket):
                    yield None, None
                for _ in self.model.look_at(scene):
                    yield None, None
        except (RequestError, ModelError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        geometry = geometry_of(self.model, scene)
        height, width = geometry.depth_metres.shape[1:]
        cameras = {
            "world_from_camera": geometry.world_from_camera.tolist(),
            "intrinsics": geometry.intrinsics.tolist(),
            "width": width,
            "height": height,
            "metres_moved": geometry.path_metres,
        }
        yield self._written(geometry), cameras

    def _written(self, geometry: SceneGeometry) -> str:
        """A file of a reconstruction; older ones, which Gradio has copied, are removed."""
        for folder in Path(self.files.name).iterdir():
            with suppress(FileNotFoundError):  # another request removes it as well
                if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
        file = Path(tempfile.mkdtemp(dir=self.files.name)) / FILE
        file.write_bytes(as_glb(geometry))
        return str(file)
