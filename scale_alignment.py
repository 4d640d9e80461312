"""Finds the metres that one unit of a relative reconstruction is (Vid-LLM, section 3.3).

Per frame weighted least squares between relative and metric depth, then the median over frames. The paper leaves the
weights open. Here a pixel weighs `confidence / metric^2`, so that relative errors count and far pixels do not decide,
and pixels whose ratio of depths is far from the frame's median ratio are left out: the median holds while outliers are
fewer than half.
"""

import torch
from torch import Tensor

from .camera_geometry import full_precision


DEVIATIONS_PER_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
SMALLEST_SPREAD = 1e-3  # of log ratios: what lies closer to the median is never an outlier


def frame_scales(
    relative_depth: Tensor, metric_depth_metres: Tensor, confidence: Tensor | None = None, trim: float = 3.0
) -> Tensor:
    """`argmin_s sum_i w_i (s r_i - m_i)^2` of every frame, `w_i = confidence_i / m_i^2`, without outliers.

    Args:
        relative_depth (`Tensor`): (..., H, W) r; non-finite or not positive = invalid.
        metric_depth_metres (`Tensor`): (..., H, W) m, likewise.
        confidence (`Tensor`, *optional*): (..., H, W) positive; 1 everywhere unless given.
        trim (`float`, *optional*, defaults to `3.0`): Standard deviations of the log ratio from its median, beyond
            which a pixel is an outlier. Deviations are estimated from the median absolute deviation.

    Returns:
        `Tensor`: (...) metres per unit; NaN for a frame without a valid pixel.
    """
    relative, metric = (full_precision(depth).flatten(-2) for depth in (relative_depth, metric_depth_metres))
    weights = torch.ones_like(relative) if confidence is None else full_precision(confidence).flatten(-2)
    valid = relative.isfinite() & metric.isfinite() & (relative > 0) & (metric > 0)
    ratio = torch.where(valid, relative, 1.0) / torch.where(valid, metric, 1.0)  # units per metre
    logs = ratio.log().masked_fill(~valid, torch.nan)
    distance = (logs - logs.nanmedian(-1, keepdim=True).values).abs()
    spread = DEVIATIONS_PER_MAD * distance.nanmedian(-1, keepdim=True).values
    weights = torch.where(valid & (distance <= (trim * spread).clamp(min=SMALLEST_SPREAD)), weights, 0.0)
    # With weights over m^2 both sums of the normal equation depend on r / m alone.
    return (weights * ratio).sum(-1) / (weights * ratio.square()).sum(-1)


def chosen_frames(frame_mask: Tensor, frames: int, seed: int) -> Tensor:
    """Chooses at most so many real frames of each sample, by a seed and their number alone.

    Args:
        frame_mask (`Tensor`): (B, F) bool.
        frames (`int`): Most frames of a sample.
        seed (`int`): Seed.

    Returns:
        `Tensor`: (B, F) bool.
    """
    chosen = frame_mask.clone()
    for sample in range(len(frame_mask)):
        real = frame_mask[sample].nonzero()[:, 0]
        if len(real) > frames:
            generator = torch.Generator().manual_seed(seed)
            left_out = torch.randperm(len(real), generator=generator)[frames:].to(real.device)
            chosen[sample, real[left_out]] = False
    return chosen


def scene_scale(
    relative_depth: Tensor,
    metric_depth_metres: Tensor,
    confidence: Tensor | None = None,
    frame_mask: Tensor | None = None,
    *,
    frames: int = 16,
    seed: int = 0,
    trim: float = 3.0,
) -> Tensor:
    """Median over frames of `frame_scales`. Nothing passes a gradient: a scale is measured, not learnt.

    Args:
        relative_depth (`Tensor`): (B, F, H, W).
        metric_depth_metres (`Tensor`): (B, F, H, W).
        confidence (`Tensor`, *optional*): (B, F, H, W).
        frame_mask (`Tensor`, *optional*): (B, F) bool, the real frames.
        frames (`int`, *optional*, defaults to `16`): Frames that are looked at; of more, so many are drawn.
        seed (`int`, *optional*, defaults to `0`): Seed of the draw.
        trim (`float`, *optional*, defaults to `3.0`): See `frame_scales`.

    Returns:
        `Tensor`: (B,) metres per unit.

    Raises:
        ValueError: A sample has no pixel whose depths are both valid.
    """
    with torch.no_grad():
        if frame_mask is None:
            frame_mask = torch.ones(relative_depth.shape[:2], dtype=torch.bool, device=relative_depth.device)
        scales = frame_scales(relative_depth, metric_depth_metres, confidence, trim)
        scales = scales.masked_fill(~chosen_frames(frame_mask, frames, seed), torch.nan)
        found = scales.nanquantile(0.5, dim=1)
    if not bool(found.isfinite().all()):
        raise ValueError(
            f"sample {int(found.isfinite().int().argmin())} has no pixel with a valid relative and metric depth, so "
            "its scale is unknown: the weights of the depth heads are not finite, or too large."
        )
    return found
