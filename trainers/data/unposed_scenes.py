"""Scenes that have depth and no camera poses, found before training and without reading a frame."""

import torch

from igep.trainers.data.mixture import MixtureDataset
from igep.trainers.data.row_source import RowsOfScenes


def scenes_with_depth_alone(dataset: torch.utils.data.Dataset) -> list[str]:
    """Names the scenes with depth and no poses that a run is sure to read.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.

    Returns:
        `list[str]`: Scenes that rows are about, and of which every frame has a depth map. Not looked at are rows that
        do not say what scene they are about, and parts of a mixture that are not drawn or not drawn from in full.
    """
    found = []
    for source in _read_in_full(dataset):
        if isinstance(source, RowsOfScenes):
            alone = set(source.scene_numbers) & set(source.scene_table.with_depth_alone())
            found += [source.scene_table.scene_ids[number] for number in sorted(alone)]
    return found


def _read_in_full(dataset: torch.utils.data.Dataset) -> list[torch.utils.data.Dataset]:
    if not isinstance(dataset, MixtureDataset):
        return [dataset]
    return [
        part.dataset
        for part, share in zip(dataset.parts, dataset.shares.tolist(), strict=True)
        if share > 0 and part.num_rows == len(part.dataset)
    ]
