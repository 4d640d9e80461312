"""What of a run's options others may see: no tokens, no places on this machine."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from igep.trainers.cards.local_paths import is_local_path, last_name
from igep.trainers.package_files import PACKAGE


NOT_OF_THE_METHOD = (
    *("output_dir", "hub_model_id", "push_to_hub", "hub_private_repo", "run_name", "logging_dir", "report_to"),
    *("resume_from_checkpoint", "config"),
)
SECRET_OPTION = re.compile(r"(^|_)(token|secret|password|passwd|credentials?|api_key|access_key)$", re.IGNORECASE)
PLACE_OPTION = re.compile(r"(_path|_file|_dir|_root|_folder)$")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def shared_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """The options of a recipe that others need: no tokens, no places on this machine, paths cut to their last name.

    Args:
        recipe (`dict`): Option to value.

    Returns:
        `dict`: With values that JSON and YAML can hold.
    """
    mixture = {"mixture": mixture_entries(recipe)} if recipe.get("mixture") else {}
    return {name: part for name, part in _plain("", {**recipe, **mixture}).items() if name not in NOT_OF_THE_METHOD}


def mixture_entries(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a recipe's mixture; on a command line each is YAML.

    Args:
        recipe (`dict`): Option to value.

    Returns:
        `list[dict]`: Option to value; empty without a mixture.
    """
    entries = [yaml.safe_load(entry) if isinstance(entry, str) else entry for entry in recipe.get("mixture") or []]
    return [entry for entry in entries if isinstance(entry, dict)]


def shared_path(name: str) -> str:
    """A path of this machine as its last name; ids on the Hub and files of this repository stay whole.

    Args:
        name (`str`): A path or an id.

    Returns:
        `str`
    """
    path = Path(name).expanduser()
    is_inside = path.parts and not path.is_absolute() and ".." not in path.parts
    if (is_inside and path.parts[0] != "outputs" and (PACKAGE / path).exists()) or is_hub_id(name):
        return name
    return last_name(name) if is_local_path(name) else path.absolute().name


def is_hub_id(name: str) -> bool:
    """Whether a name is `user/name`, and no path that is there.

    Args:
        name (`str`): A path or an id.

    Returns:
        `bool`
    """
    return HUB_ID.fullmatch(name) is not None and not Path(name).exists()


def _plain(name: str, value: Any) -> Any:
    """A value as JSON and YAML hold it, without secrets and without places of this machine."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(str(key), part) for key, part in value.items() if not SECRET_OPTION.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_plain(name, part) for part in value]
    if isinstance(value, (str, Path)):
        return shared_path(str(value)) if PLACE_OPTION.search(name) or is_local_path(str(value)) else str(value)
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
