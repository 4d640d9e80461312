"""The Space's camera: what a visitor set, else what a calibrator estimates once for a video, if the Space has one."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from answer_stream import UnwantedError
from field_of_view import DEFAULT_DEGREES, Calibrator, CalibratorError, known_field_of_view
from safetensors.torch import load_file, save_file
from scene_conversation import Conversation
from scene_model import Scene
from scene_questions import RequestError, ask_distance, ask_place
from scene_words import DISTANCE
from space_server import SPACE, SpaceServer
from space_visitors import Visitor
from tiny_checkpoints import random_frames
from tiny_depth_pro import save_tiny_depth_pro, tiny_depth_pro
from words_model import WordsModel, page_of, scene_of

from igep.calibrator import calibrator_of


pytest_plugins = ["space_model", "space_visitors"]


@pytest.fixture(scope="module")
def depth_pro(tmp_path_factory) -> str:
    return save_tiny_depth_pro(tmp_path_factory.mktemp("calibrator") / "depth_pro")


def test_a_calibrator_runs_on_the_accelerator_and_says_what_igep_says(depth_pro):
    at_work, inside = [], []

    def on_gpu(work):
        def run(*args):
            at_work.append(work.__name__)
            return work(*args)

        return run

    calibrator, frame = Calibrator(depth_pro, on_gpu), random_frames(1, size=(48, 64))[0]
    calibrator.model.register_forward_pre_hook(lambda *_: inside.append(len(at_work)))
    assert calibrator(frame, threading.Event()) == pytest.approx(calibrator_of(depth_pro)(frame), rel=1e-5)
    assert inside == [1], "its model runs in what the accelerator is lent for, and nowhere else"


def test_what_is_set_wins_whatever_it_is_and_what_is_not_is_estimated_once(depth_pro):
    scene, asked, wanted = Scene(random_frames(2, size=(48, 64))), [], threading.Event()

    def calibrator(frame, unwanted) -> float:
        asked.append(frame)
        return 47.0

    assert known_field_of_view(None, scene, None, None, wanted) == DEFAULT_DEGREES, "no calibrator"
    for degrees in (75.0, DEFAULT_DEGREES):
        assert known_field_of_view(calibrator, scene, degrees, None, wanted) == degrees
    known_field_of_view(calibrator, scene, None, 500.0, wanted)
    assert asked == []
    assert [known_field_of_view(calibrator, scene, None, None, wanted) for _ in range(2)] == [47.0, 47.0]
    assert asked == [scene.frames[0]]


def test_the_page_estimates_until_somebody_sets_a_number():
    cameras = []

    class Camera(WordsModel):
        calibrator = staticmethod(lambda frame, unwanted: 90.0)

        def distance(self, frame, pixel, intrinsics, **options):
            cameras.append(float(intrinsics[0, 0]))
            yield from super().distance(frame, pixel, intrinsics, **options)

    page, talk = page_of(Camera()), Conversation()
    assert page.view.is_estimated.value is True
    key = page.sessions.add(scene_of())
    for is_estimated in (True, False):
        page.send(key, talk, 0, "3, 3", DISTANCE, False, 8, 60.0, None, is_estimated)
        list(page.answer(talk))
    assert cameras == pytest.approx([32.0, 32.0 * 3**0.5])
    assert page_of(WordsModel()).view.is_estimated.value is False


def test_a_calibrator_is_asked_in_the_turn_of_the_answer_and_its_faults_are_sentences():
    asked = []

    def calibrator(frame, unwanted) -> float:
        asked.append(frame)
        raise CalibratorError("the calibrator says nan degrees")

    model = WordsModel()
    model.calibrator = calibrator
    camera = {"field_of_view_degrees": None, "focal_pixels": None, "max_new_tokens": 8}
    for answer in (
        ask_distance(model, scene_of(), 0, (3.0, 3.0), **camera),
        ask_place(model, scene_of(), "box", **camera),
    ):
        next(answer)
        assert not asked, "a request that is being checked has no turn yet"
        with pytest.raises(RequestError, match="cannot be estimated: set the field of view"):
            list(answer)
        assert asked.pop()


def test_an_estimate_that_nobody_waits_for_ends_at_the_next_layer(depth_pro):
    """A visitor who leaves while a large depth model works does not leave that work to those behind."""
    calibrator, unwanted, layers = Calibrator(depth_pro), threading.Event(), []
    (layer, later) = [each for each in calibrator.model.modules() if isinstance(each, torch.nn.LayerNorm)][:2]
    leaving = layer.register_forward_pre_hook(lambda *_: unwanted.set(), prepend=True)
    later.register_forward_hook(lambda *_: layers.append("later"))
    with pytest.raises(UnwantedError):
        calibrator(random_frames(1)[0], unwanted)
    assert not layers
    leaving.remove()
    assert calibrator(random_frames(1)[0], threading.Event()) > 0, "the next visitor's is made"


@pytest.mark.parametrize("degrees", [float("nan"), -3.0, 200.0])
def test_no_field_of_view_is_said_to_be_none(depth_pro, degrees):
    calibrator = Calibrator(depth_pro)
    torch.nn.init.constant_(calibrator.model.fov_model.head.layers[-1].bias, degrees)
    torch.nn.init.zeros_(calibrator.model.fov_model.head.layers[-1].weight)
    with pytest.raises(CalibratorError, match="which is no field of view"):
        calibrator(random_frames(1)[0], threading.Event())


def without_field_of_view(folder: Path) -> str:
    tiny_depth_pro(use_fov_model=False).save_pretrained(folder)
    return str(folder)


def without_its_weights(folder: Path) -> str:
    """Whose file holds no field of view, though its configuration promises one."""
    file = Path(save_tiny_depth_pro(folder)) / "model.safetensors"
    weights = {name: value for name, value in load_file(file).items() if not name.startswith("fov_model")}
    save_file(weights, file, metadata={"format": "pt"})
    return str(folder)


def cloned_without_lfs(folder: Path) -> str:
    file = Path(save_tiny_depth_pro(folder)) / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    return str(folder)


@pytest.mark.parametrize("wrong", [without_its_weights, cloned_without_lfs])
def test_a_calibrator_whose_weights_are_not_there_is_told_too(tmp_path, wrong):
    with pytest.raises(CalibratorError, match="is no depth model that estimates the field of view") as told:
        Calibrator(wrong(tmp_path / "depth_pro"))
    assert "\n" not in str(told.value)


def test_a_wrong_calibrator_is_told_at_the_start_in_one_line(tmp_path, checkpoint_folders):
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", without_field_of_view(tmp_path / "depth"), checkpoint_folders["qwen3_vl"]):
        with pytest.raises(CalibratorError, match="is no depth model that estimates the field of view") as told:
            Calibrator(str(wrong))
        assert "\n" not in str(told.value)
    settings = {"MODEL_ID": str(tmp_path), "CALIBRATOR": str(tmp_path / "gone"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(SPACE / "app.py")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"CALIBRATOR='{tmp_path / 'gone'}' is no depth model that estimates the field of view")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_number_that_is_set_ends_the_estimate(visitors, space_model, depth_pro, tmp_path, monkeypatch):
    monkeypatch.setenv("CALIBRATOR", depth_pro)
    with SpaceServer(space_model, tmp_path) as server:
        visitor: Visitor = visitors(server)
        visitor.page.locator("#settings button").first.click()
        estimated = visitor.page.locator("#is-estimated input")
        assert estimated.is_checked()
        visitor.set_number("Horizontal field of view in degrees", "60")
        visitor.set_number("Horizontal field of view in degrees", "61")
        visitor.page.wait_for_function("() => !document.querySelector('#is-estimated input').checked")
        estimated.check()
        visitor.pick_example(0)
        visitor.page.wait_for_function("() => !document.querySelector('#is-estimated input').checked")
        estimated.check()
        visitor.press(visitor.frame, 0.5, 0.5)
        visitor.page.wait_for_function("() => document.querySelector('#chat').innerText.includes('m from the camera')")
