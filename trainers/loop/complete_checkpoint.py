"""Which checkpoints of a run are whole: a process that is killed while it writes one leaves a folder that is not.

A checkpoint is whole when the file that lists its contents, written last, is there and agrees with the folder, byte by
byte.
"""

import hashlib
import json
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


logger = logging.getLogger(__name__)

MARKER = "checkpoint_complete.json"
SENTINEL = (
    "checkpoint-is-incomplete.txt"  # transformers' own, which it takes away once a checkpoint on SIGTERM is written
)


def mark_incomplete(checkpoint: Path) -> None:
    """Takes the mark off a checkpoint that is about to be written again."""
    (checkpoint / MARKER).unlink(missing_ok=True)


def mark_complete(checkpoint: Path) -> None:
    """Lists the files of a checkpoint that has been written to the end; the list appears at once or not at all."""
    paths = [
        path
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name not in (MARKER, f"{MARKER}.part", SENTINEL)
    ]
    files = {
        path.relative_to(checkpoint).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, _digests(paths), strict=True)
    }
    part = checkpoint / f"{MARKER}.part"
    part.write_text(json.dumps({"files": files}, indent=2) + "\n")
    os.replace(part, checkpoint / MARKER)


def what_is_missing(checkpoint: Path, *, read_files: bool = True) -> str | None:
    """Says why a checkpoint is not whole.

    Args:
        checkpoint (`Path`): Folder of the checkpoint.
        read_files (`bool`, *optional*, defaults to `True`): Compare the contents of the files too, not their sizes
            alone.

    Returns:
        `str | None`: The reason; `None` if the checkpoint is whole.
    """
    if not checkpoint.is_dir():
        return "there is no such folder"
    if not (checkpoint / MARKER).exists():
        return f"{MARKER} is missing, so it was not written to the end"
    try:
        listed = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))["files"]
        # Of checkpoints from before there were digests, the size alone is known.
        sizes = {name: entry if isinstance(entry, int) else entry["bytes"] for name, entry in listed.items()}
        digests = {name: entry["sha256"] for name, entry in listed.items() if not isinstance(entry, int)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MARKER} is damaged, so nothing says what belongs to it"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    if read_files:
        found = _digests([checkpoint / name for name in digests])
        for (name, digest), other in zip(digests.items(), found, strict=True):
            if digest != other:
                return f"the contents of {name} have changed since it was written"
    return None


def whole_checkpoint(output_dir: str | Path) -> Path | None:
    """The checkpoint of the highest step that has all its files, by their sizes.

    Args:
        output_dir (`str | Path`): Folder of the run.

    Returns:
        `Path`, *optional*: `None` if there is none.
    """
    return next((path for path in _checkpoints(output_dir) if what_is_missing(path, read_files=False) is None), None)


def last_complete_checkpoint(output_dir: str | Path) -> Path:
    """The whole checkpoint of the highest step; says which broken ones it passes over.

    Args:
        output_dir (`str | Path`): Folder of the run.

    Returns:
        `Path`: The checkpoint.

    Raises:
        FileNotFoundError: There is none.
    """
    broken = {}
    for checkpoint in _checkpoints(output_dir):
        reason = what_is_missing(checkpoint)
        if reason is None:
            for name, why in broken.items():
                logger.warning("Resuming from %s: %s is not whole, %s.", checkpoint.name, name, why)
            return checkpoint
        broken[checkpoint.name] = reason
    details = "; ".join(f"{name}: {why}" for name, why in broken.items()) or "there is no checkpoint"
    raise FileNotFoundError(
        f"Nothing to resume from in {output_dir}: {details}. Start without resume_from_checkpoint, or give the folder "
        "of the run that was interrupted."
    )


def require_complete(checkpoint: str | Path) -> Path:
    """Returns the checkpoint as a path if it is whole.

    Args:
        checkpoint (`str | Path`): Folder of the checkpoint.

    Raises:
        FileNotFoundError: It is not, with the reason.
    """
    reason = what_is_missing(Path(checkpoint))
    if reason is not None:
        raise FileNotFoundError(
            f"resume_from_checkpoint={str(checkpoint)!r} is not a whole checkpoint: {reason}. Give another one, or "
            "true for the last whole one of output_dir."
        )
    return Path(checkpoint)


def _checkpoints(output_dir: str | Path) -> list[Path]:
    """The checkpoint folders of a run, the highest step first."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def _digests(paths: list[Path]) -> list[str]:
    """SHA-256 of each file, several at a time."""

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max_workers=8) as readers:
        return list(readers.map(digest, paths))
