"""The last look at what would be published: no access token and no path of this machine in any text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from igep.trainers.cards.local_paths import find_local_path
from igep.trainers.publishing.access_tokens import holds_access_token


TEXTS = (".json", ".md", ".jinja", ".txt", ".py")
VOCABULARIES = ("vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")  # which may hold any word


class LeakError(ValueError):
    """Something that would be published and must not be; the message names the file and the remedy."""


def check_published(file: Path) -> None:
    """Looks at a file that would be published; the header alone of weights.

    Args:
        file (`Path`): Text or safetensors; others are left alone.

    Raises:
        LeakError: It holds what looks like an access token, or a path of this machine.
    """
    if file.suffix == ".safetensors":
        with safe_open(file, framework="numpy") as tensors:
            metadata = tensors.metadata() or {}
        for part in metadata.items():
            for text in part:
                check_text(f"the metadata of {file.name}", text, paths=True)
    elif file.suffix in TEXTS:
        text = file.read_text(encoding="utf-8", errors="replace")
        check_text(file.name, text, paths=False)
        for part in _texts(file, text):
            check_text(file.name, part, paths=True)


def check_text(where: str, text: str, *, paths: bool) -> None:
    """Looks at a text that would be published.

    Args:
        where (`str`): Where it stands, for the message.
        text (`str`): The text.
        paths (`bool`): Look for paths too, not for access tokens alone.

    Raises:
        LeakError: It holds one.
    """
    if holds_access_token(text):
        raise LeakError(
            f"{where} would hold what looks like an access token: remove it from its source, and revoke it."
        )
    if paths and (found := find_local_path(text)) is not None:
        raise LeakError(f"{where} would hold the path {found!r} of this machine: remove it from its source.")


def _texts(file: Path, text: str) -> Iterator[str]:
    """The texts of a file that are looked at for paths."""
    if file.name in VOCABULARIES:
        return
    try:
        content = json.loads(text) if file.suffix == ".json" else text
    except json.JSONDecodeError:
        content = text
    if file.name == "tokenizer.json" and isinstance(content, dict):
        content = {name: part for name, part in content.items() if name not in ("model", "added_tokens")}
    yield from _strings(content)


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, part in content.items():
            yield str(name)
            yield from _strings(part)
    elif isinstance(content, list):
        for part in content:
            yield from _strings(part)
