"""Rows whose scenes have depth and no camera poses, found before training and without reading a frame."""

import torch

from igep.trainers.data.mixture import drawn_rows
from igep.trainers.data.row_source import SceneRows


def rows_with_depth_alone(dataset: torch.utils.data.Dataset) -> list[str]:
    """Names the rows of scenes that have depth maps and no poses.

    Args:
        dataset (`torch.utils.data.Dataset`): What is trained on: a mixture, a row source, or any map-style dataset.

    Returns:
        `list[str]`: Names of the rows, in order. Of rows that are not about scenes of a table nothing is known before
        they are read.
    """
    found = []
    for part in drawn_rows(dataset, 0):
        if isinstance(part.source, SceneRows):
            scenes = tuple(f"{scene_id}/" for scene_id in part.source.scene_table.scenes_with_depth_alone())
            found += [name for name in part.source.sample_ids if name.startswith(scenes)] if scenes else []
    return found
