"""Whole and broken checkpoints are told apart, and the newest whole one is found."""

import json
from pathlib import Path

import pytest

from igep.trainers.loop.complete_checkpoint import (
    MARKER,
    SENTINEL,
    last_complete_checkpoint,
    mark_complete,
    mark_incomplete,
    require_complete,
    what_is_missing,
    whole_checkpoint,
)


def make_checkpoint(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "global_step").mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"12345")
    (checkpoint / "global_step" / "shard").write_bytes(b"1")
    mark_complete(checkpoint)
    return checkpoint


def test_broken_checkpoints_are_passed_over_and_named(tmp_path, caplog):
    whole = make_checkpoint(tmp_path, 9)
    assert last_complete_checkpoint(tmp_path) == whole
    (make_checkpoint(tmp_path, 10) / "model.safetensors").write_bytes(b"123")
    (make_checkpoint(tmp_path, 20) / MARKER).unlink()
    (make_checkpoint(tmp_path, 100) / "global_step" / "shard").unlink()
    assert last_complete_checkpoint(tmp_path) == whole
    assert "checkpoint-10 is not whole, model.safetensors has 3 bytes instead of 5" in caplog.text
    assert "checkpoint-20 is not whole, checkpoint_complete.json is missing" in caplog.text
    assert "checkpoint-100 is not whole, global_step/shard is missing" in caplog.text


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        last_complete_checkpoint(tmp_path)
    (make_checkpoint(tmp_path, 3) / MARKER).unlink()
    with pytest.raises(FileNotFoundError, match=r"checkpoint-3: .*was not written to the end"):
        last_complete_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"checkpoint-3' is not a whole checkpoint"):
        require_complete(tmp_path / "checkpoint-3")


def test_checkpoint_that_is_written_again_is_not_whole_meanwhile(tmp_path):
    checkpoint = make_checkpoint(tmp_path, 3)
    assert require_complete(checkpoint) == checkpoint
    mark_incomplete(checkpoint)
    mark_incomplete(checkpoint)
    with pytest.raises(FileNotFoundError):
        require_complete(checkpoint)


def test_a_checkpoint_that_is_written_again_is_whole_again(tmp_path):
    checkpoint = make_checkpoint(tmp_path, 4)
    (checkpoint / "optimizer.pt").write_bytes(b"1234567")
    mark_complete(checkpoint)
    assert require_complete(checkpoint) == checkpoint
    (checkpoint / "optimizer.pt").unlink()
    with pytest.raises(FileNotFoundError, match="optimizer.pt is missing"):
        require_complete(checkpoint)


@pytest.mark.parametrize(
    "text", ["", '{"files": {"mod', "[]", "{}", '{"files": []}', '{"files": {"a": {}}}', "\x00\xff"]
)
def test_a_damaged_mark_is_damage_like_any_other(tmp_path, text, caplog):
    whole = make_checkpoint(tmp_path, 1)
    (make_checkpoint(tmp_path, 2) / MARKER).write_bytes(text.encode("latin-1"))
    assert last_complete_checkpoint(tmp_path) == whole
    assert "checkpoint-2 is not whole, checkpoint_complete.json is damaged" in caplog.text
    with pytest.raises(FileNotFoundError, match="is damaged, so nothing says what belongs to it"):
        require_complete(tmp_path / "checkpoint-2")


def test_damage_of_equal_size_is_noticed(tmp_path, caplog):
    whole = make_checkpoint(tmp_path, 1)
    damaged = make_checkpoint(tmp_path, 2)
    (damaged / "model.safetensors").write_bytes(b"12045")
    assert last_complete_checkpoint(tmp_path) == whole
    assert "the contents of model.safetensors have changed since it was written" in caplog.text
    assert whole_checkpoint(tmp_path) == damaged, "by sizes alone, which is quick"


def test_marks_from_before_there_were_digests(tmp_path):
    checkpoint = make_checkpoint(tmp_path, 1)
    files = json.loads((checkpoint / MARKER).read_text())["files"]
    old = {name: entry["bytes"] for name, entry in files.items()}
    (checkpoint / MARKER).write_text(json.dumps({"files": old}))
    assert what_is_missing(checkpoint) is None
    (checkpoint / "model.safetensors").write_bytes(b"1")
    assert what_is_missing(checkpoint) == "model.safetensors has 1 bytes instead of 5"


def test_the_sentinel_of_transformers_is_no_part_of_a_checkpoint(tmp_path):
    """It lies in the folder while a checkpoint on SIGTERM is written, and is gone afterwards."""
    checkpoint = make_checkpoint(tmp_path, 1)
    (checkpoint / SENTINEL).write_text("in progress")
    mark_complete(checkpoint)
    (checkpoint / SENTINEL).unlink()
    assert what_is_missing(checkpoint) is None
