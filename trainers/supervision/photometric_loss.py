"""The photometric loss: posed frames without measured depth are held to depth that explains their neighbour's colours.

Predictions that are compared with each other alone agree best where they are flat, at an end of their range. Colour is
a measurement of its own: seen from a place that is metres away from the first, it fits at the true depth alone,
wherever there is texture. A pure function; `igep_objective` says which frames it sees.
"""

import torch
from torch import Tensor
from torch.nn import functional

from igep.camera_geometry import (
    full_precision,
    project,
    relative_pose,
    transform_points,
    unproject,
    usable_intrinsics,
    usable_pose,
)
from igep.trainers.geometry.depth_sampling import sample_inverse_depth
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast, sample_mean


SSIM_SHARE = 0.85  # of the difference of two colours; the rest is L1 (Godard et al., Monodepth2, 2019)
SSIM_CONSTANTS = (0.01**2, 0.03**2)  # for colours from 0 to 1 (Wang et al., 2004)
SMOOTHNESS = 0.01
EDGE_SHARPNESS = 10.0  # per unit of colour: what a step of colour takes off the price of a step of depth
HIDDEN_BEHIND = 0.1  # share of the depth by which a pixel must lie behind the neighbour's surface to be hidden by it
MIN_BASELINE_METRES = 1e-3
MIN_DEPTH_METRES = 0.01


