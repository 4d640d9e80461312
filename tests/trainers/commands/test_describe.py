"""`igep describe` writes what training reads: every frame once, resumed where cut off, teachers never mixed."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from scene_folders import camera_path, scene_row, write_exported
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from igep.trainers.cli import main
from igep.trainers.commands.describe_frames import DescribePlan, describe_scenes
from igep.trainers.data.scannet import load_scannet
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES
from igep.trainers.supervision import precomputed_teacher
from igep.trainers.supervision.backbone_teacher import BackboneTeacher
from igep.trainers.supervision.build_teacher import named_teacher
from igep.trainers.supervision.precomputed_teacher import PrecomputedTeacher, described_by, descriptor_file
from igep.trainers.supervision.teacher import TeacherGeometry


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    config = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**config, patch_size=4, image_size=16)).save_pretrained(folder)
    BitImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for name in ("desk", "sofa"):
        row = scene_row(5, name)
        # Every frame is a picture of its own, brighter to the right.
        row["frames"] = [
            Image.linear_gradient("L").rotate(90 * (number % 4)).resize((64, 48)).convert("RGB") for number in range(5)
        ]
        poses = camera_path(5)
        if name == "sofa":
            poses[2] = float("nan")  # a lost frame, which training leaves out as well
            row["world_from_camera"] = poses.tolist()
        write_exported(folder / name, row)
    return folder


def describe(backbone, scenes, output, *options):
    teacher = ("--teacher", "backbone", "--teacher_name_or_path", backbone)
    return main(["describe", *teacher, "--dataset_path", str(scenes), "--output", str(output), *options])


def told(backbone, frame):
    """What the teacher itself says of a frame."""
    pixels = torch.from_numpy(np.asarray(frame.resize((16, 16), Image.Resampling.BICUBIC)).copy())
    alone = TeacherGeometry(torch.zeros(1, 1, 1, 1), None, None, torch.ones(1, 1, dtype=torch.bool), ["s"], [["f"]])
    return BackboneTeacher(backbone)(pixels.permute(2, 0, 1)[None, None], alone)[0]


def read(folder, scene_id, frame_ids, transform="resize"):
    count = len(frame_ids)
    mask = torch.ones(1, count, dtype=torch.bool)
    geometry = TeacherGeometry(torch.zeros(1, count, 1, 1), None, None, mask, [scene_id], [frame_ids])
    return PrecomputedTeacher(folder, transform)(None, geometry)[0]


def test_training_reads_what_the_teacher_says(backbone, scenes, tmp_path, capsys):
    assert describe(backbone, scenes, tmp_path / "out", "--frames_per_pass", "2", "--device", "cpu") == 0
    assert "2 scenes, 9 frames described, 0 scenes were there already" in capsys.readouterr().out
    table, _ = load_scannet(str(scenes), None)
    sofa = next(row for row in table if row["scene_id"] == "sofa")
    assert len(sofa["frames"]) == 4
    for name, frame in zip(sofa["frame_ids"], sofa["frames"], strict=True):
        found = read(tmp_path / "out", "sofa", [name])
        torch.testing.assert_close(found, told(backbone, frame), atol=5e-3, rtol=5e-3)
    with pytest.raises(KeyError, match="has no descriptor 'lost/resize'"):
        read(tmp_path / "out", "sofa", ["lost"])
    assert named_teacher("precomputed", str(tmp_path / "out")) == {"kind": "precomputed, backbone", "name": backbone}


def test_it_goes_on_where_it_was_cut_off(backbone, scenes, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    written = []

    def write_one(*arguments):
        if written:
            raise KeyboardInterrupt
        written.append(arguments)
        return precomputed_teacher.write_descriptors(*arguments)

    monkeypatch.setattr("igep.trainers.commands.describe_frames.write_descriptors", write_one)
    assert describe(backbone, scenes, out) == 130
    assert "interrupted. The same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    before = descriptor_file(out, "desk").read_bytes()
    assert describe(backbone, scenes, out) == 0
    assert "2 scenes, 4 frames described, 1 scenes were there already" in capsys.readouterr().out
    assert descriptor_file(out, "desk").read_bytes() == before
    monkeypatch.setattr("igep.trainers.commands.describe_frames.build_teacher", None)  # nothing is loaded for nothing
    assert describe(backbone, scenes, out) == 0
    assert "0 frames described, 2 scenes were there already" in capsys.readouterr().out


def test_a_scene_whose_poses_are_all_lost_is_not_one_that_was_there(tmp_path, caplog):
    row = scene_row(2, "lost") | {"world_from_camera": np.full((2, 4, 4), np.nan).tolist()}
    table = SceneTable(Dataset.from_list([row], features=SCENE_FEATURES))
    plan = DescribePlan("backbone", name="which is not loaded")
    assert list(describe_scenes(table, plan, tmp_path)) == [(0, False)]
    assert "Scene 'lost' has no frame with a valid pose: it is not described" in caplog.text


def test_clips_and_centre_squares(backbone, scenes, tmp_path, capsys):
    assert describe(backbone, scenes / "desk", tmp_path / "clips", "--clip_frames", "2") == 0
    names = load_scannet(str(scenes / "desk"), None)[0][0]["frame_ids"]
    assert read(tmp_path / "clips", f"desk@{names[2]}", names[2:4]).shape == (2, 4, 4, 24)
    assert describe(backbone, scenes / "desk", tmp_path / "squares", "--transform", "centre_square") == 0
    assert "teacher_transform: centre_square" in capsys.readouterr().out
    square = read(tmp_path / "squares", "desk", names[:1], "centre_square")
    frame = load_scannet(str(scenes / "desk"), None)[0][0]["frames"][0].crop((8, 0, 56, 48))
    torch.testing.assert_close(square, told(backbone, frame), atol=5e-3, rtol=5e-3)


def test_descriptors_of_two_teachers_are_not_mixed(backbone, scenes, tmp_path, capsys):
    out = tmp_path / "out"
    assert describe(backbone, scenes / "desk", out) == 0
    assert described_by(out)["name"] == backbone
    assert describe(backbone, scenes / "desk", out, "--teacher_layer", "1") == 2
    assert "written with layer None, now 1: give another folder" in capsys.readouterr().err
    (out / "described_by.json").write_text("{")
    assert describe(backbone, scenes / "desk", out) == 2
    assert "is damaged: delete it" in capsys.readouterr().err
    (out / "described_by.json").unlink()
    assert describe(backbone, scenes / "desk", out) == 2
    assert "another program wrote them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames_per_pass", "0"], "frames_per_pass=0: give 1 or more"),
        (["--teacher_frame_size", "30", "31"], "is no whole number of patches of 4 pixels"),
        (["--dataset", "hub", "--frame_stride", "2"], "--frame_stride is for --dataset scannet"),
        (["--clip_frames", "9"], "has 5 frames, fewer than a clip of 9"),
    ],
)
def test_bad_options(backbone, scenes, tmp_path, capsys, options, message):
    assert describe(backbone, scenes / "desk", tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_teacher_that_is_not_installed_leaves_nothing_behind(scenes, tmp_path, capsys):
    words = ["describe", "--teacher", "vggt", "--dataset_path", str(scenes), "--output", str(tmp_path / "out")]
    assert main(words) == 2
    assert "pip install git+https://github.com/facebookresearch/vggt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_written_is_said(backbone, scenes, tmp_path):
    assert describe(backbone, scenes / "desk", tmp_path / "out", "--frames_per_pass", "3") == 0
    stated = json.loads((tmp_path / "out" / "described_by.json").read_text())
    assert stated == {
        "teacher": "backbone",
        "name": backbone,
        "layer": None,
        "frame_size": None,
        "frames_per_pass": 3,
        "clip_frames": None,
        "transform": "resize",
    }
