"""Cameras, poses and depth maps: the conventions of the whole package, and every function that needs them.

Conventions, stated here once:

- Lengths are metres. Camera axes follow OpenCV: x right, y down, z forward.
- `world_from_camera` is a 4x4 matrix that carries camera points into the world; `target_from_source` likewise.
- Intrinsics are 3x3, in pixels of the stored image. The centre of the top left pixel is at (0.5, 0.5), so an image
  covers `[0, width] x [0, height]` and a resize multiplies pixel coordinates by exactly `new / old`.
- Depth is z-depth unless a name says euclidean. Zero, negative and non-finite depth means "no measurement".

Leading dimensions `...` are free. A camera's leading dimensions are aligned from the left with those of its depth map
or points and may be fewer: one (3, 3) matrix serves a whole batch.

Precision: half and bfloat16 inputs are computed in float32, float64 stays float64. Small products are written out
elementwise, so neither autocast nor TF32 matrix multiplication can degrade them.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class WarpedDepth(NamedTuple):
    """A depth map carried into another camera.

    Args:
        pixels (`torch.Tensor`): (..., H, W, 2) sub-pixel landing place in the target image of each source pixel.
            Meaningless where `in_view` is false.
        depth_metres (`torch.Tensor`): (..., H, W) z-depth of each source pixel in the target camera.
        in_view (`torch.Tensor`): (..., H, W) bool, source pixel has a measurement and lands in front of the target
            camera and inside its image.
        visible (`torch.Tensor`): (..., H, W) bool, `in_view` and not behind another source pixel.
        target_depth_metres (`torch.Tensor`): (..., Ht, Wt) z-buffered depth in the target's pixels; 0 = nothing.
    """

    pixels: Tensor
    depth_metres: Tensor
    in_view: Tensor
    visible: Tensor
    target_depth_metres: Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """Cast to float32, except for float64, which stays.

    Args:
        tensor (`torch.Tensor`): Any real tensor.

    Returns:
        `torch.Tensor`: The same values as float32 or float64.
    """
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check_matrix(name: str, matrix: Tensor, size: int, remedy: str) -> None:
    if matrix.ndim < 2 or matrix.shape[-2:] != (size, size):
        raise ValueError(f"{name} must have shape (..., {size}, {size}), got {tuple(matrix.shape)}: {remedy}")


def _check_intrinsics(name: str, intrinsics: Tensor) -> None:
    _check_matrix(name, intrinsics, 3, "pass the 3x3 camera matrix (of a stored 4x4 take the upper left block)")


def _check_pose(name: str, pose: Tensor) -> None:
    _check_matrix(name, pose, 4, "pass a 4x4 rigid transform with last row 0 0 0 1")


def _check_depth(name: str, depth: Tensor) -> None:
    if depth.ndim < 2:
        raise ValueError(f"{name} must have shape (..., H, W), got {tuple(depth.shape)}: pass a whole depth map")


def _check_size(name: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{name} must be (height, width) of at least 1 pixel, got {tuple(size)}: pass the image size")


def _check_last(name: str, points: Tensor, length: int) -> None:
    if points.ndim < 1 or points.shape[-1] != length:
        raise ValueError(
            f"{name} must have shape (..., {length}), got {tuple(points.shape)}: put the coordinates last"
        )


def _align(name: str, camera: Tensor, leading: torch.Size, like: Tensor) -> Tensor:
    """Cast a camera matrix like `like` and give it one dimension per dimension of `leading`, aligned from the left."""
    own = camera.shape[:-2]
    fits = len(own) <= len(leading) and all(a in (1, b) for a, b in zip(own, leading, strict=False))
    if not fits:
        raise ValueError(
            f"{name} has leading dimensions {tuple(own)}, which do not match {tuple(leading)}: "
            "give one matrix per depth map or point set, or a single one for all"
        )
    camera = camera.to(device=like.device, dtype=like.dtype)
    return camera.reshape(own + (1,) * (len(leading) - len(own)) + camera.shape[-2:])


def usable_intrinsics(intrinsics: Tensor) -> Tensor:
    """Say which intrinsics describe a camera: finite, with positive focal lengths.

    Args:
        intrinsics (`torch.Tensor`): (..., 3, 3).

    Returns:
        `torch.Tensor`: (...) bool.

    Raises:
        ValueError: If the last two dimensions are not 3x3.
    """
    _check_intrinsics("intrinsics", intrinsics)
    return intrinsics.isfinite().all(-1).all(-1) & (intrinsics[..., 0, 0] > 0) & (intrinsics[..., 1, 1] > 0)


def usable_pose(pose: Tensor) -> Tensor:
    """Say which poses can be used: finite and invertible.

    Args:
        pose (`torch.Tensor`): (..., 4, 4).

    Returns:
        `torch.Tensor`: (...) bool.

    Raises:
        ValueError: If the last two dimensions are not 4x4.
    """
    _check_pose("pose", pose)
    first, second, third = full_precision(pose)[..., :3, :3].unbind(-1)
    determinant = (first * torch.linalg.cross(second, third)).sum(-1)
    return pose.isfinite().all(-1).all(-1) & (determinant.abs() > 1e-6)


def pixel_centres(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Coordinates of every pixel's centre.

    Args:
        height (`int`): Rows.
        width (`int`): Columns.
        device (`torch.device | str`, *optional*): Where to put the result.

    Returns:
        `torch.Tensor`: (H, W, 2) float32, (x, y) with the first at (0.5, 0.5).

    Raises:
        ValueError: If a size is below 1.
    """
    _check_size("(height, width)", (height, width))
    x = torch.arange(width, dtype=torch.float32, device=device) + 0.5
    y = torch.arange(height, dtype=torch.float32, device=device) + 0.5
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)


