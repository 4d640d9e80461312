"""Explicit 3D positions of visual tokens as Video-3D LLM adds them: the baseline that needs depth and poses to answer.

Every visual token gets the mean of the world points that its part of the frame shows, rounded to a voxel, as sines and
cosines of the voxel's three indices, added to the token before the language model reads it (Video-3D LLM, CVPR 2025).
Computed in float32 outside autocast: bfloat16 coordinates put half of the points into another voxel.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .camera_geometry import full_precision, transform_points, unproject, usable_intrinsics, usable_pose
from .frame_grids import FrameGrids


GEOMETRY = ("depth_metres", "intrinsics", "world_from_camera", "frame_mask")  # what positions are computed from
BASE = 10000.0  # longest wavelength over 2 pi, in voxels


def check_position_geometry(geometry: dict[str, Tensor | None]) -> None:
    """Makes sure that there is something to compute positions from.

    Args:
        geometry (`dict[str, Tensor | None]`): What was given of `GEOMETRY`.

    Raises:
        ValueError: Something is missing; the message names it and the remedy.
    """
    missing = [name for name in GEOMETRY if geometry.get(name) is None]
    if missing:
        raise ValueError(
            "This model reads 3D positions (position_encoding) and cannot look at frames without "
            f"{', '.join(missing)}: give {', '.join(GEOMETRY)} of the frames besides the pixels, as `igep score` "
            "does. A model trained with position_encoding: none answers from RGB alone."
        )


def voxel_indices(points_world: Tensor, voxel_metres: float, range_metres: Sequence[float]) -> Tensor:
    """The voxel of each point; points outside the range lie in its outermost voxels.

    Args:
        points_world (`Tensor`): (..., 3) in metres.
        voxel_metres (`float`): Side of a voxel.
        range_metres (`Sequence[float]`): Three; coordinates run from minus to plus as much.

    Returns:
        (..., 3) float of whole numbers, 0 at the lower ends.
    """
    points = full_precision(points_world)
    limit = torch.tensor(list(range_metres), dtype=points.dtype, device=points.device)
    return ((points.clamp(-limit, limit) + limit) / voxel_metres).round()


def sin3d(indices: Tensor, channels: int) -> Tensor:
    """Sines and cosines of three indices: a third of the channels for each axis, what is left over zero.

    Of the n channels of an axis, channel c is the sine (c even) or cosine (c odd) of
    `index / 10000^(2 floor(c / 2) / n)`.

    Args:
        indices (`Tensor`): (..., 3).
        channels (`int`): C, width of the language model.

    Returns:
        (..., C), float32 unless the indices are float64.
    """
    indices = full_precision(indices)
    per_axis = channels // 3
    channel = torch.arange(per_axis, device=indices.device)
    exponent = 2 * (channel // 2).to(indices.dtype) / max(per_axis, 1)
    angles = indices[..., None] / BASE**exponent  # (..., 3, n)
    waves = torch.where(channel % 2 == 0, angles.sin(), angles.cos()).flatten(-2)
    return torch.cat([waves, waves.new_zeros(*waves.shape[:-1], channels - 3 * per_axis)], -1)


def cell_points(
    points_world: Tensor, measured: Tensor, grid: tuple[int, int], covered: tuple[float, float] = (1.0, 1.0)
) -> tuple[Tensor, Tensor]:
    """Adds up the measured points of each cell of a grid that is laid over the frames.

    Args:
        points_world (`Tensor`): (N, H, W, 3).
        measured (`Tensor`): (N, H, W) bool, the points that exist.
        grid (`tuple[int, int]`): Rows and columns of cells.
        covered (`tuple[float, float]`, *optional*, defaults to the whole): Height and width of the part of a frame,
            from its top left corner, that the grid covers: an encoder leaves out what is no whole patch.

    Returns:
        `tuple[Tensor, Tensor]`: (N, rows, columns, 3) sums and (N, rows, columns) numbers of points.

    Raises:
        ValueError: The depth has fewer rows or columns than the grid.
    """
    size = tuple(points_world.shape[1:3])
    if size[0] < grid[0] or size[1] < grid[1]:
        raise ValueError(
            f"depth of {size[0]} x {size[1]} pixels is coarser than the {grid[0]} x {grid[1]} visual tokens of a "
            "frame: set geometry_size to at least as many."
        )
    cells = []
    for length, count, part in zip(size, grid, covered, strict=True):
        centres = (torch.arange(length, device=points_world.device, dtype=torch.float64) + 0.5) / length
        cells.append((centres * count / part).floor().long())  # `count` and above: not covered
    rows, columns = cells
    inside = measured & (rows < grid[0])[:, None] & (columns < grid[1])
    place = (rows.clamp(max=grid[0] - 1)[:, None] * grid[1] + columns.clamp(max=grid[1] - 1)).flatten()
    values = torch.where(inside[..., None], points_world, 0.0).flatten(1, 2)
    cells_in_all = grid[0] * grid[1]
    sums = values.new_zeros(len(values), cells_in_all, 3).index_add(1, place, values)
    counts = values.new_zeros(len(values), cells_in_all).index_add(1, place, inside.flatten(1).to(values.dtype))
    return sums.unflatten(1, grid), counts.unflatten(1, grid)


def add_positions(
    tokens: Sequence[Tensor],
    grids: FrameGrids,
    slots: Tensor,
    geometry: dict[str, Tensor],
    *,
    voxel_metres: float,
    range_metres: Sequence[float],
) -> list[Tensor]:
    """Adds the encoding of its position to every visual token that has one.

    A token of which no pixel has depth, and one that stands for no place (the separator behind a video), stays what it
    is.

    Args:
        tokens (`Sequence[Tensor]`): Per video or image (M, C), as the projector returned them.
        grids (`FrameGrids`): Where the tokens lie.
        slots (`Tensor`): (R,) of the real frames, see `FrameGrids.frame_slots`.
        geometry (`dict[str, Tensor]`): Those of `GEOMETRY`, for B samples of F frames of which R are real; poses in
            the scene's own world.
        voxel_metres (`float`): Side of a voxel.
        range_metres (`Sequence[float]`): See `voxel_indices`.

    Returns:
        `list[Tensor]`: As `tokens`, in their types.

    Raises:
        ValueError: The tokens of a unit do not form grids that fit the frames.
    """
    with torch.autocast(tokens[0].device.type, enabled=False), torch.no_grad():
        real = geometry["frame_mask"]
        depth = full_precision(geometry["depth_metres"][real])  # (R, H, W)
        intrinsics = full_precision(geometry["intrinsics"][real])
        poses = full_precision(geometry["world_from_camera"][real])
        usable = usable_intrinsics(intrinsics) & usable_pose(poses)
        measured = depth.isfinite() & (depth > 0) & usable[:, None, None]
        depth = torch.where(measured, depth, 1.0)
        intrinsics = torch.where(usable[:, None, None], intrinsics, torch.eye(3).to(intrinsics))
        poses = torch.where(usable[:, None, None], poses, torch.eye(4).to(poses))
        points = transform_points(poses, unproject(depth, intrinsics))  # (R, H, W, 3)
        feature_frames = slots // grids.temporal_patch_size

        encodings, start = [], 0
        token_grids = grids.token_grids([len(unit) for unit in tokens])
        for unit, (frames, rows, columns) in zip(tokens, token_grids, strict=True):
            inside = (feature_frames >= start) & (feature_frames < start + frames)
            sums, counts = cell_points(points[inside], measured[inside], (rows, columns), grids.covered)
            # An encoder that merges frames has one token for the same place of all of them.
            merged = [value.new_zeros(frames, *value.shape[1:]) for value in (sums, counts)]
            place = feature_frames[inside] - start
            total, number = merged[0].index_add(0, place, sums), merged[1].index_add(0, place, counts)
            voxels = voxel_indices(total / number.clamp(min=1)[..., None], voxel_metres, range_metres)
            encoding = sin3d(voxels, unit.shape[-1]) * (number > 0)[..., None]
            encoding = encoding.flatten(0, 2)
            extra = len(unit) - math.prod((frames, rows, columns))
            encodings.append(torch.cat([encoding, encoding.new_zeros(extra, unit.shape[-1])]))
            start += frames
    return [(full_precision(unit) + encoding).to(unit.dtype) for unit, encoding in zip(tokens, encodings, strict=True)]
