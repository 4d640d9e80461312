"""A model trained with adapters, saved as the whole model that it became."""

import copy
from pathlib import Path

from peft import PeftModel


def save_merged(model: PeftModel, folder: Path) -> None:
    """Merges the adapters into a copy of the model, so that training can go on, and writes the copy.

    Args:
        model (`PeftModel`): The model being trained, whole in this process.
        folder (`Path`): Where.
    """
    copy.deepcopy(model).merge_and_unload().save_pretrained(folder)
