"""What tests of several processes and of servers share: a free port, and what a run has logged."""

import json
import socket
from pathlib import Path


SKIPPED = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def history(checkpoint: Path) -> list[dict[str, float]]:
    """The logs of a checkpoint without what depends on the clock."""
    entries = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return [{name: value for name, value in entry.items() if name not in SKIPPED} for entry in entries]
