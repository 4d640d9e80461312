"""The `igep` command: exit codes, what goes to standard output and what does not, and one-line errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scene_folders import scene_row, write_exported
from tiny_checkpoints import random_frames

from igep.trainers import cli


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, frame in enumerate(random_frames(3)):
        frame.save(folder / f"{number}.png")
    return folder


def test_help_is_quick_and_names_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "igep.trainers.cli", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text = done.stdout
    assert "argparse" in done.stderr  # where Python lists what it imports
    assert "torch" not in done.stderr
    assert "transformers" not in done.stderr
    assert "ask" in text
    assert "check" in text
    for name, words in (("ask", ["--model", "--video", "--frames"]), ("check", ["--gaps", "--output"])):
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in words)


def test_ask_prints_the_answer_alone(
    checkpoint_folders: dict[str, Path], clip: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatty_ask(*arguments, **options) -> str:
        sys.stdout.write("a library talks")
        return real_ask(*arguments, **options)

    from igep.trainers import ask as ask_module

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
        (["check", str(tmp_path), "--gaps", "0"], "gaps=[0]"),
        (["check", "--dataset", "hub", str(tmp_path)], "igep check: "),
    ):
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.strip().splitlines()[-1].startswith(f"igep {arguments[0]}: ")
        assert words in captured.err
        assert "Traceback" not in captured.err


def test_check_tells_right_from_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_exported(tmp_path / "scenes" / "desk", scene_row(5))
    picture = tmp_path / "check.png"
    assert cli.main(["check", str(tmp_path / "scenes"), "--gaps", "1", "2", "--output", str(picture)]) == 0
    assert "desk" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    for path in (folder / "pose").iterdir():
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))
    assert cli.main(["check", str(folder), "--gaps", "1", "2"]) == 1
    assert "likely the poses are world-to-camera" in capsys.readouterr().out


def test_a_subcommand_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
