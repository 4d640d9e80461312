"""Reading depth maps between their pixels: exactly on planes, and never across the edge of a surface.

Conventions are those of `camera_geometry`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from igep.camera_geometry import full_precision


class SampledDepth(NamedTuple):
    """A depth map read at sub-pixel places.

    Args:
        depth_metres (`torch.Tensor`): (..., N...) interpolated z-depth; 0 where not `valid`.
        valid (`torch.Tensor`): (..., N...) bool, the place lies among four measured pixels.
    """

    depth_metres: Tensor
    valid: Tensor


def _cells(depth: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cell of four pixels around each place: flat index of its top left pixel, (L, N, 2) weights, inside or not."""
    if depth.ndim < 2 or min(depth.shape[-2:]) < 2:
        raise ValueError(
            f"depth_metres must have shape (..., H, W) of at least 2x2 pixels, got {tuple(depth.shape)}: "
            "pass a whole depth map"
        )
    if pixels.ndim < 1 or pixels.shape[-1] != 2:
        raise ValueError(f"pixels must have shape (..., 2), got {tuple(pixels.shape)}: put x and y last")
    leading, (height, width) = depth.shape[:-2], depth.shape[-2:]
    if pixels.shape[: len(leading)] != leading:
        raise ValueError(
            f"pixels has leading dimensions {tuple(pixels.shape[: len(leading)])}, depth_metres {tuple(leading)}: "
            "give one set of places per depth map"
        )
    # One batch row per depth map, sized explicitly so that an empty set of places is legal.
    rows = depth.numel() // (height * width)
    places = pixels.to(depth.dtype).reshape(rows, pixels.numel() // max(rows, 1) // 2, 2) - 0.5
    limit = places.new_tensor([width - 1, height - 1])
    # A pixel centre that returns from another view may miss the outermost centres by a rounding error.
    inside = ((places >= -1e-3) & (places <= limit + 1e-3)).all(-1)
    places = torch.where(inside[..., None], places, 0.0)
    corner = places.detach().floor().clamp(min=torch.zeros_like(limit), max=limit - 1)
    index = corner[..., 1].long() * width + corner[..., 0].long()
    return index, places - corner, inside


def sample_inverse_depth(depth_metres: Tensor, pixels: Tensor) -> SampledDepth:
    """Read a depth map between its pixels, exactly on planes.

    The inverse depth of a plane is linear in the pixel coordinates, so bilinear interpolation of 1 / z has no error
    there, while interpolating z itself has. Differentiable in the depth and in the places.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W) z-depth; 0, negative or non-finite = no measurement.
        pixels (`torch.Tensor`): (..., N..., 2) places (x, y) in pixels, pixel centres at +0.5.

    Returns:
        `SampledDepth`: the depth, and where all four neighbours are measured.

    Raises:
        ValueError: If a shape does not fit or the map is smaller than 2x2.
    """
    depth = full_precision(depth_metres)
    index, weight, inside = _cells(depth, pixels)
    width = depth.shape[-1]
    measured = depth.isfinite() & (depth > 0)
    inverse = torch.where(measured, 1 / torch.where(measured, depth, 1.0), 0.0).reshape(len(index), -1)
    right, down = weight.unbind(-1)
    corners = [inverse.gather(1, index + step) for step in (0, 1, width, width + 1)]
    upper = corners[0] + (corners[1] - corners[0]) * right
    lower = corners[2] + (corners[3] - corners[2]) * right
    sampled = upper + (lower - upper) * down
    valid = inside & (corners[0] > 0) & (corners[1] > 0) & (corners[2] > 0) & (corners[3] > 0)
    # Extrapolating by the rounding slack could reach zero at infinity only.
    valid = valid & (sampled.detach() > 0)
    result = torch.where(valid, 1 / torch.where(valid, sampled, 1.0), 0.0)
    shape = pixels.shape[:-1]
    return SampledDepth(depth_metres=result.reshape(shape), valid=valid.reshape(shape))


def crosses_depth_edge(depth_metres: Tensor, pixels: Tensor, tolerance: float = 0.05) -> Tensor:
    """Say where reading a depth map between its pixels would mix two surfaces.

    Two neighbouring pixels belong to one surface when the inverse depth of at least one of them is what a plane
    through the other and the pixel beyond it predicts: slanted planes have no edges, however steep, and a step has.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W) z-depth; 0, negative or non-finite = no measurement.
        pixels (`torch.Tensor`): (..., N..., 2) places (x, y) in pixels.
        tolerance (`float`, *optional*, defaults to 0.05): Share of the inverse depth that a prediction may miss.

    Returns:
        `torch.Tensor`: (..., N...) bool; true outside the map too.

    Raises:
        ValueError: If a shape does not fit or the map is smaller than 2x2.
    """
    depth = full_precision(depth_metres.detach())
    index, _, inside = _cells(depth, pixels.detach())
    height, width = depth.shape[-2:]
    measured = depth.isfinite() & (depth > 0)
    inverse = torch.where(measured, 1 / torch.where(measured, depth, 1.0), 0.0).reshape(-1, height, width)
    across = _steps(inverse, tolerance)
    down = _steps(inverse.mT, tolerance).mT
    broken = across[:, :-1] | across[:, 1:] | down[:, :, :-1] | down[:, :, 1:]
    cell = index // width * (width - 1) + index % width
    crossing = broken.reshape(len(index), -1).gather(1, cell)
    return (crossing | ~inside).reshape(pixels.shape[:-1])


def _steps(inverse: Tensor, tolerance: float) -> Tensor:
    """(L, H, W) inverse depth -> (L, H, W - 1) bool, a step between each pixel and the next in its row."""
    bend = torch.full_like(inverse, torch.inf)
    bend[..., 1:-1] = (inverse[..., :-2] - 2 * inverse[..., 1:-1] + inverse[..., 2:]).abs()
    if inverse.shape[-1] == 2:
        bend[...] = (inverse[..., 1:] - inverse[..., :-1]).abs()
    allowed = tolerance * torch.maximum(inverse[..., :-1], inverse[..., 1:])
    return torch.minimum(bend[..., :-1], bend[..., 1:]) > allowed
