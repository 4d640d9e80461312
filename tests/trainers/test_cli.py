"""The `igep` command: exit codes, what goes to standard output and what does not, and one-line errors."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checked_rooms import room_row
from PIL import Image
from scene_folders import scene_row, write_exported
from tiny_checkpoints import random_frames
from transformers import AutoModelForImageTextToText

from igep import __version__
from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import cli
from igep.trainers.commands.point_picture import save_point_picture
from igep.trainers.package_files import PACKAGE


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, frame in enumerate(random_frames(3)):
        frame.save(folder / f"{number}.png")
    return folder


HEAVY = ("torch", "transformers", "datasets", "gradio", "accelerate", "numpy")


@pytest.mark.parametrize("words", [[], *([name] for name in cli.COMMANDS)], ids=" ".join)
def test_help_waits_for_no_library(words: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "igep.trainers.cli", *words, "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported  # standard error is where Python lists what it imports
    assert not imported.intersection(HEAVY)
    assert done.stdout.startswith(" ".join(["usage: igep", *words]))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name, (_, meaning) in cli.ALL.items():
        assert any(line.split() == [name, *meaning.split()] for line in shown.splitlines()), name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ask", ["--model", "--video", "--frames", "--pixel"]),
        ("check", ["--metres_per_depth_unit", "--output"]),
        ("demo", ["--model", "--port", "--host"]),
        ("export", ["output"]),
        ("merge", ["--base"]),
        ("launch", ["PLAN", "--num_processes"]),
        ("sft", ["--config", "--geometry_weight", "--dataset_path", "--learning_rate"]),
        ("publish", ["--repo-id", "--dry-run", "--space"]),
        ("publish-scenes", ["--repo-id", "--dataset_path", "--licence"]),
        ("quickstart", ["--seeds", "--held_out_rooms"]),
        ("demo-rooms", ["--output"]),
        ("vlm3-rooms", ["--ablation"]),
        ("room-benchmarks", ["--train_rooms", "--held_out_rooms"]),
        ("focal-ablation", ["--unified_focal"]),
        ("pretrain-tiny", ["--question_steps"]),
    ],
)
def test_each_command_shows_its_own_help(name: str, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in shown)


def test_what_help_shows_of_a_script_is_a_whole_sentence() -> None:
    scripts = [
        path
        for folder in ("trainers", "trainers/experiments", "benchmarks", "spaces")
        for path in (PACKAGE / folder).glob("*.py")
        if '__doc__.split("\\n")[0]' in path.read_text(encoding="utf-8")
    ]
    assert len(scripts) > 20
    first = {path.name: ast.get_docstring(ast.parse(path.read_text("utf-8"))).split("\n")[0] for path in scripts}
    assert not {name: line for name, line in first.items() if line[-1] not in ".?"}


def test_every_script_and_command_is_in_the_table() -> None:
    """A new launcher or experiment is a word of `igep` too."""
    launchers = {
        path.relative_to(PACKAGE / "trainers").with_suffix("").as_posix().replace("/", ".")
        for folder in ("trainers", "trainers/experiments", "trainers/commands")
        for path in (PACKAGE / folder).glob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8") and path.stem != "cli"
    }
    assert {module for module, _ in cli.ALL.values()} == launchers


@pytest.mark.parametrize("name", [*cli.SCRIPTS, *cli.EXPERIMENTS])
def test_scripts_get_every_word_and_say_themselves_what_is_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def script(words: list[str]) -> None:
        given.append(words)
        if words == ["--wrong"]:
            raise ValueError("of the script's own")

    monkeypatch.setattr(f"igep.trainers.{cli.ALL[name][0]}.main", script)
    words = ["--config", "a.yaml", "--flag=1", "-x", "--", "ask", "--help"]
    assert cli.main([name, *words]) == 0
    with pytest.raises(ValueError, match="of the script's own"):
        cli.main([name, "--wrong"])
    assert given == [words, ["--wrong"]]


def test_an_unknown_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["train"])
    assert caught.value.code == 2
    assert "invalid choice: 'train' (choose from 'check', 'ask'" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"igep {__version__}\n"


def test_ask_prints_the_answer_alone(
    checkpoint_folders: dict[str, Path], clip: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty_ask(*arguments, **options) -> str:
        sys.stdout.write("a library talks")
        return real_ask(*arguments, **options)

    from igep.trainers.commands import ask as ask_module

    real_ask = ask_module.ask
    monkeypatch.setattr(ask_module, "ask", chatty_ask)
    model = str(checkpoint_folders["qwen3_vl"])
    arguments = [
        "ask",
        "--model",
        model,
        "--video",
        str(clip),
        "--frames",
        "2",
        "--max-new-tokens",
        "4",
        "--device",
        "cpu",
    ]
    assert cli.main([*arguments, "How far?"]) == 0
    captured = capfd.readouterr()
    assert captured.out == real_ask(model, clip, "How far?", 2, max_new_tokens=4, device="cpu") + "\n"
    assert "a library talks" in captured.err


def test_user_errors_are_one_line(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["ask", "--model", "m", "--video", str(tmp_path / "no.mp4"), "How?"], "no such file"),
        (["ask", "--model", "m", "--video", str(clip), "--frames", "9", "How?"], "it has 3 frames, 9 are asked for"),
        (["ask", "--model", str(tmp_path / "none"), "--video", str(clip), "How?"], str(tmp_path / "none")),
        (["check", str(tmp_path)], "no scene here"),
        (["check", str(tmp_path), "--frame_stride", "0"], "frame_stride=0"),
        (
            ["check", "--dataset", "hub", str(tmp_path), "--frame_stride", "2"],
            "--frame_stride is for --dataset scannet",
        ),
        (["check", "--dataset", "hub", str(tmp_path)], "igep check: "),
        (["launch", "no.yaml", "sft"], "no launch plan no.yaml"),
    ):
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.strip().splitlines()[-1].startswith(f"igep {arguments[0]}: ")
        assert words in captured.err
        assert "Traceback" not in captured.err


def test_check_tells_verdicts_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_exported(tmp_path / "scenes" / "desk", room_row())
    as_training = ["--metres_per_depth_unit", "0.0002"]
    picture = tmp_path / "check.png"
    assert cli.main(["check", str(tmp_path / "scenes"), *as_training, "--output", str(picture)]) == 0
    assert "desk" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["check", str(folder)]) == 1
    assert "multiply `metres_per_depth_unit` by 0.2" in capsys.readouterr().out
    for path in (folder / "pose").iterdir():
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))
    assert cli.main(["check", str(folder), *as_training]) == 1
    assert "likely the poses are world-to-camera" in capsys.readouterr().out
    assert cli.main(["check", str(write_exported(tmp_path / "grey", scene_row(5)))]) == 4
    assert "cannot show mistakes in colour images" in capsys.readouterr().out
    bare = write_exported(tmp_path / "bare", scene_row(3))
    for path in (bare / "pose").iterdir():
        path.unlink()
    assert cli.main(["check", str(bare)]) == 3
    assert "no poses" in capsys.readouterr().out


def test_a_subcommand_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


# ---- A pixel


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    random_frames(1, size=(48, 64))[0].save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixel_arguments(model: Path | str, photo: Path, *more: str) -> list[str]:
    return ["ask", "--model", str(model), "--video", str(photo), "--pixel", "30", "20", "--device", "cpu", *more]


def test_ask_pixel_prints_metres_and_draws(
    checkpoint_folders: dict[str, Path],
    photo: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from igep.trainers.commands import ask as ask_module

    monkeypatch.setattr(ask_module, "generate_texts", lambda *_: ["<think> far </think>\n\n<answer> 3.456 </answer>"])
    output = photo.parent / "drawn" / "answer.png"
    arguments = pixel_arguments(
        checkpoint_folders["qwen3_vl"], photo, "--focal", "80", "--intrinsics", "70", "70", "32", "24"
    )
    assert cli.main([*arguments, "--output", str(output)]) == 0
    assert capfd.readouterr().out == "3.46\n"
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (photo, output))
    assert before.shape == after.shape
    changed = np.argwhere(np.abs(before - after).max(-1) > 0)
    assert (np.abs(changed - [20, 30]).max(1) <= 6).sum() > 10
    assert (after == 255).all(-1).any()


def test_ask_pixel_without_an_answer_draws_nothing(
    checkpoint_folders: dict[str, Path], photo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = photo.parent / "answer.png"
    arguments = pixel_arguments(checkpoint_folders["qwen3_vl"], photo, "--focal", "0", "--max-new-tokens", "3")
    assert cli.main([*arguments, "--output", str(output)]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "answer is no depth" in captured.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a question, or --pixel"),
        (["How far?", "--output", "a.png"], "--output is about a pixel"),
        (["How far?", "--field-of-view", "60"], "--field-of-view is about a pixel"),
        (["How far?", "--pixel", "1", "2"], "give one of them"),
        (["--pixel", "1", "2", "--frames", "3"], "--frames is about videos"),
        (["--pixel", "99", "2"], "outside the image"),
    ],
)
def test_ask_says_what_does_not_go_together(arguments, message, photo, capfd) -> None:
    assert cli.main(["ask", "--model", "nowhere", "--video", str(photo), *arguments]) == 2
    assert message in capfd.readouterr().err


def test_a_picture_must_be_a_png(photo: Path) -> None:
    with pytest.raises(ValueError, match="does not end in .png"):
        save_point_picture(photo, (1, 2), 3.0, photo.parent / "answer.jpg")


@pytest.mark.parametrize("pixel", [(0, 0), (63, 47), (63, 0), (0, 47)])
def test_the_distance_stays_in_the_picture(photo: Path, pixel: tuple[int, int]) -> None:
    output = photo.parent / "answer.png"
    save_point_picture(photo, pixel, 12.34, output)
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (photo, output))
    assert (np.abs(before - after).max(-1) > 0).sum() > 100


# ---- export


def test_export_writes_a_plain_vlm(checkpoint_folders, tmp_path, capsys):
    base = checkpoint_folders["qwen3_vl"]
    IGEPForConditionalGeneration.from_base(base).save_pretrained(tmp_path / "model")
    IGEPProcessor.from_base(base).save_pretrained(tmp_path / "model")
    assert cli.main(["export", str(tmp_path / "model"), str(tmp_path / "plain")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'plain'}\n"
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "plain")
    original = AutoModelForImageTextToText.from_pretrained(base).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in model.state_dict().items())
    assert not list((tmp_path / "plain").glob("*.py"))
    assert cli.main(["export", str(tmp_path / "model"), str(tmp_path / "plain")]) == 2
    assert "holds something" in capsys.readouterr().err
    assert cli.main(["export", str(base), str(tmp_path / "other")]) == 2
    assert "a plain qwen3_vl already" in capsys.readouterr().err


def test_no_parser_takes_a_shortened_flag() -> None:
    sources = [*(PACKAGE / "trainers").rglob("*.py"), *(PACKAGE / "benchmarks").glob("*.py")]
    makers = [
        (path.name, call)
        for path in sources
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Parser")
    ]
    assert len(makers) > 15
    for name, call in makers:
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given.get("allow_abbrev") == "False", (
            f"{name}: a shortened flag would pass, and change its meaning later"
        )
