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
@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", "nan", "١"])
def test_what_is_no_whole_number_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"^{name}='{value}' is no whole number from 1 on"):
        Settings.read()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_what_is_no_time_is_named(monkeypatch, value):
    monkeypatch.setenv("ANSWER_SECONDS", value)
    with pytest.raises(SettingError, match=f"^ANSWER_SECONDS='{value}' is no number of seconds above 0"):
        Settings.read()


def test_the_space_ends_with_one_line():
    command = [sys.executable, str(SPACE / "app.py")]
    settings = {"MODEL_ID": "user/rooms", "READING_SECONDS": "twenty"}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "READING_SECONDS='twenty' is no whole number from 1 on: correct it in the environment.\n"
