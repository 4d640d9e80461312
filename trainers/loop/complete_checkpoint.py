"""Which checkpoints of a run are whole: a process that is killed while it writes one leaves a folder that is not.

A checkpoint is whole when the file that lists its contents, written last, is there and agrees with the folder.
"""

import json
import logging
import os
import re
from pathlib import Path


logger = logging.getLogger(__name__)

MARKER = "checkpoint_complete.json"


def mark_incomplete(checkpoint: Path) -> None:
    """Takes the mark off a checkpoint that is about to be written again."""
    (checkpoint / MARKER).unlink(missing_ok=True)


def mark_complete(checkpoint: Path) -> None:
    """Lists the files of a checkpoint that has been written to the end; the list appears at once or not at all."""
    files = {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MARKER
    }
    part = checkpoint / f"{MARKER}.part"
    part.write_text(json.dumps({"files": files}, indent=2) + "\n")
    os.replace(part, checkpoint / MARKER)


def what_is_missing(checkpoint: Path) -> str | None:
    """Says why a checkpoint is not whole.

    Args:
        checkpoint (`Path`): Folder of the checkpoint.

    Returns:
        `str | None`: The reason; `None` if the checkpoint is whole.
    """
    if not checkpoint.is_dir():
        return "there is no such folder"
    if not (checkpoint / MARKER).exists():
        return f"{MARKER} is missing, so it was not written to the end"
    for name, size in json.loads((checkpoint / MARKER).read_text())["files"].items():
        path = checkpoint / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    return None


def last_complete_checkpoint(output_dir: str | Path) -> Path:
    """The whole checkpoint of the highest step; says which broken ones it passes over.

    Args:
        output_dir (`str | Path`): Folder of the run.

    Returns:
        `Path`: The checkpoint.

    Raises:
        FileNotFoundError: There is none.
    """
    found = [path for path in Path(output_dir).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    found.sort(key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    broken = {}
    for checkpoint in found:
        reason = what_is_missing(checkpoint)
        if reason is None:
            for name, why in broken.items():
                logger.warning("Resuming from %s: %s is not whole, %s.", checkpoint.name, name, why)
            return checkpoint
        broken[checkpoint.name] = reason
    details = "; ".join(f"{name}: {why}" for name, why in broken.items()) or "there is no checkpoint"
    raise FileNotFoundError(
        f"Nothing to resume from in {output_dir}: {details}. Start without resume_from_checkpoint, or give the folder of "
        "the run that was interrupted."
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
            f"resume_from_checkpoint={str(checkpoint)!r} is not a whole checkpoint: {reason}. Give another one, or true for "
            "the last whole one of output_dir."
        )
    return Path(checkpoint)
