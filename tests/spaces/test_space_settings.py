"""What whoever runs the Space may set: numbers, or one line that says what is wrong."""

import os
import subprocess
import sys

import pytest
from space_server import SPACE
from space_settings import SettingError, Settings


def test_settings_are_read_from_the_environment(monkeypatch):
    for name in ("CONCURRENCY", "QUEUE_SIZE", "CLIENT_REQUESTS", "ANSWER_SECONDS", "READING_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    assert Settings.read() == Settings(1, 32, 8, 300.0, 20)
    monkeypatch.setenv("CONCURRENCY", " 2 ")
    monkeypatch.setenv("QUEUE_SIZE", "")
    monkeypatch.setenv("ANSWER_SECONDS", "0.5")
    assert Settings.read() == Settings(2, 32, 8, 0.5, 20)


@pytest.mark.parametrize(
    "name", ["CONCURRENCY", "QUEUE_SIZE", "CLIENT_REQUESTS", "READING_SECONDS", "GRADIO_SERVER_PORT"]
)
@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", "nan", "inf", "1e3", "١", "65536", "1000000000"])
def test_what_is_no_whole_number_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=rf"^{name}='{value}' is no whole number from 1 to \d+: correct it"):
        Settings.read()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "86401", "1e400"])
def test_what_is_no_time_is_named(monkeypatch, value):
    monkeypatch.setenv("ANSWER_SECONDS", value)
    with pytest.raises(
        SettingError, match=f"^ANSWER_SECONDS='{value}' is no number of seconds above 0 and up to 86400:"
    ):
        Settings.read()


def test_what_is_endless_is_named_in_a_line(monkeypatch):
    monkeypatch.setenv("QUEUE_SIZE", "9" * 5000)
    with pytest.raises(SettingError) as told:
        Settings.read()
    assert len(str(told.value)) < 200


def test_bounds_are_allowed(monkeypatch):
    for name, value in (("CONCURRENCY", "64"), ("QUEUE_SIZE", "92"), ("CLIENT_REQUESTS", "256")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANSWER_SECONDS", "86400")
    monkeypatch.setenv("READING_SECONDS", "1800")
    assert Settings.read() == Settings(64, 92, 256, 86400.0, 1800)


def test_the_space_ends_with_one_line():
    command = [sys.executable, str(SPACE / "app.py")]
    settings = {"MODEL_ID": "user/rooms", "READING_SECONDS": "twenty"}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == "READING_SECONDS='twenty' is no whole number from 1 to 1800: correct it in the environment.\n"
    )


def test_a_folder_for_uploads_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, str(SPACE / "app.py")]
    settings = {"MODEL_ID": "user/rooms", "GRADIO_TEMP_DIR": str(tmp_path / "file" / "uploads")}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"GRADIO_TEMP_DIR='{tmp_path / 'file' / 'uploads'}' cannot hold uploads (Not a directory)"
    )
    assert done.stderr.count("\n") == 1
