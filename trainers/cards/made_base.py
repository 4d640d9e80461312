"""A base that igep makes, such as the tiny one with further words: it says so, as do cards of models trained on it."""

from pathlib import Path

from huggingface_hub import ModelCard

from igep.trainers.package_files import TINY_BASE


def write_made_by(folder: Path, command: str) -> None:
    """Gives a base that was made of the tiny one its card: the same licence, and the command that makes it.

    Args:
        folder (`Path`): The saved base.
        command (`str`): As one types it, such as `igep demo-rooms`.
    """
    card = ModelCard.load(Path(TINY_BASE) / "README.md")
    card.data.made_by = command
    card.save(folder / "README.md")


def made_by(base_model: str) -> str | None:
    """The command that makes a base.

    Args:
        base_model (`str`): Folder or id on the Hub.

    Returns:
        `str` or `None`: `None` where no folder says so.
    """
    file = Path(base_model) / "README.md"
    if not base_model or not file.is_file():
        return None
    try:
        stated = ModelCard.load(file, ignore_metadata_errors=True).data.to_dict().get("made_by")
    except ValueError:  # no metadata that can be read
        return None
    return stated if isinstance(stated, str) else None
