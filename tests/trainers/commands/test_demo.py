"""`igep demo`: which model it shows, and what it says when it cannot."""

import socket
import subprocess
import sys

import pytest
from processes import answers, free_port
from waiting import LIMIT_SECONDS, wait_until

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers import cli
from igep.trainers.commands import demo


def test_the_quickstarts_model_is_shown_by_default(tmp_path, monkeypatch):
    folder = tmp_path / demo.QUICKSTART_MODEL
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert demo.demo_model(None) == str(folder)


def test_without_it_the_command_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "PACKAGE", tmp_path)
    assert cli.main(["demo"]) == 2
    assert "igep quickstart" in capsys.readouterr().err


def test_a_folder_becomes_absolute_and_an_id_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert demo.demo_model("mine") == str(tmp_path / "mine")
    assert demo.demo_model("user/rooms") == "user/rooms"


@pytest.mark.parametrize(
    ("model", "message"), [("nowhere", "named user/name"), ("user/nowhere", "no such model in the")]
)
def test_a_model_that_is_nowhere_is_told_before_the_space_starts(model, message, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert cli.main(["demo", "--model", model, "--port", str(free_port())]) == 2
    error = capsys.readouterr().err
    assert f"igep demo: {model}: there is no such folder" in error
    assert message in error


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_is_one(port, capsys):
    assert cli.main(["demo", "--model", "x", "--port", port]) == 2
    assert f"--port {port}" in capsys.readouterr().err


def test_a_port_in_use_is_told(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert cli.main(["demo", "--model", "x", "--port", port]) == 2
    assert f"--port {port}: Address already in use. Give another." in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr(demo, "NEEDED", ("gradio", "no_such_package"))
    assert cli.main(["demo", "--model", "x"]) == 2
    assert "no_such_package is not installed: run `pip install 'igep[spaces]'`." in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_is_none_ends_the_space(tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert cli.main(["demo", "--model", str(tmp_path / "empty"), "--port", str(free_port())]) == 1
    assert "is no model that can be loaded" in capfd.readouterr().err


@pytest.mark.slow
def test_the_space_ends_with_the_command(checkpoint_folders, tmp_path):
    IGEPForConditionalGeneration.from_base(checkpoint_folders["llava_onevision"]).save_pretrained(tmp_path)
    IGEPProcessor.from_base(checkpoint_folders["llava_onevision"]).save_pretrained(tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}/config"
    command = [sys.executable, "-m", "igep.trainers.cli", "demo", "--model", str(tmp_path), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(url), "the Space answers")
        process.terminate()
        assert process.wait(LIMIT_SECONDS) == 0
        assert not answers(url)
    finally:
        process.kill()
