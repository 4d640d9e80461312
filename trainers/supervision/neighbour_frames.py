"""Which other frames the cross-view loss compares each frame with: one at random, or all that follow it closely."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def draw_neighbours(
    usable: torch.Tensor, sample_ids: Sequence[str], *, seed: int, step: int, window: int
) -> torch.Tensor:
    """Draws a neighbour for every frame, as a function of the seed, the step and the sample's name alone.

    So the draw depends neither on how samples are spread over ranks and micro-batches, nor on what was drawn before: a
    resumed run draws what the uninterrupted one does.

    Args:
        usable (`torch.Tensor`): (B, F) bool, frames with known camera.
        sample_ids (`Sequence[str]`): B names.
        seed (`int`): Seed of the run.
        step (`int`): Optimiser step.
        window (`int`): Largest distance in frames between a frame and its neighbour.

    Returns:
        `torch.Tensor`: (B, F) int64 on the device of `usable`; -1 where a frame has no usable neighbour.
    """
    frames = usable.shape[1]
    digests = [hashlib.blake2b(f"{seed}/{step}/{name}".encode(), digest_size=8).digest() for name in sample_ids]
    state = np.frombuffer(b"".join(digests), dtype=np.uint64)[:, None] + np.arange(frames, dtype=np.uint64)
    known = usable.cpu().numpy()
    distance = np.abs(np.arange(frames)[:, None] - np.arange(frames))
    candidate = known[:, :, None] & known[:, None, :] & (distance > 0) & (distance <= window)
    count = candidate.sum(-1)
    wanted = (_scramble(state) % np.maximum(count, 1).astype(np.uint64)).astype(np.int64)
    chosen = (candidate & (candidate.cumsum(-1) == wanted[..., None] + 1)).argmax(-1)
    return torch.from_numpy(np.where(count > 0, chosen, -1)).to(usable.device)


def following_frames(usable: torch.Tensor, reach: int) -> torch.Tensor:
    """The next frames of every frame, and of the last one itself, as the authors of 3D-IDE pair them.

    Args:
        usable (`torch.Tensor`): (B, F) bool, real frames with known camera.
        reach (`int`): How many of the next frames.

    Returns:
        `torch.Tensor`: (B, F, reach) int64 on the device of `usable`; -1 where a frame or the one that follows cannot
        be used.
    """
    frames = usable.shape[1]
    number = torch.arange(frames, device=usable.device)
    following = number[:, None] + torch.arange(1, reach + 1, device=usable.device)  # (F, reach)
    inside = following < frames
    paired = usable[:, :, None] & usable[:, following.clamp(max=frames - 1)] & inside
    index = torch.where(paired, following, -1)
    last = frames - 1 - usable.flip(1).long().argmax(1)  # of each sample
    sample = torch.arange(len(usable), device=usable.device)[usable.any(1)]
    index[sample, last[sample], 0] = last[sample]
    return index


def _scramble(state: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 (Steele et al., 2014): consecutive states become independent draws."""
    with np.errstate(over="ignore"):
        state = state * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
