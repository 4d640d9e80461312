"""`igep demo`: which model it shows, and what it says when it cannot."""

import pytest

from igep.trainers import cli, demo


def test_the_quickstarts_model_is_shown_by_default(tmp_path, monkeypatch):
    folder = tmp_path / demo.QUICKSTART_MODEL
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert demo.demo_model(None) == str(folder)


def test_without_it_the_command_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    assert cli.main(["demo"]) == 2
    assert "make quickstart" in capsys.readouterr().err


def test_a_folder_becomes_absolute_and_an_id_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert demo.demo_model("mine") == str(tmp_path / "mine")
    assert demo.demo_model("user/rooms") == "user/rooms"


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_is_one(port, capsys):
    assert cli.main(["demo", "--model", "x", "--port", port]) == 2
    assert f"--port {port}" in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr(demo, "NEEDED", ("gradio", "no_such_package"))
    assert cli.main(["demo", "--model", "x"]) == 2
    assert "no_such_package is not installed: run `pip install 'igep[spaces]'`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_is_none_ends_the_space(tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert cli.main(["demo", "--model", str(tmp_path / "empty"), "--port", "7868"]) == 1
    assert "is no model that can be loaded" in capfd.readouterr().err
