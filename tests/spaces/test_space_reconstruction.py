"""A Vid-LLM in the Space: it answers as elsewhere; its reconstruction is shown in a browser and given to scripts."""

import inspect
import io
import json
import pickle
import re
import shutil
import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
import trimesh
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import expect
from reconstruction_view import ReconstructionView
from scene_model import Scene, SceneModel
from scene_questions import ask, open_scene
from scene_reconstruction import as_glb, depth_pictures, geometry_of, in_words
from scene_sessions import SceneSessions
from scene_turns import Turns
from scored_model import save_vid_llm
from space_server import SPACE, SpaceServer
from tiny_checkpoints import random_frames
from waiting import LIMIT_SECONDS, wait_until
from words_model import WordsModel, scene_of

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor


pytest_plugins = ["space_visitors"]

EXAMPLE = SPACE / "examples" / "room_1.mp4"
USAGE = {
    "tasks": ["questions"],
    "num_frames": 2,
    "frames_as": "video",
    "multi_turn": False,
    "examples": ["Is it red?"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = save_vid_llm(tmp_path_factory.mktemp("space") / "vid_llm")
    (folder / "training_run.json").write_text(json.dumps({"usage": USAGE}))
    return folder


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    with SpaceServer(folder, tmp_path_factory.mktemp("server")) as server:
        yield server


def elsewhere(work):
    """Runs a function as ZeroGPU does: what goes in and what comes out is pickled."""

    def run(*args):
        args = pickle.loads(pickle.dumps(args))
        if inspect.isgeneratorfunction(work):
            return iter([pickle.loads(pickle.dumps(part)) for part in work(*args)])
        return pickle.loads(pickle.dumps(work(*args)))

    return run


def in_world(glb: bytes) -> dict[str, np.ndarray]:
    """The vertices of each geometry of a scene."""
    scene = trimesh.load(io.BytesIO(glb), file_type="glb")
    found = {}
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph.get(node)
        found[name] = trimesh.transform_points(scene.geometry[name].vertices, transform)
    return found


def test_what_is_shown_is_what_the_model_reconstructs(folder):
    model = SceneModel(str(folder), on_gpu=elsewhere)
    assert model.reconstructs
    scene = Scene(random_frames(3))
    *_, outcome = ask(model, scene, "Is it red?", remember=False, max_new_tokens=6)
    plain, processor = (
        VidLLMForConditionalGeneration.from_pretrained(folder).eval(),
        IGEPProcessor.from_pretrained(folder),
    )
    inputs = processor.question_inputs(scene.frames, "Is it red?")
    tokens = plain.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert outcome.reports[-1].text == processor.decode(tokens, skip_special_tokens=True).strip()
    assert outcome.reports[-1].vision_tokens == (inputs["input_ids"] == plain.config.video_token_id).sum()

    encoded = scene.encoded["video"]
    geometry = geometry_of(model, scene)
    assert scene.encoded["video"] is encoded, "what a question has encoded is not encoded again"
    expected = plain.reconstruct(inputs["pixel_values_videos"])
    np.testing.assert_allclose(geometry.depth_metres, expected.depth_metres[0], rtol=1e-5)
    np.testing.assert_allclose(geometry.points_metres, expected.points_world[0], rtol=1e-4, atol=1e-4)
    assert geometry.colours.shape == (3, 32, 48, 3)
    pixels = geometry.depth_metres.size
    assert scene.num_bytes < 3 * pixels + 4 * (4 * pixels), "neither points nor the streams are kept"

    found = in_world(as_glb(geometry))
    assert set(found) == {"points", "camera_path", "cameras"}
    kept = geometry.confidence >= np.quantile(geometry.confidence, 0.3)
    np.testing.assert_allclose(found["points"], geometry.points_metres[kept] * [1, -1, -1], rtol=1e-4, atol=1e-4)
    centres = geometry.world_from_camera[:, :3, 3] * [1, -1, -1]
    np.testing.assert_allclose(found["camera_path"][[0, -1]], centres[[0, -1]], atol=1e-5)
    pictures = depth_pictures(geometry)
    assert [picture.size for picture, _ in pictures] == [(384, 256)] * 3
    nearest = np.unravel_index(geometry.depth_metres[0].argmin(), (32, 48))
    farthest = np.unravel_index(geometry.depth_metres[0].argmax(), (32, 48))
    bright, dark = (sum(pictures[0][0].getpixel((8 * int(x) + 4, 8 * int(y) + 4))) for y, x in (nearest, farthest))
    assert bright > dark
    assert f"The camera moved {geometry.path_metres:.2f} m over 3 frames" in in_words(geometry)


def test_one_frame_has_points_and_no_path(folder):
    model = SceneModel(str(folder))
    geometry = geometry_of(model, Scene(random_frames(1)))
    assert set(in_world(as_glb(geometry))) == {"points", "cameras"}
    assert in_words(geometry).startswith("One frame: the camera has no path.")


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["desktop", "phone"])
def test_a_visitor_looks_at_a_reconstruction(visitors, server, folder, shape):
    visitor = visitors(server, shape)
    page = visitor.page
    status = page.locator("#reconstruction-status")
    expect(page.locator("#rgb-only")).to_contain_text(
        "it reconstructs depth, cameras and points from the frames itself"
    )
    page.locator("#reconstruct").click()
    expect(status).to_contain_text("There is no video")
    visitor.pick_example(0)
    expect(status).not_to_contain_text("There is no video")
    page.locator("#reconstruct").click()
    scene, _ = open_scene(str(EXAMPLE), 2, EXAMPLE.parent)
    expect(status).to_contain_text(in_words(geometry_of(SceneModel(str(folder)), scene)))
    canvas = page.locator("#points canvas")
    expect(canvas).to_be_visible()
    expect(page.locator("#depth-maps img")).to_have_count(2)
    link = page.locator("#points [data-testid=model3d-download-link]")
    shown = in_world(page.request.get(link.get_attribute("href")).body())
    assert set(shown) == {"points", "camera_path", "cameras"}

    def colours() -> int:
        return len(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB").getcolors(maxcolors=1 << 24))

    wait_until(lambda: colours() > 50, "points are drawn")
    visitor.question.fill("Is it red?")  # there is no other task to choose among
    page.locator("#send").click()
    expect(visitor.answers).to_have_count(1)
    expect(visitor.figures).to_have_value(re.compile("frames encoded before$"))
    page.locator("#examples button").nth(1).click()
    expect(canvas).to_have_count(0)
    expect(status).to_have_text("")
    visitor.errors = [
        error for error in visitor.errors if "WebGPU" not in error
    ]  # the viewer asks for it, then takes WebGL


def test_a_script_that_leaves_gives_up_its_place(monkeypatch):
    monkeypatch.setattr("scene_turns.BEAT_SECONDS", 0.0)
    monkeypatch.setattr("work_in_beats.BEAT_SECONDS", LIMIT_SECONDS)  # the video is read within one
    answering, reading = Turns(1), Turns(1)
    sessions = SceneSessions(1, 60)
    view = ReconstructionView(WordsModel(), sessions, str(EXAMPLE.parent), answering, reading)
    for queue in (reading, answering):
        with queue.ticket("another"):
            waiting = view.for_scripts(str(EXAMPLE), 2)
            assert next(waiting) == (None, None)
            assert len(queue._tickets) == 2
            waiting.close()
            assert len(queue._tickets) == 1
    with answering.ticket("another"):
        waiting = view.prepare(sessions.add(scene_of()))  # the button of the page
        assert next(waiting) == (gr.skip(), False)
        assert len(answering._tickets) == 2
        waiting.close()
        assert len(answering._tickets) == 1


def test_what_nobody_waits_for_is_not_encoded_to_the_end(folder, monkeypatch):
    """Layer by layer: whoever leaves while a video is looked at does not keep the model at work."""
    monkeypatch.setattr("work_in_beats.BEAT_SECONDS", 0.01)
    model, scene = SceneModel(str(folder)), Scene(random_frames(2))
    went_on, left, layers = threading.Event(), threading.Event(), []
    threads = []

    def hold(*_: object) -> None:
        layers.append(None)
        threads.append(threading.current_thread())
        went_on.set()
        assert left.wait(LIMIT_SECONDS)

    norms = [layer for layer in model.model.modules() if isinstance(layer, torch.nn.LayerNorm)]
    for layer in norms:
        layer.register_forward_hook(hold)
    looking = model.look_at(scene)
    next(looking)
    assert went_on.wait(LIMIT_SECONDS)
    looking.close()
    left.set()
    threads[0].join(LIMIT_SECONDS)
    assert len(layers) == 1 < len(norms)
    assert scene.encoded == {}


def test_files_that_go_while_they_are_looked_at_are_no_fault(folder, monkeypatch):
    """Two visitors reconstruct at once: what one removes is gone when the other asks how old it is."""
    model = SceneModel(str(folder))
    view = ReconstructionView(model, SceneSessions(1, 60), "uploads", Turns(1), Turns(1))
    geometry = geometry_of(model, Scene(random_frames(1)))
    first = Path(view._written(geometry))
    listed = list(first.parent.parent.iterdir())
    shutil.rmtree(first.parent)
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(listed))
    assert Path(view._written(geometry)).is_file()


@pytest.mark.slow
def test_scripts_get_a_file_and_cameras(server, folder, tmp_path):
    client = Client(server.url, download_files=str(tmp_path), verbose=False)
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/reconstruct"]
    assert [found["label"] for found in described["returns"]] == ["file", "cameras"]
    assert described["description"].startswith("Reconstructs a video")
    file, cameras = client.predict(handle_file(EXAMPLE), 2, api_name="/reconstruct")
    scene, _ = open_scene(str(EXAMPLE), 2, EXAMPLE.parent)
    geometry = geometry_of(SceneModel(str(folder)), scene)
    np.testing.assert_allclose(cameras["world_from_camera"], geometry.world_from_camera, atol=1e-5)
    assert (cameras["height"], cameras["width"]) == geometry.depth_metres.shape[1:]
    assert "points" in in_world(Path(file).read_bytes())
    with pytest.raises(Exception, match="There is no video yet"):
        client.predict(None, 2, api_name="/reconstruct")
    assert server.is_healthy()
