"""The last look at what would be published: no access token and no path of this machine in any text."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from igep.trainers.cards.local_paths import find_local_path


TEXTS = (".json", ".md", ".jinja", ".txt", ".py")
VOCABULARIES = ("vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")  # which may hold any word
_MAKERS = (
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"api_org_[A-Za-z0-9]{20,}",
    r"sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter
    r"A[SK]IA[0-9A-Z]{16}",  # AWS
    r"gh[opsru]_[A-Za-z0-9]{30,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"gl(?:pat|dt|rt|ptt|ft)-[\w-]{20,}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{20,}",  # Slack
    r"xapp-[A-Za-z0-9-]{20,}",
    r"AIza[\w-]{35}",  # Google
    r"ya29\.[\w-]{20,}",
    r"nvapi-[\w-]{40,}",  # NVIDIA
    r"wandb_v\d_[\w-]{40,}",  # Weights & Biases
    r"r8_[A-Za-z0-9]{37,}",  # Replicate
    r"gsk_[A-Za-z0-9]{40,}",  # Groq
    r"xai-[A-Za-z0-9]{40,}",  # xAI
    r"pplx-[A-Za-z0-9]{40,}",  # Perplexity
    r"tgp_v1_[\w-]{30,}",  # Together
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[\w-]{50,}",
    r"dckr_(?:pat|oat)_[\w-]{20,}",  # Docker
    r"do[opr]_v1_[0-9a-f]{64}",  # DigitalOcean
    r"dapi[0-9a-f]{32}",  # Databricks
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    r"lin_api_[A-Za-z0-9]{40}",
    r"ntn_[A-Za-z0-9]{40,}",  # Notion
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",  # a signed JSON web token
)
SECRET = re.compile(
    rf"(?<![A-Za-z0-9_])(?:{'|'.join(_MAKERS)})(?![A-Za-z0-9_])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|AccountKey=[A-Za-z0-9+/]{40,}"  # Azure
    r"|://[^/\s:@\"']+:[^/\s@\"'{}<>]{3,}@"  # a password in an address
    # Where no form tells whose it is, its name does.
    r"|(?i:\b(?:wandb|comet|neptune|clearml|openai|aws_secret_access|azure|mlflow)\w*(?:key|token)\b\W{1,6}[A-Za-z0-9+/=_-]{32,})"
)


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
    if SECRET.search(text):
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
