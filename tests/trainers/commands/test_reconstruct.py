"""`igep reconstruct`: from frames on disk to a point cloud that trimesh reads, and one line for whatever is wrong."""

import numpy as np
import pytest
import torch
import trimesh
from scored_model import save_tiny, save_vid_llm
from tiny_checkpoints import random_frames
from video_files import encode, moving_frames

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.cli import main
from igep.trainers.commands.point_cloud_file import PATH_COLOUR
from igep.trainers.evaluation.reconstruct_video import reconstruct_frames


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_vid_llm(tmp_path_factory.mktemp("model") / "vid_llm")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(random_frames(3)):
        frame.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def loaded(model):
    return VidLLMForConditionalGeneration.from_pretrained(model).eval(), IGEPProcessor.from_pretrained(model)


def run(model, video, output, *others) -> int:
    flags = ["--model", str(model), "--video", str(video), "--output", str(output), "--device", "cpu"]
    return main(["reconstruct", *flags, *others])


def test_a_folder_of_frames_becomes_points_of_their_colours(model, frames, loaded, tmp_path, capsys):
    assert run(model, frames, tmp_path / "new" / "scene.ply", "--keep", "1") == 0
    assert "points, the path of 3 cameras" in capsys.readouterr().out
    found = trimesh.load(tmp_path / "new" / "scene.ply")
    expected = reconstruct_frames(*loaded, random_frames(3))
    pixels = expected.frames.size // 3
    assert len(found.vertices) > pixels
    np.testing.assert_allclose(found.vertices[:pixels], expected.points_metres.reshape(-1, 3), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.colors[:pixels, :3], expected.frames.reshape(-1, 3))
    assert (found.colors[pixels:] == PATH_COLOUR).all()


def test_what_is_reconstructed_is_what_the_processor_shows(loaded):
    """Colours, points and cameras belong to the same pixels: the frames are the processor's but for normalisation."""
    model, processor = loaded
    found = reconstruct_frames(model, processor, random_frames(3))
    pixels = processor.video_processor(**processor.vision_inputs([random_frames(3)]), return_tensors="pt")
    shown = pixels["pixel_values_videos"][0]
    mean, std = (
        torch.tensor(vars(processor.video_processor)[name])[:, None, None] for name in ("image_mean", "image_std")
    )
    shown = (shown * std + mean).movedim(1, -1).numpy() * 255
    assert found.frames.shape == shown.shape
    assert np.abs(found.frames - shown).mean() < 2
    np.testing.assert_array_equal(found.world_from_camera[0], np.eye(4))
    assert (found.confidence > 1).all()
    np.testing.assert_allclose(found.points_metres[0, ..., 2], found.depth_metres[0], rtol=1e-5)


def test_a_video_becomes_a_scene_of_the_most_confident_points(model, tmp_path, capsys):
    video = encode(tmp_path / "video.mp4", moving_frames(12))
    output = tmp_path / "scene.glb"
    assert run(model, video, output, "--frames", "4", "--keep", "0.5", "--points", "1000") == 0
    said = capsys.readouterr()
    assert "1,000 points, the path of 4 cameras" in said.out
    assert "writing scene.glb" in said.err
    found = trimesh.load(output)
    assert len(found.geometry["points"].vertices) == 1000
    assert {"camera_path", "cameras"} <= set(found.geometry)
    before = output.read_bytes()
    assert run(model, video, output) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert run(model, frames_of_one(tmp_path), output, "--overwrite") == 0
    assert "no path, there is one frame" in capsys.readouterr().out
    assert set(trimesh.load(output).geometry) == {"points", "cameras"}


def frames_of_one(folder):
    random_frames(1)[0].save(folder / "one.png")
    return folder / "one.png"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "scene.obj"], "scene.obj: a point cloud is written as .glb or .ply"),
        (["--keep", "0"], "keep=0.0: give a share above 0"),
        (["--points", "0"], "points=0: keep at least one point"),
        (["--frames", "9"], "it has 3 frames, 9 are asked for. Ask for 3."),
        (["--video", "nowhere.mp4"], "nowhere.mp4: no such file or folder"),
        (["--model", "nowhere"], "nowhere: no saved model in this directory"),
        (["--device", "quantum"], "device='quantum' cannot be used here"),
    ],
)
def test_what_is_wrong_ends_in_one_line(model, frames, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert run(model, frames, "scene.glb", *flags) == 2
    said = capsys.readouterr()
    assert not said.out
    assert message in said.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_other_models_do_not_reconstruct(frames, tmp_path, capsys):
    assert run(save_tiny(tmp_path / "igep"), frames, tmp_path / "scene.glb") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        "does not reconstruct (its geometry supervised the training and left nothing behind): give a Vid-LLM model"
        in said
    )
    assert not (tmp_path / "scene.glb").exists()
