"""What visitors send is private, and is gone when the Space ends, however it ends."""

import os
import signal
import stat
from pathlib import Path

import httpx
import pytest
from space_server import SPACE, SpaceServer
from upload_folder import UploadFolder
from waiting import LIMIT_SECONDS, wait_until


pytest_plugins = ["space_model"]
VIDEO = SPACE / "examples" / "room_1.mp4"


def abandon(folder: UploadFolder) -> None:
    """What the end of a killed process does: its locks are gone, its files are not."""
    folder._lock.release()


def test_a_folder_is_private_and_removed(tmp_path):
    folder = UploadFolder(tmp_path / "root")
    for part in (folder.path, folder.uploads, folder.frames):
        assert stat.S_IMODE(part.stat().st_mode) == 0o700
    (folder.uploads / "video.mp4").touch()
    folder.remove()
    assert list((tmp_path / "root").iterdir()) == []


def test_folders_of_ended_processes_are_removed_by_whichever_starts(tmp_path):
    others = [tmp_path / name for name in ("mine.mp4", "scene_qa_notes.txt")]
    for other in others:
        other.touch()
    ended, running = UploadFolder(tmp_path), UploadFolder(tmp_path)
    (ended.uploads / "video.mp4").touch()
    abandon(ended)
    new = UploadFolder(tmp_path)
    assert not ended.path.exists()
    assert running.uploads.is_dir()
    assert all(other.exists() for other in others), "nothing else is touched"
    for folder in (new, running):
        folder.remove()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_folders_of_ended_processes_are_removed_by_whichever_runs(tmp_path):
    running, ended = UploadFolder(tmp_path), UploadFolder(tmp_path)
    running.keep_clean(every_seconds=0.05)
    abandon(ended)
    wait_until(lambda: not ended.path.exists(), "the running one cleans up")
    assert running.path.exists()
    running.remove()


def test_a_lock_without_a_folder_is_that_of_an_ended_process(tmp_path):
    """A process killed between lock and folder leaves the lock alone; so does one killed while it removes them."""
    (tmp_path / "scene_qa_0123456789abcdef.lock").touch()
    running = UploadFolder(tmp_path)
    assert [path.name for path in tmp_path.glob("*.lock")] == [f"{running.path.name}.lock"]
    beginning, lock = running._claim()
    running.remove_abandoned()
    assert lock.is_locked
    assert beginning.with_name(f"{beginning.name}.lock").exists(), "its process lives, and makes the folder next"
    lock.release()
    running.remove_abandoned()
    running.remove()
    assert list(tmp_path.iterdir()) == []


def uploaded(server: SpaceServer) -> Path:
    with VIDEO.open("rb") as file:
        url = f"{server.url}/gradio_api/upload"
        answer = httpx.post(url, files={"files": (VIDEO.name, file)}, timeout=LIMIT_SECONDS).raise_for_status()
    return Path(answer.json()[0])


@pytest.mark.slow
def test_uploads_end_with_the_space(space_model, tmp_path):
    with SpaceServer(space_model, tmp_path) as server:
        killed = uploaded(server)
        assert killed.is_relative_to(server.uploads)
        for place in (killed, *killed.parents[:4]):
            if place.is_relative_to(server.uploads) and place != server.uploads:
                assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0, place
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(LIMIT_SECONDS)
        assert killed.exists()
    with SpaceServer(space_model, tmp_path) as server:
        assert not killed.exists(), "removed at the next start"
        ended = uploaded(server)
        server.process.terminate()
        assert server.process.wait(LIMIT_SECONDS) == 0
        assert not ended.exists(), "removed on SIGTERM"
        assert list(server.uploads.iterdir()) == []
