"""The `config.json` of a saved model, which others read: it names no folder of this machine."""

import json
from pathlib import Path
from typing import Any

from igep.trainers.cards.local_paths import is_local_path, last_name


def name_bases(folder: Path) -> None:
    """Cuts what transformers notes about where a model came from to its last name, where that is a path.

    Args:
        folder (`Path`): A saved model; nothing happens without `config.json`, as where an adapter lies alone.
    """
    file = folder / "config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(_without_paths(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _without_paths(value: Any) -> Any:
    """A configuration whose `_name_or_path` names no folder of this machine."""
    if isinstance(value, dict):
        return {
            name: last_name(part) if name == "_name_or_path" and _is_local(part) else _without_paths(part)
            for name, part in value.items()
        }
    return [_without_paths(part) for part in value] if isinstance(value, list) else value


def _is_local(name: Any) -> bool:
    # An id on the Hub has at most one slash and does not begin with one.
    return isinstance(name, str) and (is_local_path(name) or Path(name).exists() or name.count("/") > 1)
