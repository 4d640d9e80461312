"""A whole JSON file, with an error that names it where it is missing or cut off."""

import json
from pathlib import Path
from typing import Any

from igep.trainers.data.scenes.spatial_example import SpatialDataError


def read_json(path: str | Path, kind: type) -> Any:
    """Read a JSON file.

    Args:
        path (`str | Path`): The file, UTF-8.
        kind (`type`): `list` or `dict`: what the file must hold.

    Returns:
        `Any`: Its content. `NaN` and `Infinity` are read as numbers: whoever uses them checks them.

    Raises:
        SpatialDataError: Missing, cut off, not JSON, or of another kind.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SpatialDataError(f"{path}: no such file. Correct the path.") from error
    except IsADirectoryError as error:
        raise SpatialDataError(f"{path}: a folder, not a file. Name the file in it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpatialDataError(f"{path}: not readable as UTF-8 text ({error}).") from error
    except (ValueError, RecursionError) as error:
        raise SpatialDataError(f"{path}: not JSON, or cut off ({error}). Copy or download the file again.") from error
    if not isinstance(content, kind):
        wanted = {list: "a list", dict: "an object"}[kind]
        raise SpatialDataError(f"{path}: a {type(content).__name__}, not {wanted}. Is it another file?")
    return content
