import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from scene_folders import camera_path, scene_row, write_exported
from tiny_checkpoints import save_checkpoint
from tiny_parts import save_encoder, save_language_model

from igep.trainers.experiments.real_frames import main
from igep.trainers.package_files import find_recipe


SMALL = {
    "--frame_pixels": "42",
    "--vision_layers": "2",
    "--language_layers": "1",
    "--train_frames": "6",
    "--held_out_frames": "4",
    "--margin_frames": "1",
    "--draws": "1",
    "--test_draws": "1",
    "--questions_per_kind": "2",
    "--jobs": "1",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Two scenes of a wall, both parts of a base, and a recipe of two steps."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, frames in (("walk", 24), ("other", 8)):
        row = scene_row(frames, name, poses=camera_path(frames))
        noise = np.random.default_rng(0).integers(0, 255, (frames, 48, 64, 3), dtype=np.uint8)
        row["frames"] = [Image.fromarray(pixels) for pixels in noise]
        write_exported(folder / name, row)
    save_encoder(folder / "vision")
    save_language_model(folder / "language")
    recipe = yaml.safe_load(find_recipe("real_frames.yaml").read_text())
    recipe |= {"max_steps": 2, "warmup_steps": 0, "frozen_vision_layers": 1, "logging_steps": 1, "disable_tqdm": True}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def command(inputs: Path, output: Path, *scenes: str, **changes: str) -> list[str]:
    flags = {
        "--vision": str(inputs / "vision"),
        "--language": str(inputs / "language"),
        "--recipe": str(inputs / "recipe.yaml"),
        "--output": str(output),
        **SMALL,
        **{f"--{name}": value for name, value in changes.items()},
    }
    return ["--scenes", *(str(inputs / name) for name in scenes), *(word for flag in flags.items() for word in flag)]


@pytest.mark.slow
def test_the_whole_command(inputs, tmp_path, capsys):
    output = tmp_path / "out"
    words = command(inputs, output, "walk", "other")
    main([*words, "--seeds", "0"])
    printed = capsys.readouterr().out
    assert "held out" in printed
    assert (output / "results.md").read_text() in printed
    results = json.loads((output / "results.json").read_text())
    lines = {(line["where"], line["figure"]): line for line in results["lines"]}
    assert {where for where, _ in lines} == {"held out", "other scenes"}
    assert lines["held out", "depth probe, R2 of log depth"]["before_training"] is not None
    assert ("other scenes", "distance in steps, exact match") not in lines
    assert (output / "results.png").is_file()

    # Both arms: the same clips in the same order, one with geometry
    logs = {arm: (output / "seed_0" / arm / "log.txt").read_text() for arm in ("cross_entropy", "igep")}
    assert "loss_geometry" in logs["igep"]
    assert "loss_geometry" not in logs["cross_entropy"]
    cards = [
        json.loads((output / "seed_0" / arm / "model" / "training_run.json").read_text())
        for arm in ("cross_entropy", "igep")
    ]
    assert cards[0]["base_model"] == cards[1]["base_model"]
    scored = json.loads((output / "seed_0" / "igep" / "scores.json").read_text())
    assert {block["scene"] for block in scored["blocks"]} == {"walk", "other"}
    assert all(question["answer"] for question in scored["questions"])

    # The same command takes what is done, and does again what is lost
    kept, lost = (output / "seed_0" / arm / "scores.json" for arm in ("cross_entropy", "igep"))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    main([*words, "--seeds", "0"])
    assert kept.stat().st_mtime_ns == before
    assert json.loads(lost.read_text()) == scored
    assert json.loads((output / "results.json").read_text())["lines"] == results["lines"]
    with pytest.raises(SystemExit, match=r"seed_0 was made with other options"):
        main([*command(inputs, output, "walk", "other", draws="2"), "--seeds", "0"])


def test_what_cannot_be_done_is_said(inputs, tmp_path):
    for name, without in (("unposed", "pose"), ("flat", "depth")):
        shutil.copytree(inputs / "walk", inputs / name, dirs_exist_ok=True)
        shutil.rmtree(inputs / name / without)
    shutil.copytree(inputs / "walk", inputs / "again" / "walk", dirs_exist_ok=True)
    llava = save_checkpoint("llava_onevision", tmp_path / "llava")
    for words, message in (
        (command(inputs, tmp_path / "a", "unposed"), r"'unposed' has no `world_from_camera`"),
        (command(inputs, tmp_path / "b", "flat"), r"'flat' has no `depth`"),
        (
            command(inputs, tmp_path / "c", "walk", held_out_frames="20"),
            "'walk' has 24 frames .* too few for a block of 20",
        ),
        (
            command(inputs, tmp_path / "d", "walk", vision=str(llava)),
            "is a llava_onevision: give an encoder of the class",
        ),
        (command(inputs, tmp_path / "e", "walk", vision_layers="9"), "vision_layers=9: the model has 4"),
        (command(inputs, tmp_path / "f", "walk", frame_pixels="40"), "frame_pixels=40: give a multiple"),
        (command(inputs, tmp_path / "g", "walk", "again/walk"), "two bear one name"),
        (command(inputs, tmp_path / "h", "."), "Name each scene's own folder"),
        (command(inputs, tmp_path / "i", "nowhere"), "nowhere"),
        (command(inputs, tmp_path / "j", "walk", margin_frames="3"), "margin_frames=3 on either side"),
        (command(inputs, tmp_path / "k", "walk", recipe="nowhere.yaml"), "nowhere.yaml"),
        (command(inputs, tmp_path / "l", "walk", train_frames="0", held_out_frames="0"), "train_frames=0: give 1 or"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(words)
    assert not (tmp_path / "k").exists()  # before a base is put together


@pytest.mark.parametrize("flags", [["--jobs", "0"], ["--seeds", "0", "0"], ["--seeds", "-1"], ["--draws", "0"]])
def test_bad_flags_end_at_once(inputs, tmp_path, flags, capsys):
    with pytest.raises(SystemExit):
        main([*command(inputs, tmp_path, "walk"), *flags])
    assert flags[0] in capsys.readouterr().err
