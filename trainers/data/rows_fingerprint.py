"""Rows to train on, in a few words that change when the rows do: what a resumed run compares."""

import hashlib
from typing import Any

import torch

from igep.trainers.data.mixture import drawn_rows


def rows_fingerprint(dataset: torch.utils.data.Dataset) -> dict[str, Any]:
    """Counts the rows of a dataset and digests their names, without reading them.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.

    Returns:
        `dict[str, Any]`: Per part (one of the name "training rows" outside mixtures) its rows and SHA-256 of their names.
    """
    found = {}
    for part in drawn_rows(dataset, 0):
        names = hashlib.sha256()
        for name in part.source.sample_ids:
            names.update(f"{name}\n".encode())
        found[part.name] = f"{part.num_rows} rows, names {names.hexdigest()[:12]}"
    return found
