"""Which class loads a saved tokenizer: that of its model's type, or one that knows nothing but the file."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from transformers import PreTrainedTokenizerFast


TOKENIZER_CONFIG = "tokenizer_config.json"
OWN_VOCABULARY = ("TokenizersBackend", "PreTrainedTokenizerFast")  # classes of tokenizers of any kind


def own_tokenizer(
    name_or_path: str | Path, revision: str | None = None, **options: Any
) -> PreTrainedTokenizerFast | None:
    """A tokenizer that is described by its file alone: loaded by the type of its model it would lose every word.

    Args:
        name_or_path (`str` or `Path`): Folder or id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.
        **options: Further arguments of `from_pretrained`.

    Returns:
        `PreTrainedTokenizerFast` or `None`: `None` where a class of its own loads it.
    """
    file = Path(name_or_path) / TOKENIZER_CONFIG
    if not Path(name_or_path).is_dir():
        file = Path(hf_hub_download(str(name_or_path), TOKENIZER_CONFIG, revision=revision))
    if not file.is_file() or json.loads(file.read_text(encoding="utf-8")).get("tokenizer_class") not in OWN_VOCABULARY:
        return None
    return PreTrainedTokenizerFast.from_pretrained(name_or_path, revision=revision, **options)
