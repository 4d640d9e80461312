"""The same folder is the same in every spelling; what is no place on this machine stays as it is."""

from pathlib import Path

import pytest

from igep.trainers.data.resolved_paths import with_resolved_paths


def test_one_folder_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "link").symlink_to("scans")
    monkeypatch.chdir(tmp_path)
    absolute = str((tmp_path / "scans").resolve())
    for written in ("scans", "scans/", "./scans", "scans/../scans", "link", absolute, Path("scans")):
        options = {"dataset_path": written, "mixture": [f"{{name: one, dataset_path: {written}}}"], "num_frames": 2}
        assert with_resolved_paths(options) == {
            "dataset_path": absolute,
            "mixture": [{"name": "one", "dataset_path": absolute}],
            "num_frames": 2,
        }


def test_what_is_no_place_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions").mkdir()
    options = {"dataset_path": "user/scenes", "question_file": None, "task": "questions", "mixture": None}
    assert with_resolved_paths(options) == options
