"""What a reconstruction is compared with: depth, points and cameras in the first camera's frame and a unit of its own.

As in VGGT, the world is the first camera, and lengths are divided by the mean distance of the seen points from it:
moving or turning the scene's world changes nothing, and a scene twice as large has the same targets. Predictions are
not normalised.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from igep.camera_geometry import (
    full_precision,
    relative_pose,
    transform_points,
    unproject,
    usable_intrinsics,
    usable_pose,
)
from igep.pose_encoding import encode_cameras
from igep.trainers.supervision.geometry_losses import measured_pixels
from igep.trainers.supervision.per_sample import outside_autocast, sample_mean


@dataclass(frozen=True)
class ReconstructionTargets:
    """Targets of one batch. What is unknown is zero and masked.

    Args:
        depth (`torch.Tensor`): (B, F, H, W) z-depth over `unit_metres`.
        has_depth (`torch.Tensor`): (B, F, H, W) bool.
        points (`torch.Tensor`): (B, F, H, W, 3) in the first camera's frame, over `unit_metres`.
        has_points (`torch.Tensor`): (B, F, H, W) bool: measured, with known intrinsics and known poses of this and the
            first frame.
        cameras (`torch.Tensor`): (B, F, 9) as `pose_encoding` has them, translations over `unit_metres`.
        has_rotation (`torch.Tensor`): (B, F) bool: poses of this and the first frame are known.
        has_translation (`torch.Tensor`): (B, F) bool: likewise, and the sample has a unit: depth, if it is not the
            metre.
        has_field_of_view (`torch.Tensor`): (B, F) bool.
        unit_metres (`torch.Tensor`): (B,) mean distance of the sample's points from the first camera; without points
            the mean depth; 1 where no depth is measured, or metres are asked for.
    """

    depth: Tensor
    has_depth: Tensor
    points: Tensor
    has_points: Tensor
    cameras: Tensor
    has_rotation: Tensor
    has_translation: Tensor
    has_field_of_view: Tensor
    unit_metres: Tensor


@torch.no_grad()
@outside_autocast
def reconstruction_targets(
    depth_metres: Tensor,
    intrinsics: Tensor,
    world_from_camera: Tensor,
    frame_mask: Tensor,
    in_metres: bool = False,
) -> ReconstructionTargets:
    """Brings the geometry of a batch into the first camera's frame and its own unit.

    Args:
        depth_metres (`torch.Tensor`): (B, F, H, W) z-depth; 0, negative or non-finite = not measured.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) in pixels of the depth; non-finite or singular = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4); non-finite or singular = unknown. Float64 keeps its precision
            until the relative pose is formed.
        frame_mask (`torch.Tensor`): (B, F) bool, real (not padded) frames; the first of a sample is real.
        in_metres (`bool`, *optional*, defaults to `False`): The unit is the metre throughout, for a model without
            metric depth, whose reconstruction nothing scales afterwards.

    Returns:
        `ReconstructionTargets`

    Raises:
        ValueError: A shape does not fit.
    """
    frames = tuple(depth_metres.shape[:2])
    for name, value, shape in (
        ("intrinsics", intrinsics, (*frames, 3, 3)),
        ("world_from_camera", world_from_camera, (*frames, 4, 4)),
        ("frame_mask", frame_mask, frames),
    ):
        if depth_metres.ndim != 4 or tuple(value.shape) != shape:
            raise ValueError(
                f"{name} is {tuple(value.shape)}, depth_metres {tuple(depth_metres.shape)}: give (B, F, H, W) depth "
                "and one entry per frame."
            )
    depth = full_precision(depth_metres)
    has_depth = measured_pixels(depth) & frame_mask[..., None, None]
    depth = torch.where(has_depth, depth, 0.0)

    # Cameras: unknown ones become harmless before any arithmetic and are masked.
    has_field = usable_intrinsics(intrinsics) & frame_mask
    is_posed = usable_pose(world_from_camera) & frame_mask
    has_rotation = is_posed & is_posed[:, :1]
    intrinsics = torch.where(has_field[..., None, None], intrinsics, torch.eye(3).to(intrinsics)).to(depth.dtype)
    poses = torch.where(has_rotation[..., None, None], world_from_camera, torch.eye(4).to(world_from_camera))
    first_from_camera = relative_pose(poses[:, :1], poses).to(depth.dtype)

    # Points and the unit that they give
    has_points = has_depth & (has_field & has_rotation)[..., None, None]
    points = transform_points(first_from_camera, unproject(depth, intrinsics))
    points = torch.where(has_points[..., None], points, 0.0)
    measures_points, measures_depth = has_points.flatten(1).any(1), has_depth.flatten(1).any(1)
    has_unit = torch.ones_like(measures_depth) if in_metres else measures_depth
    unit = torch.where(
        measures_points,
        sample_mean(torch.linalg.vector_norm(points, dim=-1), has_points.to(depth.dtype)),
        torch.where(measures_depth, sample_mean(depth, has_depth.to(depth.dtype)), 1.0),
    )

    if in_metres:
        unit = torch.ones_like(unit)

    in_unit = first_from_camera.clone()
    in_unit[..., :3, 3] /= unit[:, None, None]
    return ReconstructionTargets(
        depth=depth / unit[:, None, None, None],
        has_depth=has_depth,
        points=points / unit[:, None, None, None, None],
        has_points=has_points,
        cameras=encode_cameras(in_unit, intrinsics, tuple(depth.shape[-2:])),
        has_rotation=has_rotation,
        has_translation=has_rotation & has_unit[:, None],
        has_field_of_view=has_field,
        unit_metres=unit,
    )
