"""VGGT's patch encoder as a teacher, which Vid-LLM distils its geometry stream from. VGGT is installed by the user."""

import torch

from igep.trainers.supervision.teacher import Teacher, TeacherGeometry


PATCH_SIZE = 14
FRAME_SIZE = (392, 518)  # VGGT's width, at the aspect of ScanNet's frames
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as VGGT normalises
INSTALL = "pip install git+https://github.com/facebookresearch/vggt.git"


class VGGTTeacher(Teacher):
    """Normalised patch tokens of the DINOv2-L inside VGGT, without the blocks that relate frames.

    Its weights are CC BY-NC 4.0. Descriptors can also be written once and read by `PrecomputedTeacher`.

    Args:
        name_or_path (`str`, *optional*, defaults to `"facebook/VGGT-1B"`): Hub id or folder.
        frame_size (`tuple[int, int]`, *optional*, defaults to `(392, 518)`): (H, W) to look at, in whole patches of 14 pixels.
        frames_per_forward (`int`, *optional*, defaults to `16`): Frames per forward pass, bounds memory.

    Raises:
        ImportError: VGGT is not installed.
        ValueError: The frame size is no whole number of patches.
    """

    def __init__(
        self,
        name_or_path: str = "facebook/VGGT-1B",
        frame_size: tuple[int, int] = FRAME_SIZE,
        frames_per_forward: int = 16,
    ):
        try:
            from vggt.models.vggt import VGGT
        except ImportError as error:
            raise ImportError(
                f"teacher 'vggt' needs VGGT, which is on no package index: {INSTALL}; or use teacher 'backbone' with a DINOv2, or "
                "'precomputed'."
            ) from error
        if any(side % PATCH_SIZE for side in frame_size):
            raise ValueError(f"frame_size={frame_size} must be multiples of {PATCH_SIZE} pixels.")
        self.frame_size = tuple(frame_size)
        self.frames_per_forward = frames_per_forward
        # The aggregator and the heads, three quarters of the weights, are let go.
        self.encoder = VGGT.from_pretrained(name_or_path).aggregator.patch_embed.eval().requires_grad_(False)
        self.mean, self.std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
        self.channels = self._describe(torch.zeros(1, 3, *self.frame_size, dtype=torch.uint8)).shape[-1]

    def to(self, device: torch.device | str) -> "VGGTTeacher":
        self.encoder = self.encoder.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        if frames is None or tuple(frames.shape[-2:]) != self.frame_size:
            shape = None if frames is None else tuple(frames.shape)
            raise ValueError(f"Teacher 'vggt' looks at frames of {self.frame_size}, got {shape}.")
        mask = geometry.frame_mask
        described = torch.cat([self._describe(part) for part in frames[mask].split(self.frames_per_forward)])
        descriptors = described.new_zeros(*mask.shape, *described.shape[1:])
        descriptors[mask] = described
        return descriptors

    @torch.no_grad()
    def _describe(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 -> (N, h, w, C) float32."""
        tokens = self.encoder((frames / 255 - self.mean) / self.std)["x_norm_patchtokens"]
        return tokens.unflatten(1, tuple(side // PATCH_SIZE for side in self.frame_size)).float()
