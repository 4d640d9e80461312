"""One spelling for each place on this machine, so runs can be compared by what they read, not how it was written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


PLACES = ("_path", "_file", "_folder")  # how names of options end that may hold one


def with_resolved_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose local files and folders are absolute paths without links; anything else stays, as Hub ids do.

    Args:
        options (`Mapping[str, Any]`): Options by name; `mixture` holds further ones, one mapping or its YAML for each
            part.

    Returns:
        `dict[str, Any]`: All of them.
    """
    resolved = {}
    for name, value in options.items():
        if name == "mixture" and value is not None:
            parts = [yaml.safe_load(part) if isinstance(part, str) else part for part in value]
            value = [with_resolved_paths(part) for part in parts]
        elif name.endswith(PLACES) and isinstance(value, str | Path) and Path(value).exists():
            value = str(Path(value).resolve())
        resolved[name] = value
    return resolved
