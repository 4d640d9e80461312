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
    """

    def __init__(self, capacity: int, seconds: float):
        self.capacity = capacity
        self.seconds = seconds
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
        while self._scenes:
            used, _ = next(iter(self._scenes.values()))
            if len(self._scenes) <= self.capacity and now - used <= self.seconds:
                return
            self._scenes.popitem(last=False)
