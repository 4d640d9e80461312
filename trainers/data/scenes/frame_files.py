"""Files that belong to a scene's frames: found by name, whatever their suffix's case, and none counted as nothing."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from igep.trainers.data.scenes.matrix_file import MATRIX_SUFFIXES
from igep.trainers.data.scenes.spatial_example import SpatialDataError


logger = logging.getLogger(__name__)

COMPANIONS = ("thumbs.db", "desktop.ini")  # of Windows; a Mac's `._0.jpg` and `.DS_Store` begin with a dot


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder without what operating systems leave beside: hidden ones, `Thumbs.db`, `desktop.ini`.

    Args:
        folder (`Path`): The folder; it may be missing.

    Returns:
        `list[Path]`: Files in order of their names.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # which knows what is a file without asking for each
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    return [folder / name for name in sorted(names) if name.lower() not in COMPANIONS]


def find_folder(folder: Path, name: str) -> Path:
    """A folder by its name in any case: `Color/` is `color/`.

    Args:
        folder (`Path`): Where it lies; it may be missing.
        name (`str`): Its name in lower case.

    Returns:
        `Path`: The folder, or where it would lie if there is none.

    Raises:
        SpatialDataError: There are two.
    """
    if not folder.is_dir():
        return folder / name
    found = sorted(path for path in folder.iterdir() if path.name.lower() == name and path.is_dir())
    if len(found) > 1:
        raise SpatialDataError(
            f"{folder}: {found[0].name}/ and {found[1].name}/ are two folders of one name. Remove one."
        )
    return found[0] if found else folder / name


def find_frame_files(
    folder: Path,
    names: Sequence[str],
    what: str,
    suffixes: Sequence[str],
    refused: Collection[str] | None = None,
) -> dict[str, Path]:
    """Find the file of each frame.

    Args:
        folder (`Path`): Where the files lie.
        names (`Sequence[str]`): Names of all frames, which their files bear.
        what (`str`): What the files hold, for messages: `depth` or `pose`.
        suffixes (`Sequence[str]`): Suffixes that are read, in lower case; of a frame's files the first counts.
        refused (`Collection[str]`, *optional*): Suffixes of files that would hold the same in a form that is not read,
            where the folder holds other things as well. By default it does not, and every other suffix is refused.

    Returns:
        `dict[str, Path]`: Frame to file; frames without one are not in it.

    Raises:
        SpatialDataError: A frame's file is of a type that is not read, a frame has two in a folder of their own, or
            there are files and none belongs to a frame.
    """
    known = set(names)
    found: dict[str, Path] = {}
    unread: dict[str, Path] = {}
    strangers: list[Path] = []
    for path in visible_files(folder):
        suffix = path.suffix.lower()
        if suffix not in suffixes:
            if refused is None or suffix in refused:
                unread.setdefault(path.stem if path.stem in known else path.name, path)
            continue
        if path.stem not in known:
            if refused is None or suffix not in MATRIX_SUFFIXES:  # a camera's matrix lies beside the frames
                strangers.append(path)
            continue
        other = found.setdefault(path.stem, path)
        if other is path:
            continue
        if refused is None:
            raise SpatialDataError(
                f"{folder}: {other.name} and {path.name} are two {what} files of one frame. Remove one."
            )
        if suffixes.index(suffix) < suffixes.index(other.suffix.lower()):
            found[path.stem] = path
    left = [path for name, path in unread.items() if name not in found and (name in known or not found)]
    if left:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in left)
        raise SpatialDataError(
            f"{left[0]}: {what} in files of this type is not read "
            f"({', '.join(f'{n} of {kind}' for kind, n in kinds.items())}). Convert them to {' or '.join(suffixes)}, "
            "named after their colour images, or move them elsewhere."
        )
    if strangers and not found:
        raise SpatialDataError(
            f"{folder}: none of the {len(strangers)} {strangers[0].suffix} files ({strangers[0].name!r}, ...) belongs "
            f"to a frame. Name each after its colour image, such as {names[0]}{strangers[0].suffix}."
        )
    if refused is None and found and (unread or strangers):
        passed_over = [*unread.values(), *strangers]
        logger.warning(
            "%s: %d files are of no frame's %s and are left out: %s",
            *(folder, len(passed_over), what, ", ".join(path.name for path in passed_over[:5])),
        )
    return found


def find_matrix_file(folder: Path, name: str) -> Path | None:
    """Find a matrix by its name, in text or `.npy`.

    Args:
        folder (`Path`): Where it lies.
        name (`str`): Its name without suffix, such as `intrinsic_color`.

    Returns:
        `Path` or `None`: `None` where there is no file of this name.

    Raises:
        SpatialDataError: It is in a file of another type, or in two.
    """
    files = [path for path in visible_files(folder) if path.stem.lower() == name]
    read = [path for path in files if path.suffix.lower() in MATRIX_SUFFIXES]
    if len(read) > 1:
        raise SpatialDataError(f"{folder}: {read[0].name} and {read[1].name} are two files of one matrix. Remove one.")
    if files and not read:
        raise SpatialDataError(
            f"{files[0]}: a matrix in a file of this type is not read. Write it as text, one row a line: {name}.txt."
        )
    return read[0] if read else None
