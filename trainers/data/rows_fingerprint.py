"""Rows to train on, in a few words that change when the rows do: what a resumed run compares."""

import hashlib
from collections.abc import Iterable

import torch

from igep.trainers.data.mixture import drawn_rows
from igep.trainers.data.row_source import SceneRows, TextSource
from igep.trainers.data.scenes.scenes_digest import scenes_digest


DIGITS = 8


def rows_fingerprint(dataset: torch.utils.data.Dataset) -> dict[str, str]:
    """Counts the rows of a dataset and digests their names, texts and scenes, without reading a frame.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.

    Returns:
        `dict[str, str]`: Per part (one of the name "training rows" outside mixtures) its rows with the SHA-256 of
        their names, that of their texts where they are known without reading frames, and that of their scenes
        (`scenes_digest`).
    """
    found = {}
    for part in drawn_rows(dataset, 0):
        found[f"data: {part.name}"] = f"{part.num_rows} rows, names {_digest(part.source.sample_ids)}"
        if isinstance(part.source, TextSource):
            texts = (f"{text.kind} {text.text}" for text in part.source.texts())
            found[f"data: texts of {part.name}"] = _digest(texts)
        if isinstance(part.source, SceneRows):
            found[f"data: scenes of {part.name}"] = scenes_digest(part.source.scene_table)[:DIGITS]
    return found


def _digest(words: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word}\n".encode())
    return digest.hexdigest()[:DIGITS]
