"""What tests of several processes and servers share: a free port, a server's start and end, and what a run logged."""

import json
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from waiting import LIMIT_SECONDS, wait_until


SKIPPED = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    """Whether there is something at an address."""
    try:
        return httpx.get(url, timeout=LIMIT_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def wait_for_server(process: subprocess.Popen, url: str, log: Path) -> None:
    """Returns once a server answers; the test fails with the end of its log as soon as its process has ended.

    Args:
        process (`subprocess.Popen`): The server.
        url (`str`): Where it answers.
        log (`Path`): What it prints.
    """

    def is_up() -> bool:
        if process.poll() is not None:
            pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        return answers(url)

    wait_until(is_up, f"{url} answers")


def end(process: subprocess.Popen) -> None:
    """Ends a process, in the last resort without asking."""
    process.terminate()
    try:
        process.wait(LIMIT_SECONDS)
    finally:
        process.kill()
        process.wait()


def history(checkpoint: Path) -> list[dict[str, float]]:
    """The logs of a checkpoint without what depends on the clock."""
    entries = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return [{name: value for name, value in entry.items() if name not in SKIPPED} for entry in entries]
