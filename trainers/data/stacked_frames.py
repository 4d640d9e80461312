"""The colours of some samples as one tensor: what a teacher looks at, and what the photometric term compares."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def stacked_frames(clips: Sequence[Sequence[Image.Image]], size: tuple[int, int], longest: int) -> torch.Tensor:
    """Stacks the frames of some samples at one size.

    Args:
        clips (`Sequence[Sequence[PIL.Image.Image]]`): B times up to F RGB frames.
        size (`tuple[int, int]`): (H, W) that they are resized to, without cropping.
        longest (`int`): F; shorter samples are padded with black.

    Returns:
        `torch.Tensor`: (B, F, 3, H, W) uint8.
    """
    height, width = size
    pixels = np.zeros((len(clips), longest, height, width, 3), dtype=np.uint8)
    for row, clip in enumerate(clips):
        for column, frame in enumerate(clip):
            if frame.size != (width, height):
                frame = frame.resize((width, height), Image.Resampling.BICUBIC)
            pixels[row, column] = np.asarray(frame)
    return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3)
