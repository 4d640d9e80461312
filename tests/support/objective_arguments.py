"""What an objective takes: predictions and targets of two samples of the analytic scene."""

import torch
from analytic_scene import AnalyticScene, views


def objective_arguments(**changes) -> dict:
    """Returns two samples of two frames, their predictions and targets, as `igep_objective` takes them."""
    depth, intrinsics, poses = (value.repeat(2, *[1] * (value.ndim - 1)) for value in views(AnalyticScene(), (12, 16)))
    arguments = {
        "predicted_depth_metres": (depth * 1.1).requires_grad_(),
        "confidence": torch.full_like(depth, 1.5).requires_grad_(),
        "student": torch.randn(2, 2, 3, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_(),
        "depth_metres": depth,
        "intrinsics": intrinsics,
        "world_from_camera": poses,
        "frame_mask": torch.ones(2, 2, dtype=torch.bool),
        "neighbour_index": torch.tensor([[1, 0], [1, 0]]),
        "teacher_descriptors": torch.randn(2, 2, 6, 8, 6, generator=torch.Generator().manual_seed(1)),
        "geometry_weight": 1.0,
        "cross_view_weight": 0.1,
        "global_weight": 0.5,
        "uncertainty_alpha": 0.2,
        "pooled_alignment": False,
    }
    return arguments | changes
