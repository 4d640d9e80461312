"""The weights of a saved model on disk: which files they are, their digest, their number."""

import hashlib
import json
import math
from pathlib import Path

from safetensors import safe_open


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CHUNK_BYTES = 1 << 24


def weights_files(folder: Path) -> list[Path]:
    """The files that `from_pretrained` reads weights from.

    Args:
        folder (`Path`): A saved model.

    Returns:
        `list[Path]`: In the order of their names; empty where the folder holds no safetensors of a whole model.
    """
    if (folder / INDEX).is_file():
        names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(names)]
    return [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else []


def weights_sha256(folder: Path) -> str | None:
    """Digest of a model's weights: that of its file, as `sha256sum` prints it, or of its shards one after the other.

    Args:
        folder (`Path`): A saved model.

    Returns:
        `str` or `None`: Hexadecimal; `None` where the folder holds no safetensors of a whole model.

    Raises:
        OSError: A file of the weights cannot be read.
    """
    digest = hashlib.sha256()
    files = weights_files(folder)
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest() if files else None


def parameters_on_disk(folder: Path) -> int:
    """Number of parameters in a model's weights.

    Args:
        folder (`Path`): A saved model.

    Returns:
        `int`: Tied ones once.
    """
    count = 0
    for file in weights_files(folder):
        with safe_open(file, framework="numpy") as weights:
            count += sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    return count
