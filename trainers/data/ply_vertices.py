"""Vertices of a mesh in the PLY format, as ScanNet stores its meshes; faces are not read."""

from pathlib import Path

import numpy as np

from igep.trainers.data.scenes.spatial_example import SpatialDataError


BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
KINDS = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
HEADER_BYTES = 1 << 16  # of a real file, a few hundred


def read_ply_vertices(path: str | Path) -> np.ndarray:
    """Read the positions of a mesh's vertices.

    Args:
        path (`str | Path`): PLY file of format 1.0, binary or text, whose first element is `vertex`.

    Returns:
        `np.ndarray`: (N, 3) float64, in the file's order.

    Raises:
        SpatialDataError: Missing, not PLY, cut off, or a position that is not finite.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpatialDataError(f"{path}: not readable ({error}). Download the scan's mesh again.") from error
    end = data.find(b"end_header", 0, HEADER_BYTES)
    start = data.find(b"\n", end) + 1
    if not data.startswith(b"ply") or end < 0 or start == 0:
        raise SpatialDataError(f"{path}: no PLY header. Download the scan's mesh again.")
    lines = [line.split() for line in data[:end].decode("ascii", errors="replace").splitlines()]
    order, count, fields = _vertex_layout(path, lines)
    if order is None:
        rows = data[start:].split(b"\n")[:count]
        try:
            values = np.array([row.split()[: len(fields)] for row in rows if row.strip()], dtype=np.float64)
        except ValueError as error:
            raise SpatialDataError(f"{path}: vertices are not numbers ({error}). Download it again.") from error
        if values.shape != (count, len(fields)):
            raise SpatialDataError(
                f"{path}: {len(values)} of {count} vertices are there: it is cut off. Download it again."
            )
        names = [name for name, _ in fields]
        vertices = values[:, [names.index(axis) for axis in "xyz"]]
    else:
        layout = np.dtype([(name, order + kind) for name, kind in fields])
        available = (len(data) - start) // layout.itemsize
        if available < count:
            raise SpatialDataError(
                f"{path}: {available} of {count} vertices are there: it is cut off. Download it again."
            )
        table = np.frombuffer(data, dtype=layout, count=count, offset=start)
        vertices = np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1)
    if not np.isfinite(vertices).all():
        raise SpatialDataError(f"{path}: a vertex is not finite. Download the scan's mesh again.")
    return vertices


def _vertex_layout(path: Path, lines: list[list[str]]) -> tuple[str | None, int, list[tuple[str, str]]]:
    """Byte order (`None` for text), number of vertices, and the properties of one with their NumPy types."""
    form = next((line[1] for line in lines if len(line) > 1 and line[0] == "format"), "")
    if form != "ascii" and form not in BYTE_ORDERS:
        raise SpatialDataError(f"{path}: format {form!r}, not ascii or {' or '.join(BYTE_ORDERS)}.")
    elements = [number for number, line in enumerate(lines) if line and line[0] == "element"]
    if not elements or len(lines[elements[0]]) != 3 or lines[elements[0]][1] != "vertex":
        raise SpatialDataError(f"{path}: its first element is not `vertex`. Give the mesh as ScanNet stores it.")
    number = lines[elements[0]][2]
    stop = elements[1] if len(elements) > 1 else len(lines)
    properties = [line for line in lines[elements[0] + 1 : stop] if line and line[0] == "property"]
    for line in properties:
        if len(line) != 3 or line[1] not in KINDS:
            raise SpatialDataError(f"{path}: vertex property {' '.join(line)!r} is not a single number.")
    fields = [(name, KINDS[kind]) for _, kind, name in properties]
    if not number.isdecimal() or not {"x", "y", "z"} <= {name for name, _ in fields}:
        raise SpatialDataError(
            f"{path}: {number} vertices with {[name for name, _ in fields]}: x, y and z are needed."
        )
    return BYTE_ORDERS.get(form), int(number), fields
