"""What Vid-LLM's metric depth learns from: the logarithmic error, its mean as scale and its rest as shape (`L_MD`)."""

import torch
from torch import Tensor

from igep.camera_geometry import full_precision
from igep.trainers.supervision.geometry_losses import measured_pixels
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast, sample_mean


@outside_autocast
def metric_depth_loss(
    predicted_depth_metres: Tensor, depth_metres: Tensor, alpha: float = 1.0, epsilon_metres: float = 1e-3
) -> Tensor:
    """Error of the scale, and robust error of what is left: `b^2 + 1/K sum (e_i - b)^2 / (1 + alpha |e_i - b|)`.

    `e = log(d + eps) - log(d_gt + eps)` over the K measured pixels of a frame and `b` their mean. A prediction that is
    wrong by one factor throughout costs the square of its logarithm and, but for `eps`, nothing else.

    Where the paper is silent: `b` belongs to a frame, as the metric depth is predicted frame by frame; `alpha` and
    `eps`.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W) z-depth, above `-eps` wherever depth is measured.
        depth_metres (`torch.Tensor`): (B, F, H, W) ground truth; 0, negative or non-finite = not measured.
        alpha (`float`, *optional*, defaults to `1.0`): 0 = plain squares; larger values bend large errors towards
            linear ones.
        epsilon_metres (`float`, *optional*, defaults to `1e-3`): Added to both depths.

    Returns:
        `torch.Tensor`: (B,) mean over the frames with measured depth; an exact zero with its graph where there is
        none.

    Raises:
        ValueError: The shapes differ, or `alpha` or `epsilon_metres` is negative.
    """
    if predicted_depth_metres.ndim != 4 or predicted_depth_metres.shape != depth_metres.shape:
        raise ValueError(
            f"predicted_depth_metres is {tuple(predicted_depth_metres.shape)}, depth_metres "
            f"{tuple(depth_metres.shape)}: both must be (B, F, H, W) of one size."
        )
    if alpha < 0 or epsilon_metres < 0:
        raise ValueError(f"alpha={alpha}, epsilon_metres={epsilon_metres}: neither can be negative.")
    predicted = full_precision(predicted_depth_metres)
    measured = measured_pixels(depth_metres)
    count = measured.sum((2, 3))  # (B, F)
    # Both sides become 1 where nothing is measured: the logarithm must not see what lies there, its error is then 0.
    truth = torch.where(measured, depth_metres.to(predicted.dtype), 1.0)
    error = (torch.where(measured, predicted, 1.0) + epsilon_metres).log() - (truth + epsilon_metres).log()
    divisor = count.clamp_min(1)
    offset = error.sum((2, 3)) / divisor
    rest = (error - offset[..., None, None]) * measured
    shape = (rest.square() / (1 + alpha * rest.abs())).sum((2, 3)) / divisor
    return sample_mean(offset.square() + shape, (count > 0).to(predicted.dtype)) + graph_zero(predicted)
