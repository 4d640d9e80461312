"""Ask a video language model about a 3D scene from RGB alone: the Space of models trained with igep.

    MODEL_ID=user/name python app.py        # an id on the Hub, or a folder

Environment: `MODEL_ID`, `MODEL_REVISION`, `CONCURRENCY` (answers at once, 1), `QUEUE_SIZE` (requests waiting, 32),
`CLIENT_REQUESTS` (requests of one client, 8), `ANSWER_SECONDS` (longest wait for a word and longest time to write an
answer, 300: large models on a CPU want more), `READING_SECONDS` (longest time to read a video, 20), `CALIBRATOR` (id
of a depth model that estimates the field of view where nobody sets it, such as apple/DepthPro-hf: none), and Gradio's
own, such as `GRADIO_SERVER_PORT`. Uploads lie in a private folder inside `GRADIO_TEMP_DIR` (the system's for temporary
files).
"""

import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from space_settings import MOST_EVENTS, SettingError, Settings
from upload_folder import UploadFolder


try:
    SETTINGS = Settings.read()
except SettingError as error:
    raise SystemExit(str(error)) from error
os.umask(0o077)  # what visitors send is for nobody else on this machine
UPLOADS = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
try:
    FOLDER = UploadFolder(Path(UPLOADS))
except OSError as error:
    raise SystemExit(
        f"GRADIO_TEMP_DIR={UPLOADS!r} cannot hold uploads ({error.strerror}): name another folder."
    ) from error
# The only folder that videos are read from. Gradio reads this when it is imported.
os.environ["GRADIO_TEMP_DIR"] = str(FOLDER.uploads)
tempfile.tempdir = str(FOLDER.frames)

from field_of_view import Calibrator, CalibratorError
from page_style import CSS, HEAD, THEME
from scene_model import ModelError, SceneModel
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
        # The smaller one first: what is wrong with it is told before the large one is there.
        name = os.environ.get("CALIBRATOR", "").strip()
        calibrator = Calibrator(name, on_gpu()) if name else None
        revision = os.environ.get("MODEL_REVISION")
        return SceneModel(os.environ["MODEL_ID"], revision, on_gpu(), SETTINGS.answer_seconds, calibrator)
    except (CalibratorError, ModelError) as error:
        raise SystemExit(str(error)) from error


def serve() -> None:
    demo = build_page(
        load_model(),
        SceneSessions(KEPT_SCENES, KEPT_SECONDS),
        str(FOLDER.uploads),
        concurrency=SETTINGS.concurrency,
        waiting=SETTINGS.waiting,
        per_client=SETTINGS.per_client,
    )
    demo.queue(max_size=MOST_EVENTS, api_open=False)  # nobody passes the queue
    demo.launch(
        theme=THEME,
        css=CSS,
        head=HEAD,
        max_file_size=MAX_BYTES,
        max_threads=MOST_EVENTS,
        state_session_capacity=256,
        footer_links=["api"],
        blocked_paths=[str(Path(__file__).resolve().parent)],
        ssr_mode=False,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # else nothing below would be removed
    FOLDER.keep_clean()
    try:
        serve()
    finally:
        FOLDER.remove()