@outside_autocast
def photometric_loss(
    predicted_depth_metres: Tensor,
    frame_colours: Tensor,
    intrinsics: Tensor,
    world_from_camera: Tensor,
    neighbour_index: Tensor,
) -> tuple[Tensor, Tensor]:
    """How badly each frame's predicted depth explains its colours by those of its neighbour.

    Each pixel of a frame is carried into its neighbour by its predicted depth and the known cameras, and the colour
    found there (bilinear, with gradient to the depth) is compared with its own: `.85 (1 - SSIM) / 2 + .15 L1`. A pixel
    costs the smaller of this and of the difference to the neighbour's pixel at its own place, which depth does not
    change. That is also what pixels cost that are carried out of the neighbour's view or behind the surface predicted
    there: leaving the view never pays. Steps of inverse depth (relative to its mean) cost `SMOOTHNESS` where colour
    does not step.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W) z-depth.
        frame_colours (`torch.Tensor`): (B, F, 3, H, W) uint8, or floating from 0 to 1.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) in pixels of the depth map; non-finite or singular = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4); non-finite or singular = unknown.
        neighbour_index (`torch.Tensor`): (B, F) int64, the frame whose colours each frame is explained by; -1 = none.
            Cameras less than `MIN_BASELINE_METRES` apart see no parallax: such a pair has no part in the loss.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: (B,) loss per sample, mean over the pixels of its pairs, and (B,)
        coverage, the share of these pixels that depth explains better than no motion; a sample whose cameras stand
        still has 0 of both.

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_shapes(predicted_depth_metres, frame_colours, intrinsics, world_from_camera, neighbour_index)
    predicted = full_precision(predicted_depth_metres)
    colours = frame_colours.to(predicted.dtype) / (1 if frame_colours.is_floating_point() else 255)

    # Cameras, (B, F, ...): unknown ones become harmless before any arithmetic; their pairs are masked below.
    usable = usable_intrinsics(intrinsics) & usable_pose(world_from_camera)
    intrinsics = torch.where(usable[..., None, None], intrinsics, torch.eye(3).to(intrinsics))
    poses = torch.where(usable[..., None, None], world_from_camera, torch.eye(4).to(world_from_camera))

    # Pairs: this index picks, in every (B, F, ...) tensor, the neighbour of each frame.
    neighbour = (torch.arange(len(predicted), device=predicted.device)[:, None], neighbour_index.clamp_min(0))
    neighbour_from_frame = relative_pose(poses[neighbour], poses)
    paired = (neighbour_index >= 0) & usable & usable[neighbour]
    compared = paired & (neighbour_from_frame[..., :3, 3].norm(dim=-1) >= MIN_BASELINE_METRES)
    mask = compared[..., None, None].to(predicted.dtype).expand_as(predicted)

    # Where each pixel lands in the neighbour (B, F, H, W, 2), and the colours there (B, F, 3, H, W).
    points_camera = transform_points(neighbour_from_frame, unproject(predicted, intrinsics))
    pixels, depth_there = project(points_camera, intrinsics[neighbour], MIN_DEPTH_METRES)
    warped = _sample_colours(colours[neighbour], pixels)
    with torch.no_grad():
        surface = sample_inverse_depth(predicted[neighbour], pixels)
        hidden = surface.valid & (depth_there > (1 + HIDDEN_BEHIND) * surface.depth_metres)
        seen = _inside(pixels) & (depth_there >= MIN_DEPTH_METRES) & ~hidden
        unmoved = colour_difference(colours[neighbour], colours)
    moved = colour_difference(warped, colours)
    explains = seen & (moved.detach() < unmoved)

    loss = sample_mean(torch.where(explains, moved, unmoved) + SMOOTHNESS * roughness(predicted, colours), mask)
    possible = paired.sum(1).clamp_min(1) * (predicted.shape[-1] * predicted.shape[-2])
    coverage = (explains & compared[..., None, None]).flatten(1).sum(1) / possible
    return loss + graph_zero(predicted), coverage.to(predicted.dtype)


def colour_difference(first: Tensor, second: Tensor) -> Tensor:
    """Difference of two images around each pixel, robust to brightness: `.85 (1 - SSIM) / 2 + .15 L1`.

    Args:
        first (`torch.Tensor`): (..., 3, H, W) from 0 to 1.
        second (`torch.Tensor`): Of the same shape.

    Returns:
        `torch.Tensor`: (..., H, W) from 0 (equal) to 1, mean over the channels. SSIM is taken over 3 x 3 pixels.
    """
    a, b = (images.reshape(-1, *images.shape[-3:]) for images in (first, second))
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a.square()
    variance_b = _window_mean(b * b) - mean_b.square()
    covariance = _window_mean(a * b) - mean_a * mean_b
    small, large = SSIM_CONSTANTS
    ssim = (2 * mean_a * mean_b + small) * (2 * covariance + large)
    ssim = ssim / ((mean_a.square() + mean_b.square() + small) * (variance_a + variance_b + large))
    difference = SSIM_SHARE * ((1 - ssim) / 2).clamp(0, 1) + (1 - SSIM_SHARE) * (a - b).abs()
    return difference.mean(1).reshape(first.shape[:-3] + first.shape[-2:])


def roughness(depth_metres: Tensor, colours: Tensor) -> Tensor:
    """Steps of inverse depth relative to its mean, cheap where colour steps as well.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W), positive.
        colours (`torch.Tensor`): (..., 3, H, W) from 0 to 1.

    Returns:
        `torch.Tensor`: (..., H, W), the steps to the right and down; 0 beyond the last pixel. No scale of the depth
        changes it.
    """
    inverse = 1 / depth_metres.clamp_min(MIN_DEPTH_METRES)
    inverse = inverse / inverse.mean((-1, -2), keepdim=True)
    across, down = inverse.diff(dim=-1).abs(), inverse.diff(dim=-2).abs()
    across = across * (-EDGE_SHARPNESS * colours.diff(dim=-1).abs().mean(-3)).exp()
    down = down * (-EDGE_SHARPNESS * colours.diff(dim=-2).abs().mean(-3)).exp()
    return functional.pad(across, (0, 1)) + functional.pad(down, (0, 0, 0, 1))


def _window_mean(images: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _inside(pixels: Tensor) -> Tensor:
    """(..., H, W) bool: the place (..., H, W, 2) lies among the pixel centres of an image of that size."""
    limit = pixels.new_tensor([pixels.shape[-2], pixels.shape[-3]]) - 0.5
    return ((pixels >= 0.5) & (pixels <= limit)).all(-1)


def _sample_colours(images: Tensor, pixels: Tensor) -> Tensor:
    """Images (B, F, 3, H, W) between their pixels, at (B, F, H, W, 2); outside, the nearest colour of the border."""
    grid = pixels / pixels.new_tensor([images.shape[-1], images.shape[-2]]) * 2 - 1
    sampled = functional.grid_sample(
        images.flatten(0, 1), grid.flatten(0, 1), mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled.unflatten(0, images.shape[:2])


def _check_shapes(
    predicted: Tensor, frame_colours: Tensor, intrinsics: Tensor, world_from_camera: Tensor, neighbour_index: Tensor
) -> None:
    if predicted.ndim != 4 or min(predicted.shape[-2:]) < 2:
        raise ValueError(
            "predicted_depth_metres must have shape (B, F, H, W) of at least 2x2 pixels, got "
            f"{tuple(predicted.shape)}: give whole depth maps with batch and frame axes"
        )
    batch, frames, height, width = predicted.shape
    for name, value, shape in (
        ("frame_colours", frame_colours, (batch, frames, 3, height, width)),
        ("intrinsics", intrinsics, (batch, frames, 3, 3)),
        ("world_from_camera", world_from_camera, (batch, frames, 4, 4)),
        ("neighbour_index", neighbour_index, (batch, frames)),
    ):
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}: give one entry per frame")
