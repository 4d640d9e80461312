"""What visitors have uploaded, each under a key that only their own session holds; old ones make room for new ones."""

import secrets
import threading
import time
from collections import OrderedDict

from scene_model import Scene


class SceneSessions:
    """Keeps the scenes of a limited number of visitors in memory.

    Args:
        capacity (`int`): Scenes kept; the one that was used longest ago goes first.
        seconds (`float`): How long a scene that nobody uses is kept.
        num_bytes (`int`, *optional*, defaults to 2 GiB): Memory that all of them take; the newest is kept whatever its
            size.
    """

    def __init__(self, capacity: int, seconds: float, num_bytes: int = 2 * 2**30):
        self.capacity = capacity
        self.seconds = seconds
        self.num_bytes = num_bytes
        self._scenes: OrderedDict[str, tuple[float, Scene]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scenes)

    def add(self, scene: Scene) -> str:
        """Keeps a scene and returns its key, which cannot be guessed."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._scenes[key] = (time.monotonic(), scene)
            self._forget()
        return key

    def get(self, key: str | None) -> Scene | None:
        """The scene of a key; `None` if there is none, or not any more."""
        with self._lock:
            self._forget()
            if key is None or key not in self._scenes:
                return None
            _, scene = self._scenes[key]
            self._scenes[key] = (time.monotonic(), scene)
            self._scenes.move_to_end(key)
            return scene

    def remove(self, key: str | None) -> None:
        """Forgets a scene; nothing happens if it is gone already."""
        with self._lock:
            self._scenes.pop(key, None)

    def _forget(self) -> None:
        now = time.monotonic()
        held = sum(scene.num_bytes for _, scene in self._scenes.values())
        while self._scenes:
            used, scene = next(iter(self._scenes.values()))
            too_large = held > self.num_bytes and len(self._scenes) > 1
            if len(self._scenes) <= self.capacity and now - used <= self.seconds and not too_large:
                return
            held -= scene.num_bytes
            self._scenes.popitem(last=False)
