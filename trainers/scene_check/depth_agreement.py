"""How well the measured depth of one frame, carried into another by the poses, agrees with the depth measured there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from igep.camera_geometry import relative_pose, warp_depth
from igep.trainers.geometry.depth_sampling import crosses_depth_edge, sample_inverse_depth


PAIRS_PER_CHUNK = 16


@dataclass(frozen=True)
class DepthCamera:
    """Depth maps with the camera that measured them.

    Args:
        depth_metres (`torch.Tensor`): (F, H, W) float32 z-depth; 0 = invalid.
        intrinsics (`torch.Tensor`): (F, 3, 3) float32.
        world_from_camera (`torch.Tensor`): (F, 4, 4) float64.
    """

    depth_metres: Tensor
    intrinsics: Tensor
    world_from_camera: Tensor


def thinned(camera: DepthCamera, max_side: int) -> DepthCamera:
    """Keep every n-th row and column, values and rays unchanged.

    Args:
        camera (`DepthCamera`): Depth maps.
        max_side (`int`): Longest side that may remain, in pixels.

    Returns:
        `DepthCamera`: Smaller depth maps.
    """
    step = -(-max(camera.depth_metres.shape[-2:]) // max_side)
    if step == 1:
        return camera
    first = step // 2
    intrinsics = camera.intrinsics.clone()
    # Pixel i of the small map is pixel i * step + first of the large one, centres at +0.5.
    intrinsics[:, :2, 2] -= first + 0.5
    intrinsics[:, :2] /= step
    intrinsics[:, :2, 2] += 0.5
    return DepthCamera(camera.depth_metres[:, first::step, first::step], intrinsics, camera.world_from_camera)


def depth_agreement(camera: DepthCamera, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Carry depth from source frames into target frames and compare it with what was measured there.

    Places between two surfaces are left out: interpolation says nothing about them. Occluded pixels stay in: they are
    few, and leaving out what does not agree would hide wrong poses.

    Args:
        camera (`DepthCamera`): F depth maps.
        sources (`torch.Tensor`): (P,) int64, frames to carry.
        targets (`torch.Tensor`): (P,) int64, frames to compare with.

    Returns:
        `tuple[Tensor, Tensor, Tensor]`: (P,) each: the fraction of measured source pixels that land inside the target
        image, the median relative error of those that can be compared (nan when none can), and their number.
    """
    chunks = [
        _agreement(camera, source, target)
        for source, target in zip(sources.split(PAIRS_PER_CHUNK), targets.split(PAIRS_PER_CHUNK), strict=True)
    ]
    overlap, error, count = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return overlap, error, count


def _agreement(camera: DepthCamera, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    target_from_source = relative_pose(camera.world_from_camera[target], camera.world_from_camera[source])
    depth, target_depth = camera.depth_metres[source], camera.depth_metres[target]
    warped = warp_depth(depth, camera.intrinsics[source], target_from_source.float(), camera.intrinsics[target])
    places = torch.where(warped.in_view[..., None], warped.pixels, 0.0)
    sampled = sample_inverse_depth(target_depth, places)
    comparable = warped.in_view & sampled.valid & ~crosses_depth_edge(target_depth, places)
    expected = sampled.depth_metres.clamp_min(1e-6)
    relative = torch.where(comparable, (warped.depth_metres - expected).abs() / expected, torch.nan)
    overlap = warped.in_view.sum((1, 2)) / (depth > 0).sum((1, 2)).clamp_min(1)
    return overlap, relative.flatten(1).nanmedian(1).values, comparable.sum((1, 2))
