"""Scenes in a few characters that change when their geometry does: cameras, poses, boxes, units and file sizes."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable


IMAGES = ("frames", "depth")
SCENES_LOOKED_AT, FRAMES_LOOKED_AT = 16, 3  # whose images are asked for their size


def scenes_digest(scenes: SceneTable) -> str:
    """Digests every column but the images, and of a few images of a few scenes the size in bytes. None is decoded.

    Args:
        scenes (`SceneTable`): The scenes.

    Returns:
        `str`: SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256()
    for columns in scenes.columns_without(IMAGES):
        for name, column in columns.items():
            digest.update(name.encode())
            _add(digest, column)
    for number in uniform_frame_indices(len(scenes), min(len(scenes), SCENES_LOOKED_AT)).tolist():
        count = scenes.num_frames(number)
        frames = uniform_frame_indices(count, min(count, FRAMES_LOOKED_AT)).tolist()
        row = scenes.row(number, frames)
        sizes = [[_num_bytes(image) for image in row[name] or ()] for name in IMAGES]
        digest.update(f"{number} {frames} {sizes}\n".encode())
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", values: pa.Array) -> None:
    """Adds the values of a column, and how its lists are divided."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        digest.update(values.value_lengths().fill_null(-1).to_numpy().tobytes())
        _add(digest, values.flatten())
    elif pa.types.is_struct(values.type):
        for field in values.flatten():
            _add(digest, field)
    elif pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        digest.update(values.to_numpy(zero_copy_only=False).tobytes())
    else:
        digest.update(repr(values.to_pylist()).encode())


def _num_bytes(image: dict[str, Any] | None) -> int | None:
    """Size of a stored image; `None` where there is none."""
    if image is None:
        return None
    if image["bytes"] is not None:
        return len(image["bytes"])
    path = Path(image["path"])
    return path.stat().st_size if path.is_file() else None
