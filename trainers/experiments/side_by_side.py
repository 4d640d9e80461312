"""Two commands at once, one processor core each: how the toy-scale comparisons run."""

import os
import subprocess
import sys
from pathlib import Path

from igep.trainers.package_files import PACKAGE


def start(command: list[str], log: Path | None = None) -> subprocess.Popen:
    """Starts a command of this package in a new process, on one core, where the user is (paths are his), and says so.

    Args:
        command (`list[str]`): A script, relative to the root of the package, or `-m` and a module; and its flags.
        log (`Path`, *optional*): File for its output, which is shown unless given.

    Returns:
        `subprocess.Popen`
    """
    print("\n$ " + " ".join(command) + ("" if log is None else f"   (beside it; output in {log})"), flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first, *flags = command
    words = [sys.executable, first if first == "-m" else str(PACKAGE / first), *flags]
    if log is None:
        return subprocess.Popen(words, env=environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return subprocess.Popen(words, env=environment, stdout=stream, stderr=stream)


def wait(process: subprocess.Popen, log: Path | None = None) -> None:
    """Waits for a command. A failure ends this process, with the end of the command's log where it has one.

    Args:
        process (`subprocess.Popen`): What `start` returned.
        log (`Path`, *optional*): Where its output went.

    Raises:
        SystemExit: The command failed.
    """
    if process.wait() != 0:
        tail = "" if log is None else "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        sys.exit(f"stopped: {' '.join(process.args[1:])} ended with status {process.returncode}{tail}")


def side_by_side(shown: list[str], quiet: list[str], log: Path) -> None:
    """Runs two commands at once.

    Args:
        shown (`list[str]`): Its output is shown.
        quiet (`list[str]`): Its output goes to `log`.
        log (`Path`): File.

    Raises:
        SystemExit: One of them failed; the other one is ended.
    """
    other = start(quiet, log)
    try:
        wait(start(shown))
        wait(other, log)
    finally:
        other.kill()
