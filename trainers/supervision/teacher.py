"""What every frozen 3D teacher is: called once per batch during training, to describe what the student should know.

A teacher never receives a gradient, is no part of the model and is never saved. A descriptor of norm zero means "no target
here". One file per teacher beside this one; `build_teacher` makes the one that a recipe asks for.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TeacherGeometry:
    """What is known about the frames besides their colours.

    Args:
        depth_metres (`torch.Tensor`): (B, F, H, W) float32 z-depth; 0 = invalid.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) float32 in pixels of `depth_metres`; NaN = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4) float32; NaN = unknown.
        frame_mask (`torch.Tensor`): (B, F) bool, False for padding.
        scene_ids (`Sequence[str]`): B names.
        frame_ids (`Sequence[Sequence[str]]`): B times the names of the sample's frames (padding has none).
    """

    depth_metres: torch.Tensor
    intrinsics: torch.Tensor
    world_from_camera: torch.Tensor
    frame_mask: torch.Tensor
    scene_ids: Sequence[str]
    frame_ids: Sequence[Sequence[str]]


class Teacher(ABC):
    """Interface of the teachers.

    Attributes:
        channels (`int`): C, width of a descriptor.
        frame_size (`tuple[int, int] | None`): (H, W) of the colour frames it looks at; `None` when it looks at none, so
            that the collator need not prepare them.
    """

    channels: int
    frame_size: tuple[int, int] | None = None

    def to(self, device: torch.device | str) -> "Teacher":
        """Moves whatever the teacher computes with to `device` and returns the teacher."""
        return self

    @abstractmethod
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        """Describes every frame.

        Args:
            frames (`torch.Tensor | None`): (B, F, 3, H, W) uint8 RGB of `frame_size`, whole frames resized without
                cropping; `None` when `frame_size` is `None`.
            geometry (`TeacherGeometry`): Geometry of the same frames.

        Returns:
            `torch.Tensor`: (B, F, h, w, C) float32 without gradient; zero where there is no target.
        """
