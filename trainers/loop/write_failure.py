"""A disk that is full, or cannot be written for another reason, ends a run in one line that says what is kept."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from igep.trainers.loop.complete_checkpoint import whole_checkpoint


TORCH_WRITER = (
    "inline_container",
    "PytorchStreamWriter",
)  # torch.save tells a failed write by a RuntimeError from there
FULL_BYTES = 1 << 20  # a disk with less room than that is full: torch.save does not say why it failed


class WriteFailedError(OSError):
    """A checkpoint or a model could not be written; the message names the folder and the last whole checkpoint."""


@contextmanager
def says_what_is_kept(folder: Path, output_dir: str | Path) -> Iterator[None]:
    """Turns what a failed write raises into a message of one line.

    Args:
        folder (`Path`): What is being written.
        output_dir (`str` or `Path`): Folder of the run, where its checkpoints lie.

    Raises:
        WriteFailedError: Something could not be written.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(name in str(error) for name in TORCH_WRITER):
            raise
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        is_full |= "No space left" in str(error) or shutil.disk_usage(_existing(folder)).free < FULL_BYTES
        reason = "the disk is full" if is_full else " ".join(str(error).split())
        kept = whole_checkpoint(output_dir)
        rest = (
            "There is no whole checkpoint yet: make room and start again."
            if kept is None
            else f"The last whole checkpoint, {kept}, is kept: make room and set resume_from_checkpoint to true."
        )
        raise WriteFailedError(f"{folder} could not be written: {reason}. {rest}") from error


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
