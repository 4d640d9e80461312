"""Matrices of cameras and poses as exporters leave them: numbers in a text file, or NumPy's `.npy`."""

import codecs
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from igep.trainers.data.scenes.spatial_example import SpatialDataError


logger = logging.getLogger(__name__)

MATRIX_SUFFIXES = (".txt", ".npy")
# What C libraries write for numbers that are none: Microsoft's `-1.#IND`, `1.#QNAN0`, `1.#INF`, and `-nan(ind)`,
# `nan(snan)`.
NO_NUMBER = re.compile(r"[+-]?(?:nan\(\w*\)|\d\.#\w*)", re.IGNORECASE)


def read_matrix(path: Path, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Read one matrix.

    Args:
        path (`Path`): Text with one row a line, or `.npy`.
        shapes (`Sequence[tuple[int, int]]`): Shapes that it may have.

    Returns:
        `np.ndarray`: (rows, columns) float64; NaN where the file says that there is no number.

    Raises:
        SpatialDataError: Missing, no matrix of numbers, or of another shape; the message names the file.
    """
    return read_matrices([path], shapes)[0]


def read_matrices(
    paths: Sequence[Path], shapes: Sequence[tuple[int, int]], *, lost_where_empty: bool = False
) -> np.ndarray:
    """Read several matrices of one shape. Lines that are comments are passed over, which the log says once.

    Args:
        paths (`Sequence[Path]`): Files, at least one.
        shapes (`Sequence[tuple[int, int]]`): Shapes that they may have, all the same one.
        lost_where_empty (`bool`, *optional*, defaults to `False`): An empty file stands for a matrix of NaN: exporters
            leave one where they had none to write.

    Returns:
        `np.ndarray`: (files, rows, columns) float64; NaN where a file says that there is no number.

    Raises:
        SpatialDataError: See `read_matrix`.
    """
    matrices, commented = [], []
    for path in paths:
        try:
            matrix, comments = _read_npy(path) if path.suffix.lower() == ".npy" else _read_text(path)
        except FileNotFoundError as error:
            raise SpatialDataError(f"{path}: no such file. Export the scene again.") from error
        except (OSError, ValueError) as error:
            raise SpatialDataError(f"{path}: not a matrix of numbers ({error}). Export this file again.") from error
        if lost_where_empty and not matrix.size and not comments:
            matrix = np.full(shapes[0], np.nan)
        if matrix.shape not in shapes:
            wanted = " or ".join(f"{rows}x{columns}" for rows, columns in shapes)
            raise SpatialDataError(
                f"{path}: a matrix of {'x'.join(str(side) for side in matrix.shape)} numbers, not {wanted}. Write all "
                "of its numbers, one row of the matrix a line."
            )
        matrices.append(matrix)
        commented += [(path, comment) for comment in comments]
    if commented:
        path, comment = commented[0]
        logger.warning("%s: %r is passed over as a comment; %d such lines in all.", path, comment, len(commented))
    if len({matrix.shape for matrix in matrices}) > 1:
        raise SpatialDataError(f"{paths[0].parent}: matrices of several shapes. Export them again, all as one shape.")
    return np.stack(matrices)


def _read_npy(path: Path) -> tuple[np.ndarray, list[str]]:
    if not path.stat().st_size:
        return np.empty((0, 0)), []
    matrix = np.load(path, allow_pickle=False)
    if matrix.dtype.kind not in "iuf":
        raise ValueError(f"numbers of type {matrix.dtype}")
    return matrix.astype(np.float64), []


def _read_text(path: Path) -> tuple[np.ndarray, list[str]]:
    """The matrix, and the lines that are comments."""
    raw = path.read_bytes()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    rows, comments = [], []
    for number, line in enumerate(raw.decode("utf-16" if wide else "utf-8-sig").splitlines(), 1):
        words = line.split()
        if words and words[0].startswith("#"):
            comments.append(line.strip())
        elif words:
            rows.append([_number(word, number) for word in words])
    if not rows:
        return np.empty((0, 0)), comments
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"its lines have {sorted({len(row) for row in rows})} numbers")
    return np.array(rows, dtype=np.float64), comments


def _number(word: str, line: int) -> float:
    if NO_NUMBER.fullmatch(word):
        return np.nan
    if "#" in word:
        raise ValueError(f"line {line} has {word!r} after numbers; write comments on lines of their own")
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"line {line} has {word!r}") from None
