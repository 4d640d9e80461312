"""Where visitors' files lie: a folder of one process, which no other user can read and which ends with the process.

A process that is killed cannot clean up after itself: whichever runs next does, by the lock that a living one holds.
"""

import re
import secrets
import shutil
import threading
from pathlib import Path

from filelock import FileLock, Timeout


PREFIX, SUFFIX = "scene_qa_", ".lock"
OURS = re.compile(rf"{PREFIX}[0-9a-f]{{16}}")
CLEANING_SECONDS = 600.0


class UploadFolder:
    """A folder for uploads, from its making until `remove`.

    Args:
        root (`Path`): The folder that it lies in, and those of other processes.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.remove_abandoned()
        self.path, self._lock = self._claim()
        for folder in (self.path, self.uploads, self.frames):
            folder.mkdir(mode=0o700)
        self._ended = threading.Event()

    @property
    def uploads(self) -> Path:
        """What visitors send, and what Gradio shows them."""
        return self.path / "uploads"

    @property
    def frames(self) -> Path:
        """What is taken out of videos while they are read."""
        return self.path / "frames"

    def remove_abandoned(self) -> None:
        """Removes the folders whose processes have ended, and locks of those that ended before they had a folder."""
        for name in {path.name.removesuffix(SUFFIX) for path in self.root.glob(f"{PREFIX}*")}:
            if not OURS.fullmatch(name):
                continue
            folder = self.root / name
            lock = FileLock(_lock_file(folder), timeout=0)
            try:
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)
                    _lock_file(folder).unlink(missing_ok=True)
            except (Timeout, OSError):  # of a process that runs, or of another user
                continue

    def keep_clean(self, every_seconds: float = CLEANING_SECONDS) -> None:
        """Goes on removing abandoned folders while this process runs."""

        def clean() -> None:
            while not self._ended.wait(every_seconds):
                self.remove_abandoned()

        threading.Thread(target=clean, daemon=True).start()

    def remove(self) -> None:
        """Removes the folder with all that is in it."""
        self._ended.set()
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
        _lock_file(self.path).unlink(missing_ok=True)

    def _claim(self) -> tuple[Path, FileLock]:
        """A name with its lock, which lives as long as the process."""
        while True:
            folder = self.root / f"{PREFIX}{secrets.token_hex(8)}"
            lock = FileLock(_lock_file(folder), mode=0o600)
            lock.acquire()
            # Else it was taken for an abandoned one between its making and its locking.
            if _lock_file(folder).exists():
                return folder, lock
            lock.release()


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{SUFFIX}")
