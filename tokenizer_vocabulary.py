"""Which class loads a saved tokenizer: that of its model's type, or one that knows nothing but the file."""

import json
from pathlib import Path

from huggingface_hub import hf_hub_download


TOKENIZER_CONFIG = "tokenizer_config.json"
OWN_VOCABULARY = ("TokenizersBackend", "PreTrainedTokenizerFast")  # classes of tokenizers of any kind


def has_own_vocabulary(name_or_path: str | Path, revision: str | None = None) -> bool:
    """Whether a tokenizer is described by its file alone: loaded by the type of its model it would lose every word.

    Args:
        name_or_path (`str` or `Path`): Folder or id.
        revision (`str`, *optional*): Branch, tag or commit on the Hub.

    Returns:
        `bool`
    """
    file = Path(name_or_path) / TOKENIZER_CONFIG
    if not Path(name_or_path).is_dir():
        file = Path(hf_hub_download(str(name_or_path), TOKENIZER_CONFIG, revision=revision))
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("tokenizer_class") in OWN_VOCABULARY
