"""Ask a video language model about a 3D scene from RGB alone: the Space of models trained with igep.

    MODEL_ID=user/name python app.py        # an id on the Hub, or a folder

Environment: `MODEL_ID`, `MODEL_REVISION`, `CONCURRENCY` (answers at once, 1), `QUEUE_SIZE` (visitors waiting, 32),
`ANSWER_SECONDS` (longest wait for a word and longest time to write an answer, 300: large models on a CPU want more),
`READING_SECONDS` (longest time to read a video, 20), `CALIBRATOR` (id of a depth model that estimates the field of view where
nobody sets it, such as apple/DepthPro-hf: none), and Gradio's own, such as `GRADIO_SERVER_PORT`.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


# Uploads lie in a folder of their own, the only one that videos are read from. Gradio reads this when it is imported.
UPLOADS = os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "scene_qa_uploads"))

from page_style import CSS, THEME
from scene_model import ANSWER_SECONDS, ModelError, SceneModel
from scene_page import build_page
from scene_sessions import SceneSessions
from video_reader import MAX_BYTES


KEPT_SCENES, KEPT_SECONDS = 64, 3600


def on_gpu() -> Callable[[Callable], Callable]:
    """ZeroGPU's decorator where its package is installed; elsewhere functions stay as they are."""
    package = importlib.util.find_spec("spaces")
    if package is None or package.origin is None:  # a folder of this name is no package
        return lambda work: work
    import spaces

    return spaces.GPU


def load_model() -> SceneModel:
    if not os.environ.get("MODEL_ID"):
        raise SystemExit("MODEL_ID is not set: give the id or the folder of a model trained with igep.")
    try:
        seconds = float(os.environ.get("ANSWER_SECONDS", str(ANSWER_SECONDS)))
        return SceneModel(os.environ["MODEL_ID"], os.environ.get("MODEL_REVISION"), on_gpu(), seconds)
    except ModelError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    demo = build_page(
        load_model(),
        SceneSessions(KEPT_SCENES, KEPT_SECONDS),
        UPLOADS,
        concurrency=int(os.environ.get("CONCURRENCY", "1")),
    )
    demo.queue(max_size=int(os.environ.get("QUEUE_SIZE", "32")), api_open=False)  # nobody passes the queue
    demo.launch(
        theme=THEME,
        css=CSS,
        max_file_size=MAX_BYTES,
        state_session_capacity=256,
        footer_links=["api"],
        blocked_paths=[str(Path(__file__).resolve().parent)],
        ssr_mode=False,
    )