def resize_intrinsics(intrinsics: Tensor, from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """Intrinsics after the image was resized, each axis by its own exact factor.

    Args:
        intrinsics (`torch.Tensor`): (..., 3, 3) for an image of `from_size`.
        from_size (`tuple[int, int]`): (height, width) before.
        to_size (`tuple[int, int]`): (height, width) after.

    Returns:
        `torch.Tensor`: (..., 3, 3) for an image of `to_size`.

    Raises:
        ValueError: If the matrix is not 3x3 or a size is below 1.
    """
    _check_intrinsics("intrinsics", intrinsics)
    _check_size("from_size", from_size)
    _check_size("to_size", to_size)
    intrinsics = full_precision(intrinsics)
    factors = (to_size[1] / from_size[1], to_size[0] / from_size[0], 1.0)
    return intrinsics * intrinsics.new_tensor(factors)[:, None]


def _rays(intrinsics: Tensor, height: int, width: int) -> Tensor:
    """(..., H, W, 3) points at z = 1 seen by every pixel; `intrinsics` already aligned with the depth map."""
    pixels = pixel_centres(height, width, intrinsics.device).to(intrinsics.dtype)
    fx, skew, cx, fy, cy = (intrinsics[..., i, j, None, None] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2)))
    y = (pixels[..., 1] - cy) / fy
    x = (pixels[..., 0] - cx - skew * y) / fx
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def unproject(depth_metres: Tensor, intrinsics: Tensor) -> Tensor:
    """Point seen by each pixel, in the camera's own frame.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W) z-depth.
        intrinsics (`torch.Tensor`): (..., 3, 3).

    Returns:
        `torch.Tensor`: (..., H, W, 3) points in metres. A pixel without a measurement gives a point without meaning.

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_depth("depth_metres", depth_metres)
    _check_intrinsics("intrinsics", intrinsics)
    depth = full_precision(depth_metres)
    aligned = _align("intrinsics", intrinsics, depth.shape[:-2], depth)
    return _rays(aligned, *depth.shape[-2:]) * depth[..., None]


def project(points_camera: Tensor, intrinsics: Tensor, min_depth_metres: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Pixel and depth at which a camera sees points of its own frame.

    Args:
        points_camera (`torch.Tensor`): (..., N..., 3) in metres.
        intrinsics (`torch.Tensor`): (..., 3, 3).
        min_depth_metres (`float`, *optional*, defaults to 1e-6): Points nearer than this, or behind the camera, are
            divided by this value instead: their pixel has no meaning but is finite, and so is its gradient.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: pixels (..., N..., 2) and z-depth in metres (..., N...).

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_last("points_camera", points_camera, 3)
    _check_intrinsics("intrinsics", intrinsics)
    points = full_precision(points_camera)
    matrix = _align("intrinsics", intrinsics, points.shape[:-1], points)
    depth = points[..., 2]
    divisor = depth.clamp_min(min_depth_metres)
    x, y = points[..., 0] / divisor, points[..., 1] / divisor
    u = matrix[..., 0, 0] * x + matrix[..., 0, 1] * y + matrix[..., 0, 2]
    v = matrix[..., 1, 1] * y + matrix[..., 1, 2]
    return torch.stack([u, v], dim=-1), depth


def transform_points(target_from_source: Tensor, points: Tensor) -> Tensor:
    """Carry points from one frame into another.

    Args:
        target_from_source (`torch.Tensor`): (..., 4, 4).
        points (`torch.Tensor`): (..., N..., 3) in the source frame, metres.

    Returns:
        `torch.Tensor`: (..., N..., 3) in the target frame, metres.

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_pose("target_from_source", target_from_source)
    _check_last("points", points, 3)
    points = full_precision(points)
    matrix = _align("target_from_source", target_from_source, points.shape[:-1], points)[..., :3, :]
    x, y, z = points.split(1, dim=-1)
    return matrix[..., 0] * x + matrix[..., 1] * y + matrix[..., 2] * z + matrix[..., 3]


