"""Depth maps as they are stored, and which of their numbers are measurements."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".npy")
MAY_FLOAT = (".tif", ".tiff", ".npy")
# Also depth, in a form that no library here reads.
UNREAD_DEPTH_SUFFIXES = (
    ".exr",
    ".pfm",
    ".npz",
    ".dpt",
    ".bin",
    ".raw",
    ".mat",
    ".h5",
    ".hdf5",
    ".hdr",
    ".jxl",
    ".jp2",
)
NPY_MAGIC = b"\x93NUMPY"
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Exporters that turn 16-bit depth into floating-point numbers divide its "no measurement" by these as well.
UNITS_PER_METRE = (1, 100, 256, 1000, 4000, 5000)
ENDLESS = 1e9  # renderers write 1e10 and more where a ray meets nothing


def is_npy(source: str | Path | BytesIO | Image.Image) -> bool:
    """Whether a depth map is stored as NumPy's `.npy`.

    Args:
        source (`str`, `Path`, `BytesIO` or `PIL.Image.Image`): File, bytes, or an image.

    Returns:
        `bool`

    Raises:
        OSError: No such file.
    """
    if isinstance(source, Image.Image):
        return False
    if isinstance(source, BytesIO):
        return source.getbuffer()[: len(NPY_MAGIC)] == NPY_MAGIC
    with Path(source).open("rb") as file:
        return file.read(len(NPY_MAGIC)) == NPY_MAGIC


def read_npy_depth(source: str | Path | BytesIO) -> np.ndarray:
    """Read a depth map from `.npy`, without judging its numbers.

    Args:
        source (`str`, `Path` or `BytesIO`): File or bytes.

    Returns:
        `np.ndarray`: (h, w) of any real type.

    Raises:
        ValueError: Damaged, or not one channel of 16 bits or more.
    """
    depth = np.load(source, allow_pickle=False)
    if depth.ndim == 3 and 1 in (depth.shape[0], depth.shape[2]):
        depth = depth[0] if depth.shape[0] == 1 else depth[..., 0]
    if depth.ndim != 2 or depth.dtype.kind not in "iuf" or depth.dtype.itemsize < 2:
        raise ValueError(f"an array of shape {depth.shape} and type {depth.dtype}")
    return depth


def npy_as_image(path: str | Path) -> bytes:
    """The measurements of a `.npy` depth map as an image that holds them as read, for tables that others open as well.

    Args:
        path (`str` or `Path`): The file.

    Returns:
        `bytes`: 16-bit PNG, or TIFF of 32-bit floating-point numbers; 0 = not measured.

    Raises:
        OSError: Missing or unreadable.
        ValueError: See `read_npy_depth`.
    """
    depth = only_measured(read_npy_depth(path))
    buffer = BytesIO()
    Image.fromarray(depth).save(buffer, "PNG" if depth.dtype == np.uint16 else "TIFF")
    return buffer.getvalue()


def image_depth(image: Image.Image) -> np.ndarray:
    """The numbers of a depth map that is an image.

    Args:
        image (`PIL.Image.Image`): The image.

    Returns:
        `np.ndarray`: (h, w) uint16, int32 or float32.

    Raises:
        ValueError: Not one channel of 16 bits or more.
    """
    if image.mode not in (*SIXTEEN_BIT_MODES, "I", "F"):
        raise ValueError(f"an image of mode {image.mode!r}")
    return np.asarray(image)


def is_floating_depth(path: Path) -> bool:
    """Whether a depth map holds floating-point numbers, from the head of its file.

    Args:
        path (`Path`): The file.

    Returns:
        `bool`

    Raises:
        OSError: Missing or unreadable.
        ValueError: A damaged `.npy`.
    """
    if is_npy(path):
        return np.load(path, mmap_mode="r", allow_pickle=False).dtype.kind == "f"
    with Image.open(path) as image:
        return image.mode == "F"


def only_measured(stored: np.ndarray) -> np.ndarray:
    """Stored depth without the values that stand for "no measurement".

    These are what is not finite or not positive; the largest number of the stored type (65535 of 16 bits), also where
    it was written into a wider one or divided by a usual unit; and what only stands for endless.

    Args:
        stored (`np.ndarray`): (h, w), any real type.

    Returns:
        `np.ndarray`: (h, w) uint16 where the numbers are of 16 bits, float32 otherwise; 0 = not measured.
    """
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large for 32 bits is endless
            depth = stored.astype(np.float32)
        known = np.isfinite(depth) & (depth > 0) & (depth < ENDLESS)
        for saturated in (65504, *(65535 / units for units in UNITS_PER_METRE)):
            known &= np.abs(depth - np.float32(saturated)) > 1e-6 * saturated
        return np.where(known, depth, np.float32(0))
    known = (stored > 0) & (stored != np.iinfo(stored.dtype).max)
    if stored.dtype.itemsize > 2 and stored.size:
        # A 16-bit map in a wider type: what was its largest number still is.
        top = stored.max()
        known &= (stored != top) | (top not in (32767, 65535))
    return np.where(known, stored, 0).astype(np.uint16 if stored.dtype == np.uint16 else np.float32)
