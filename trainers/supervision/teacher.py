"""What every frozen 3D teacher is: called once per batch during training, to describe what the student should know.

A teacher never receives a gradient, is no part of the model and is never saved. A descriptor of norm zero means "no
target here". One file per teacher beside this one; `build_teacher` makes the one that a recipe asks for.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from igep.training_heads import scatter_frames


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
        frame_size (`tuple[int, int] | None`): (H, W) of the colour frames it looks at; `None` when it looks at none,
            so that the collator need not prepare them.
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


class ColourTeacher(Teacher):
    """A teacher that looks at colours and at nothing else.

    Attributes:
        name (`str`): What error messages call it.
        frame_size (`tuple[int, int]`): (H, W) of the frames it looks at.
    """

    name: str
    frame_size: tuple[int, int]

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        if frames is None or tuple(frames.shape[-2:]) != self.frame_size:
            shape = None if frames is None else tuple(frames.shape)
            raise ValueError(
                f"Teacher {self.name!r} looks at frames of {self.frame_size}, got {shape}: make the collator with "
                "teacher_frame_size=teacher.frame_size."
            )
        return scatter_frames(self.describe_real(frames, geometry.frame_mask), geometry.frame_mask)

    @abstractmethod
    def describe_real(self, frames: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Describes the frames that are no padding.

        Args:
            frames (`torch.Tensor`): (B, F, 3, H, W) uint8 RGB.
            frame_mask (`torch.Tensor`): (B, F) bool with R frames that are real.

        Returns:
            `torch.Tensor`: (R, h, w, C) float32, sample by sample.
        """
