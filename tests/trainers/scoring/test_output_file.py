"""Outputs that cannot be written are told before anything is answered, and a disk that fills up says what is kept."""

import errno
import os
from pathlib import Path

import pytest
from scored_model import ROOM_QUESTIONS

from igep.trainers import score
from igep.trainers.scoring import score_model
from igep.trainers.scoring.output_file import check_output_file, says_answers_are_kept


def test_a_folder_that_is_missing_is_made_and_nothing_is_left_in_it(tmp_path):
    file = tmp_path / "a" / "b" / "scores.json"
    check_output_file(file, "output")
    assert not list(file.parent.iterdir())
    file.write_text("old")
    check_output_file(file, "output")
    assert file.read_text() == "old"


def failing(error: int):
    def write(self: Path, content: bytes) -> None:
        raise OSError(error, os.strerror(error))

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errno.ENOSPC, r"output='.*scores\.json' cannot be written \(the disk is full\): make room"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, r"cannot be written \(Permission denied\): make room or change its rights"),
        (errno.EROFS, "Read-only file system"),
    ],
)
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, error, message):
    monkeypatch.setattr(Path, "write_bytes", failing(error))
    with pytest.raises(OSError, match=message) as raised:
        check_output_file(tmp_path / "scores.json", "output")
    assert "\n" not in str(raised.value)


def test_what_is_in_the_way_is_told_before_the_model_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(score_model, "load_for_answers", None)
    (tmp_path / "file").write_text("")
    flags = ["--model", "/no/such/model", "--benchmark", "scanqa", *ROOM_QUESTIONS]
    with pytest.raises(SystemExit, match=r"is a folder: name a file in it, such as .*/scores\.json\."):
        score.main([*flags, "--output", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=r"the folder .*/file/new is not there and cannot be made \(Not a directory\)"
    ):
        score.main([*flags, "--output", str(tmp_path / "file" / "new" / "scores.json")])
    with pytest.raises(SystemExit, match=r"can be no file \(File name too long\)"):
        score.main([*flags, "--output", str(tmp_path / ("a" * 300))])
    with pytest.raises(SystemExit, match=r"/file is not there and cannot be made \(File exists\)"):
        score.main([*flags, "--output", str(tmp_path / "file" / "scores.json")])


def test_a_disk_that_fills_up_says_what_is_kept(tmp_path):
    message = "the disk is full.*Answers that are there are kept.*same command again"
    with pytest.raises(OSError, match=message), says_answers_are_kept(tmp_path / "scores.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