def invert_pose(pose: Tensor) -> Tensor:
    """Inverse of a rigid (or any affine) transform.

    Args:
        pose (`torch.Tensor`): (..., 4, 4) with last row 0 0 0 1.

    Returns:
        `torch.Tensor`: (..., 4, 4). A singular or non-finite pose gives non-finite values (see `usable_pose`).

    Raises:
        ValueError: If the last two dimensions are not 4x4.
    """
    _check_pose("pose", pose)
    pose = full_precision(pose)
    first, second, third, translation = pose[..., :3, :].unbind(-1)
    rows = torch.stack(
        [torch.linalg.cross(second, third), torch.linalg.cross(third, first), torch.linalg.cross(first, second)],
        dim=-2,
    )
    rotation = rows / (first * rows[..., 0, :]).sum(-1)[..., None, None]
    translation = -(rotation * translation[..., None, :]).sum(-1)
    last_row = pose.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*pose.shape[:-2], 1, 4)
    return torch.cat([torch.cat([rotation, translation[..., None]], dim=-1), last_row], dim=-2)


def relative_pose(world_from_target: Tensor, world_from_source: Tensor) -> Tensor:
    """Transform that carries points of the source camera into the target camera.

    Give float64 poses where the world's origin is far away: the difference is formed before any rounding.

    Args:
        world_from_target (`torch.Tensor`): (..., 4, 4).
        world_from_source (`torch.Tensor`): (..., 4, 4).

    Returns:
        `torch.Tensor`: (..., 4, 4) `target_from_source`.

    Raises:
        ValueError: If the last two dimensions are not 4x4.
    """
    _check_pose("world_from_target", world_from_target)
    _check_pose("world_from_source", world_from_source)
    target_from_world = invert_pose(world_from_target)
    return (target_from_world[..., :, :, None] * full_precision(world_from_source)[..., None, :, :]).sum(-2)


def z_from_euclidean(distance_metres: Tensor, intrinsics: Tensor) -> Tensor:
    """Turn distances along each pixel's ray into z-depth.

    Args:
        distance_metres (`torch.Tensor`): (..., H, W) distance from the camera centre.
        intrinsics (`torch.Tensor`): (..., 3, 3).

    Returns:
        `torch.Tensor`: (..., H, W) z-depth in metres.

    Raises:
        ValueError: If a shape does not fit.
    """
    return full_precision(distance_metres) / _ray_lengths("distance_metres", distance_metres, intrinsics)


