"""Which files at the root ship inside which model, read from the models' own imports."""

from collections.abc import Mapping
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

from igep.modeling_igep import AUTO_MAP
from igep.modeling_vid_llm import AUTO_MAP as VID_LLM_AUTO_MAP
from igep.trainers.package_files import PACKAGE


AUTO_MAPS = {"igep": AUTO_MAP, "vid_llm": VID_LLM_AUTO_MAP}  # by model type


def code_of(auto_map: Mapping[str, str]) -> tuple[str, ...]:
    """Names the files that load a model: those of its Auto classes and what they import, as transformers copies them.

    Args:
        auto_map (`Mapping[str, str]`): Auto classes, each with `"<file>.<class>"`.

    Returns:
        `tuple[str, ...]`: Names of files at the root, sorted.
    """
    files = {PACKAGE / f"{reference.split('.')[0]}.py" for reference in auto_map.values()}
    files |= {Path(imported) for file in files for imported in get_relative_import_files(file)}
    return tuple(sorted(file.name for file in files))


def shipped_code() -> dict[str, tuple[str, ...]]:
    """Names the files that ship with each model, by model type."""
    return {model_type: code_of(auto_map) for model_type, auto_map in AUTO_MAPS.items()}
