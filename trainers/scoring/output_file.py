"""Whether a results file can be written, asked before any work is done, and what is said where it cannot."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


FULL = (errno.ENOSPC, errno.EDQUOT)
PROBE_BYTES = 1 << 16


def check_output_file(file: Path, option: str) -> None:
    """Makes the folder of a file and tries whether something can be written there.

    Args:
        file (`Path`): What is to be written later; it is not touched.
        option (`str`): Its name on the command line, for messages.

    Raises:
        OSError: It cannot be written; the message has one line, with the option and what to do.
    """
    try:
        is_folder = file.is_dir()
    except OSError as error:
        raise OSError(f"{option}={str(file)!r} can be no file ({_reason(error)}): name another.") from error
    if is_folder:
        raise IsADirectoryError(
            f"{option}={str(file)!r} is a folder: name a file in it, such as {file / 'scores.json'}."
        )
    folder = file.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{option}={str(file)!r}: the folder {folder} is not there and cannot be made ({_reason(error)}): name a "
            "file in a folder that can be written."
        ) from error
    probe = folder / f".{file.name}.{os.getpid()}.probe"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        raise OSError(
            f"{option}={str(file)!r} cannot be written ({_reason(error)}): make room or change its rights, or name "
            "another file."
        ) from error
    finally:
        _remove(probe)


@contextmanager
def says_answers_are_kept(output: Path) -> Iterator[None]:
    """Turns what a failed write of answers or scores raises into one line.

    Args:
        output (`Path`): The results file.

    Raises:
        OSError: With what is kept, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{output} and the predictions beside it cannot be written ({_reason(error)}). Answers that are there are "
            "kept: make room, and give the same command again."
        ) from error


def _reason(error: OSError) -> str:
    return "the disk is full" if error.errno in FULL else (error.strerror or str(error))


def _remove(probe: Path) -> None:
    try:
        probe.unlink(missing_ok=True)
    except OSError:  # where it could not be made, it cannot be removed either
        return