def euclidean_from_z(depth_metres: Tensor, intrinsics: Tensor) -> Tensor:
    """Turn z-depth into distances along each pixel's ray.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W) z-depth.
        intrinsics (`torch.Tensor`): (..., 3, 3).

    Returns:
        `torch.Tensor`: (..., H, W) distance from the camera centre in metres.

    Raises:
        ValueError: If a shape does not fit.
    """
    return full_precision(depth_metres) * _ray_lengths("depth_metres", depth_metres, intrinsics)


def _ray_lengths(name: str, depth: Tensor, intrinsics: Tensor) -> Tensor:
    _check_depth(name, depth)
    _check_intrinsics("intrinsics", intrinsics)
    aligned = _align("intrinsics", intrinsics, depth.shape[:-2], full_precision(depth))
    return _rays(aligned, *depth.shape[-2:]).square().sum(-1).sqrt()


def warp_depth(
    depth_metres: Tensor,
    intrinsics: Tensor,
    target_from_source: Tensor,
    target_intrinsics: Tensor,
    target_size: tuple[int, int] | None = None,
    min_depth_metres: float = 0.01,
    occlusion_tolerance: float = 0.05,
) -> WarpedDepth:
    """Carry a depth map into another camera: where each pixel lands, how deep, and whether anything hides it.

    Pixels of a camera with unusable intrinsics or pose are never in view. Differentiable in the depth.

    Args:
        depth_metres (`torch.Tensor`): (..., H, W) z-depth of the source; 0, negative or non-finite = no measurement.
        intrinsics (`torch.Tensor`): (..., 3, 3) of the source.
        target_from_source (`torch.Tensor`): (..., 4, 4).
        target_intrinsics (`torch.Tensor`): (..., 3, 3), in pixels of `target_size`.
        target_size (`tuple[int, int]`, *optional*): (height, width) of the target; the source's size if not given.
        min_depth_metres (`float`, *optional*, defaults to 0.01): Nearest depth in the target that counts as in front.
        occlusion_tolerance (`float`, *optional*, defaults to 0.05): A pixel is hidden when it is deeper than the
            nearest one in the same target pixel by more than this share: neighbours on one slanted surface do not hide
            each other.

    Returns:
        `WarpedDepth`: landing places, depths, masks and the z-buffer.

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_depth("depth_metres", depth_metres)
    depth = full_precision(depth_metres)
    leading, (height, width) = depth.shape[:-2], depth.shape[-2:]
    target_height, target_width = target_size if target_size is not None else (height, width)
    _check_size("target_size", (target_height, target_width))
    usable = usable_intrinsics(intrinsics), usable_pose(target_from_source), usable_intrinsics(target_intrinsics)

    # Unusable values are replaced before any arithmetic: masking a NaN afterwards would leave a NaN gradient.
    identity = torch.eye(4, dtype=depth.dtype, device=depth.device)
    cameras, camera_ok = [], depth.new_ones(leading, dtype=torch.bool)
    names = ("intrinsics", "target_from_source", "target_intrinsics")
    for name, matrix, good in zip(names, (intrinsics, target_from_source, target_intrinsics), usable, strict=True):
        aligned = _align(name, matrix, leading, depth)
        good = good.to(depth.device).reshape(aligned.shape[:-2])
        cameras.append(torch.where(good[..., None, None], aligned, identity[: matrix.shape[-1], : matrix.shape[-1]]))
        camera_ok = camera_ok & good
    measured = depth.isfinite() & (depth > 0) & camera_ok[..., None, None]
    points = unproject(torch.where(measured, depth, 1.0), cameras[0])
    pixels, z = project(transform_points(cameras[1], points), cameras[2], min_depth_metres)

    column, row = pixels.detach().unbind(-1)
    inside = (column >= 0) & (column < target_width) & (row >= 0) & (row < target_height)
    in_view = measured & (z >= min_depth_metres) & inside
    cell = row.clamp(0, target_height - 1).long() * target_width + column.clamp(0, target_width - 1).long()
    cell = cell.reshape(-1, height * width)
    competing = torch.where(in_view, z, torch.inf).reshape(-1, height * width)
    buffer = competing.new_full((cell.shape[0], target_height * target_width), torch.inf)
    buffer = buffer.scatter_reduce(1, cell, competing, "amin")
    nearest = buffer.detach().gather(1, cell).reshape(z.shape)
    return WarpedDepth(
        pixels=pixels,
        depth_metres=z,
        in_view=in_view,
        visible=in_view & (z <= nearest * (1 + occlusion_tolerance)),
        target_depth_metres=torch.where(buffer.isinf(), 0.0, buffer).reshape(*leading, target_height, target_width),
    )


def register_depth(
    depth_metres: Tensor,
    depth_intrinsics: Tensor,
    colour_intrinsics: Tensor,
    colour_size: tuple[int, int],
    colour_from_depth: Tensor | None = None,
) -> Tensor:
    """Depth as the colour camera sees it, at the wanted size.

    Values are taken from the nearest measured pixel, never blended, so no depth appears that nobody measured. When the
    two cameras stand apart, the map is first carried over with a z-buffer at its own resolution and read from there.

    Args:
        depth_metres (`torch.Tensor`): (h, w) z-depth of the depth camera; 0, negative or non-finite = no measurement.
        depth_intrinsics (`torch.Tensor`): (3, 3), in pixels of `depth_metres`.
        colour_intrinsics (`torch.Tensor`): (3, 3), in pixels of `colour_size`.
        colour_size (`tuple[int, int]`): (height, width) of the result.
        colour_from_depth (`torch.Tensor`, *optional*): (4, 4) rigid transform; identity if not given.

    Returns:
        `torch.Tensor`: (H, W) z-depth of the colour camera, 0 = no measurement.

    Raises:
        ValueError: If a shape does not fit, intrinsics are singular or the transform is.
    """
    if depth_metres.ndim != 2:
        raise ValueError(f"depth_metres must have shape (h, w), got {tuple(depth_metres.shape)}: pass one depth map")
    _check_size("colour_size", colour_size)
    for name, matrix in (("depth_intrinsics", depth_intrinsics), ("colour_intrinsics", colour_intrinsics)):
        _check_intrinsics(name, matrix)
        if matrix.ndim != 2 or not usable_intrinsics(matrix):
            raise ValueError(
                f"{name} must be one finite 3x3 matrix with positive focal lengths, got {matrix.tolist()}: "
                "check the calibration file"
            )
    depth = full_precision(depth_metres)
    depth = torch.where(depth.isfinite() & (depth > 0), depth, 0.0)
    colour, own = colour_intrinsics.to(depth), depth_intrinsics.to(depth)
    if colour_from_depth is not None:
        _check_pose("colour_from_depth", colour_from_depth)
        if colour_from_depth.ndim != 2 or not usable_pose(colour_from_depth):
            raise ValueError(
                f"colour_from_depth must be one finite, invertible 4x4 matrix, got {colour_from_depth.tolist()}: "
                "leave it out if both cameras share a centre"
            )
        if not torch.allclose(colour_from_depth.double().cpu(), torch.eye(4, dtype=torch.float64), atol=1e-6):
            # Splatting into finer pixels leaves holes and into coarser ones keeps only the nearest of many depths:
            # the colour camera at the depth camera's own resolution does neither.
            size = tuple(
                max(1, round(n * float(own[i, i] / colour[i, i])))
                for i, n in ((1, colour_size[0]), (0, colour_size[1]))
            )
            at_depth_resolution = resize_intrinsics(colour, colour_size, size)
            depth = warp_depth(depth, own, colour_from_depth, at_depth_resolution, size).target_depth_metres
            own = at_depth_resolution

    rays = _rays(colour, *colour_size)
    pixels, _ = project(rays, own)
    height, width = depth.shape
    column, row = pixels.floor().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = depth[row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()]
    return torch.where(inside, nearest, 0.0)
