"""Matrices as exporters write them, and what in such a file is never dropped in silence."""

import codecs
from pathlib import Path

import numpy as np
import pytest

from igep.trainers.data.scenes.matrix_file import read_matrices, read_matrix
from igep.trainers.data.scenes.spatial_example import SpatialDataError


POSE = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, -2e-3], [0, 0, 1, 3], [0, 0, 0, 1]])
TEXT = "0 -1 0 .5\n1 0 0 -2e-3\n\n0\t0 1 3 \n0 0 0 1"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
)
def test_text_of_any_editor_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.TXT"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_matrix(path, ((4, 4),)), POSE)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_npy(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "0.npy", np.eye(3, dtype=kind))
    matrix = read_matrix(tmp_path / "0.npy", ((3, 3), (4, 4)))
    np.testing.assert_array_equal(matrix, np.eye(3))
    assert matrix.dtype == np.float64


@pytest.mark.parametrize(
    "word",
    [
        *("nan", "NaN", "-nan", "inf", "-inf", "-Infinity", "nan(ind)", "-nan(ind)", "nan(snan)"),
        *("-1.#IND", "-1.#IND00", "1.#QNAN", "1.#QNAN0", "1.#INF", "-1.#INF00", "1.#SNAN", "1.#J"),
    ],
)
def test_what_c_libraries_write_for_no_number_is_no_number(tmp_path: Path, word: str) -> None:
    path = tmp_path / "0.txt"
    path.write_text("\n".join([f"1 0 0 {word}", f"0 {word} 0 0", "0 0 1 0", "0 0 0 1"]))
    matrix = read_matrix(path, ((4, 4),))
    assert np.argwhere(~np.isfinite(matrix)).tolist() == [[0, 3], [1, 1]]


@pytest.mark.parametrize("line", ["1 0 0 # 0.5", "1 0 0 #0.5", "1 0 0 0.5#", "1 0 0#0.5"])
def test_numbers_before_a_hash_are_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "0.txt"
    path.write_text(f"{line}\n0 1 0\n0 0 1")
    with pytest.raises(SpatialDataError, match=r"0\.txt: not a matrix.*line 1.*'.*#.*'.*lines of their own"):
        read_matrix(path, ((3, 3), (4, 4)))


def test_lines_of_comments_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(3)]
    for path in paths:
        path.write_text("# camera to world\n1 0 0\n0 1 0\n0 0 1\n")
    assert read_matrices(paths, ((3, 3),)).shape == (3, 3, 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"{paths[0]}: '# camera to world' is passed over as a comment; 3 such lines in all."
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0x0 numbers, not 3x3 or 4x4"),
        (b"1 2\n3 4", r"2x2 numbers.*one row of the matrix a line"),
        (b"1 2 3\n4 5\n6 7 8", r"its lines have \[2, 3\] numbers"),
        (b"1 2 x\n4 5 6\n7 8 9", "line 1 has 'x'"),
        (b"\xff\xfe\x00", "not a matrix of numbers"),
        (b"\x80\x81", "not a matrix of numbers"),
    ],
)
def test_what_is_no_matrix_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "0.txt"
    path.write_bytes(content)
    with pytest.raises(SpatialDataError, match=words) as caught:
        read_matrix(path, ((3, 3), (4, 4)))
    assert str(path) in str(caught.value)


def test_an_npy_that_is_no_matrix_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0.npy"
    for content, words in ((np.ones((2, 3, 3)), "2x3x3 numbers"), (np.array([["1"]]), "numbers of type <U1")):
        np.save(path, content)
        with pytest.raises(SpatialDataError, match=words):
            read_matrix(path, ((3, 3),))
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(SpatialDataError, match=r"0\.npy: not a matrix"):
        read_matrix(path, ((3, 3),))
    with pytest.raises(SpatialDataError, match="no such file"):
        read_matrix(tmp_path / "1.npy", ((3, 3),))
