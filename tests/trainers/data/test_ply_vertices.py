"""Vertices of PLY files in each encoding, and files that are none or cut off."""

from pathlib import Path

import numpy as np
import pytest
from scannet_tree import write_ply

from igep.trainers.data.ply_vertices import read_ply_vertices
from igep.trainers.data.scenes.spatial_example import SpatialDataError


POINTS = np.array([[1.0, 2.0, 3.0], [-4.5, 0.25, 1e-3], [0.0, -7.0, 8.0], [3.0, 3.0, 3.0]])


def header(form: str, *properties: str, count: int = 4) -> bytes:
    lines = ["ply", f"format {form} 1.0", f"element vertex {count}", *properties, "end_header", ""]
    return "\n".join(lines).encode()


def test_the_mesh_of_a_scan(tmp_path: Path) -> None:
    write_ply(tmp_path / "mesh.ply", POINTS)
    vertices = read_ply_vertices(tmp_path / "mesh.ply")
    assert vertices.dtype == np.float64
    np.testing.assert_allclose(vertices, POINTS, rtol=1e-6)


def test_big_endian_doubles_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    properties = ("property double z", "property short label", "property double x", "property double y")
    table = np.zeros(4, dtype=[("z", ">f8"), ("label", ">i2"), ("x", ">f8"), ("y", ">f8")])
    for axis, values in zip("xyz", POINTS.T, strict=True):
        table[axis] = values
    path.write_bytes(header("binary_big_endian", *properties) + table.tobytes())
    np.testing.assert_array_equal(read_ply_vertices(path), POINTS)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    properties = ("property float x", "property float y", "property float z")
    rows = "\n".join(" ".join(map(str, point)) for point in POINTS)
    path.write_bytes(header("ascii", *properties) + rows.encode() + b"\n3 0 1 2\n")
    np.testing.assert_array_equal(read_ply_vertices(path), POINTS)
    path.write_bytes(header("ascii", *properties, count=9) + rows.encode())
    with pytest.raises(SpatialDataError, match="4 of 9 vertices"):
        read_ply_vertices(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"solid stl", "no PLY header"),
        (header("binary_middle_endian"), "binary_middle_endian"),
        (b"ply\nformat ascii 1.0\nelement face 2\nend_header\n", "first element is not `vertex`"),
        (header("ascii", "property list uchar int x"), "not a single number"),
        (header("ascii", "property float x", "property float y"), "x, y and z are needed"),
        (
            header("ascii", "property float x", "property float y", "property float z", count=1) + b"a b c\n",
            "not numbers",
        ),
        (
            header("ascii", "property float x", "property float y", "property float z", count=1) + b"0 nan 0\n",
            "not finite",
        ),
    ],
)
def test_what_is_no_mesh(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mesh.ply"
    path.write_bytes(content)
    with pytest.raises(SpatialDataError, match=words) as raised:
        read_ply_vertices(path)
    assert str(path) in str(raised.value)


def test_cut_off_and_missing(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    write_ply(path, POINTS)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"end_header\n") + len(b"end_header\n") + 40])
    with pytest.raises(SpatialDataError, match="2 of 4 vertices"):
        read_ply_vertices(path)
    with pytest.raises(SpatialDataError, match=r"none\.ply: not readable"):
        read_ply_vertices(tmp_path / "none.ply")
