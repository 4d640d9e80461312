"""Geometry of a batch as teachers are given it."""

import torch

from igep.trainers.supervision.teacher import TeacherGeometry


SIZE = 16


def make_geometry(depth_metres: torch.Tensor, frame_mask: torch.Tensor | None = None) -> TeacherGeometry:
    batch, frames = depth_metres.shape[:2]
    intrinsics = torch.tensor([[10.0, 0, SIZE / 2], [0, 10.0, SIZE / 2], [0, 0, 1]]).expand(batch, frames, 3, 3)
    return TeacherGeometry(
        depth_metres=depth_metres,
        intrinsics=intrinsics,
        world_from_camera=torch.eye(4).expand(batch, frames, 4, 4),
        frame_mask=torch.ones(batch, frames, dtype=torch.bool) if frame_mask is None else frame_mask,
        scene_ids=[f"scene {sample}" for sample in range(batch)],
        frame_ids=[[str(frame) for frame in range(frames)] for _ in range(batch)],
    )
