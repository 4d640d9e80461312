"""Commands of the toy-scale comparisons start where the user is, whatever folder that is."""

import pytest

from igep.trainers.experiments.side_by_side import start, wait
from igep.trainers.experiments.vid_llm_rooms import launched


def test_paths_are_those_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log.txt"
    with pytest.raises(SystemExit, match="stopped: "):
        wait(start(["trainers/sft.py", "--config", "mine.yaml"], log), log)
    assert "mine.yaml" in log.read_text()
    (tmp_path / "mine.yaml").write_text("nonsense: 1\n")
    with pytest.raises(SystemExit, match="nonsense"):
        wait(start(["trainers/sft.py", "--config", "mine.yaml"], log), log)


def test_launched_scripts_and_plans_are_those_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = launched("joint.py", tmp_path / "recipe.yaml", tmp_path / "model")
    log = tmp_path / "log.txt"
    with pytest.raises(SystemExit):
        wait(start(command, log), log)
    written = log.read_text()
    assert "recipe.yaml" in written
    assert "igep joint: error: there is no recipe" in written  # the script itself was found and said so
