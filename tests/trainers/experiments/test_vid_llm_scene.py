"""Vid-LLM on one scene: split in closed form, figures and paths, bad input in one line, the command at a few steps."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scene_folders import camera_path, scene_row, write_exported, write_flat

from igep.pose_encoding import TRANSLATION, decode_cameras
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scannet import load_scannet
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.experiments.clips_in_memory import ClipsInMemory
from igep.trainers.experiments.room_reconstruction import as_rows, relative_poses
from igep.trainers.experiments.scene_clips import clips_in, cut_clips, only_scene
from igep.trainers.experiments.scene_reconstruction import (
    FIGURES,
    ClipGeometry,
    chained_path,
    clip_figures,
    prior_of,
)
from igep.trainers.experiments.tiny_vid_llm import vid_llm_base
from igep.trainers.experiments.vid_llm_scene import main
from igep.trainers.package_files import PACKAGE
from igep.trainers.supervision.reconstruction_targets import reconstruction_targets


ROWS = {"num_frames": 3, "geometry_size": (12, 16)}


@pytest.fixture
def desk(tmp_path):
    return write_exported(tmp_path / "desk", scene_row(num_frames=10))


def geometry(poses: np.ndarray, depth: np.ndarray, predicted: np.ndarray, clip_frames: int = 3) -> ClipGeometry:
    """Clips of a path that join, their cameras found."""
    starts = range(0, len(poses) - clip_frames + 1, clip_frames - 1)
    relative = np.stack([np.linalg.inv(poses[start]) @ poses[start + 1 : start + clip_frames] for start in starts])
    return ClipGeometry(predicted, depth, relative, relative, poses[list(starts)])


def test_clips_of_a_block_join_and_are_read_once_at_the_size_of_the_model(desk):
    table = only_scene(load_scannet(desk)[0])
    clips = cut_clips(table, [range(6), range(7, 10)], 3)
    assert [clip["frame_ids"] for clip in clips.select_columns("frame_ids")] == [
        [f"{frame:05d}" for frame in frames] for frames in ((0, 1, 2), (2, 3, 4), (7, 8, 9))
    ]
    assert [clips_in(block, 3) for block in (range(6), range(7, 10))] == [2, 1]
    rows = ClipsInMemory(clips, (8, 16), **ROWS)
    assert rows[0] is rows[0]
    assert [frame.size for frame in rows[0].frames] == [(16, 8)] * 3
    assert rows[0].depth_metres.shape == (3, 12, 16)
    assert ClipsInMemory(clips, None, **ROWS)[0].frames[0].size == (64, 48)


def test_what_is_trained_towards_is_what_is_scored(desk):
    """The targets of the camera loss, decoded and in metres, are the poses that predictions are compared with."""
    clips = cut_clips(only_scene(load_scannet(desk)[0]), [range(9)], 3)
    rows = ClipsInMemory(clips, None, **ROWS)
    _, processor = vid_llm_base()
    batch = IGEPDataCollator(processor, None)([rows[0], rows[1]])
    names = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")
    targets = reconstruction_targets(**{name: batch[name] for name in names})
    cameras = targets.cameras.clone()
    cameras[..., TRANSLATION] *= targets.unit_metres[:, None, None]
    world_from_camera, _ = decode_cameras(cameras, tuple(batch["depth_metres"].shape[-2:]))
    true = relative_poses(batch["world_from_camera"]).reshape(2, 2, 4, 4)
    np.testing.assert_allclose(world_from_camera[:, 1:].numpy(), true, atol=1e-5)
    torch.testing.assert_close(world_from_camera[:, 0], torch.eye(4).expand(2, 4, 4), atol=1e-5, rtol=0)


def test_figures_priors_and_joined_paths_are_their_closed_forms():
    poses = camera_path(5)
    depth = np.full((2, 3, 2, 2), 2.0)
    depth[0, 0, 0, 0] = 0  # not measured
    exact = geometry(poses, depth, 1.5 * depth)
    figures = clip_figures(exact)
    assert tuple(figures) == FIGURES
    assert figures["depth AbsRel"] == pytest.approx(0.5)
    assert figures["depth delta_1"] == 0
    assert (figures["AbsRel, scaled"], figures["delta_1, scaled"]) == (pytest.approx(0), 1)
    assert figures["rotation error, degrees"] == pytest.approx(0, abs=1e-4)
    assert figures["translation error, metres"] == 0
    np.testing.assert_allclose(chained_path(exact.first_from_camera, poses[0]), poses, atol=1e-12)
    prior = prior_of(exact, exact)
    assert (prior.predicted_depth_metres == 2).all()
    assert prior.predicted_first_from_camera.shape == (2, 2, 4, 4)
    means = exact.first_from_camera[..., :3, 3].mean(0)
    np.testing.assert_allclose(prior.predicted_first_from_camera[1, :, :3, 3], means)
    assert clip_figures(prior)["translation error, metres"] > 0
    assert [len(row) for row in as_rows({"one": figures})] == [7, 7]


def test_bad_scenes_and_options_end_in_one_line(tmp_path, desk):
    def refused(*words: str) -> str:
        with pytest.raises(SystemExit) as error:
            main(["--output", str(tmp_path / "out"), "--num_frames", "3", *words])
        return str(error.value)

    assert "no such folder. Give a scene folder" in refused("--scene", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refused("--scene", str(tmp_path / "empty"))
    assert "10 frames are too few: a trained block would have 0, and a clip has 3" in refused("--scene", str(desk))
    assert "clip_frames=5: this command cuts the scene itself" in refused("--scene", str(desk), "--clip_frames", "5")
    assert "a clip has 2 frames or more" in refused("--scene", str(desk), "--num_frames", "1")
    for name in ("one", "other"):
        write_exported(tmp_path / "pair" / name, scene_row())
    assert "there are 2 scenes (one, other ...)" in refused("--scene", str(tmp_path / "pair"))
    assert not (tmp_path / "out").exists()  # what is wrong is told before a model is made
    flat = write_flat(tmp_path / "flat" / "unposed", scene_row())
    for pose in flat.glob("0*.txt"):
        pose.unlink()
    with pytest.raises(SpatialDataError, match="'unposed' has no `world_from_camera`: what is reconstructed"):
        only_scene(load_scannet(flat)[0])


@pytest.mark.slow
def test_the_command_trains_compares_and_goes_on(tmp_path):
    scene = write_exported(tmp_path / "desk", scene_row(num_frames=25))
    output = tmp_path / "out"
    short = [
        "--held_out_blocks",
        "1",
        "--num_frames",
        "3",
        "--max_steps",
        "2",
        "--save_steps",
        "2",
        "--per_device_train_batch_size",
        "4",
    ]
    command = [sys.executable, "trainers/experiments/vid_llm_scene.py", "--scene", str(scene), "--output", str(output)]
    for _ in range(2):  # the second time it finds a finished run and compares again
        done = subprocess.run([*command, *short], cwd=PACKAGE, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        results = json.loads((output / "results.json").read_text())
        assert (results["steps"], results["trained_clips"], results["held_out_clips"]) == (2, 8, 2)
        assert [results[f"{part}_frames"] for part in ("trained", "held_out", "left_out")] == [17, 5, 3]
        assert all(np.isfinite(list(figures.values())).all() for figures in results["figures"].values())
        assert list(results["figures"]) == [
            f"{part}: {name}" for part in ("trained", "held out") for name in ("Vid-LLM", "median depth, mean pose")
        ]
        assert (output / "results.md").read_text().strip() in done.stdout
        assert (output / "scene.png").stat().st_size > 10_000
    assert "trained frames" in done.stderr  # progress
    assert IGEPProcessor.from_pretrained(output / "model") is not None
