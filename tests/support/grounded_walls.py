"""Samples answered by boxes: the slanted walls, cut into panels, of which descriptions mean one, several or none."""

from dataclasses import replace

import numpy as np
import torch
from tiny_training import SlantedWalls

from igep.spatial_prompts import GROUND_ANY_NUMBER, GROUND_ONE, GROUND_TOKEN
from igep.trainers.data.scenes.spatial_example import SpatialExample


def panels(count: int) -> np.ndarray:
    """(P, 6) boxes side by side that the wall z = 2 + x / 2 runs through."""
    centres = np.linspace(-1, 1, max(count, 2))[:count]
    return np.array([[x, 0, 2 + x / 2, 2 / count, 4, 1.2] for x in centres]).reshape(-1, 6)


class GroundedWalls(torch.utils.data.Dataset):
    """Of each four rows the first means one of 3 boxes, the second two of 4, the third none of 2 and asks in words as
    well, the fourth is of `SlantedWalls` and has no question.

    Args:
        rows (`int`): Number of samples.
        num_frames (`int`): Frames of a sample.
    """

    def __init__(self, rows: int = 8, num_frames: int = 2):
        self.walls = SlantedWalls(rows, num_frames)

    def __len__(self) -> int:
        return len(self.walls)

    def __getitem__(self, row: int) -> SpatialExample:
        wall = self.walls[row]
        asked = ((GROUND_ONE.format(description=f"Panel {row}."), GROUND_TOKEN),)
        some = ((GROUND_ANY_NUMBER.format(description=f"Panels {row}."), GROUND_TOKEN),)
        changes = (
            {"conversation": asked, "proposals": panels(3), "ground_targets": ((row % 3,),)},
            {"conversation": some, "proposals": panels(4), "ground_targets": ((0, 2),)},
            {
                "conversation": (("Is it slanted?", "yes"), *some),
                "proposals": panels(2),
                "ground_targets": (None, ()),
            },
            {},
        )[row % 4]
        return replace(wall, **changes)
