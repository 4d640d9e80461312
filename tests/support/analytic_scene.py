"""A slanted wall with a box in front of it, rendered in closed form: depth and visibility are known exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnalyticScene:
    """World of the scene: the wall `normal . X = offset_metres` and an axis-aligned box, both in metres."""

    normal: tuple[float, float, float] = (0.2, -0.15, 1.0)
    offset_metres: float = 4.0
    box_low: tuple[float, float, float] = (-0.45, -0.4, 1.9)
    box_high: tuple[float, float, float] = (0.4, 0.5, 2.3)

    def first_hit(self, origin: Tensor, directions: Tensor) -> Tensor:
        """Smallest positive t with `origin + t * direction` on a surface; directions (..., 3)."""
        normal = torch.tensor(self.normal, dtype=torch.float64)
        wall = (self.offset_metres - origin @ normal) / (directions @ normal)
        wall = torch.where(wall > 0, wall, torch.inf)
        low = (torch.tensor(self.box_low, dtype=torch.float64) - origin) / directions
        high = (torch.tensor(self.box_high, dtype=torch.float64) - origin) / directions
        enters, leaves = torch.minimum(low, high).amax(-1), torch.maximum(low, high).amin(-1)
        box = torch.where((enters <= leaves) & (enters > 0), enters, torch.inf)
        return torch.minimum(wall, box)

    def depth_metres(self, intrinsics: Tensor, world_from_camera: Tensor, height: int, width: int) -> Tensor:
        """(H, W) float64 z-depth."""
        return self.first_hit(world_from_camera[:3, 3], self._rays(intrinsics, world_from_camera, height, width))

    def points_world(self, intrinsics: Tensor, world_from_camera: Tensor, height: int, width: int) -> Tensor:
        """(H, W, 3) float64 point seen by each pixel."""
        rays = self._rays(intrinsics, world_from_camera, height, width)
        return world_from_camera[:3, 3] + self.first_hit(world_from_camera[:3, 3], rays)[..., None] * rays

    def sees(self, points: Tensor, intrinsics: Tensor, world_from_camera: Tensor, height: int, width: int) -> Tensor:
        """(...) bool: the point lies in the camera's image and nothing stands before it."""
        towards = points - world_from_camera[:3, 3]
        camera = towards @ world_from_camera[:3, :3]
        u = intrinsics[0, 0] * camera[..., 0] / camera[..., 2] + intrinsics[0, 2]
        v = intrinsics[1, 1] * camera[..., 1] / camera[..., 2] + intrinsics[1, 2]
        inside = (camera[..., 2] > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        return inside & (self.first_hit(world_from_camera[:3, 3], towards) > 1 - 1e-6)

    def _rays(self, intrinsics: Tensor, world_from_camera: Tensor, height: int, width: int) -> Tensor:
        y, x = torch.meshgrid(
            torch.arange(height, dtype=torch.float64) + 0.5,
            torch.arange(width, dtype=torch.float64) + 0.5,
            indexing="ij",
        )
        camera = [
            (x - intrinsics[0, 2]) / intrinsics[0, 0],
            (y - intrinsics[1, 2]) / intrinsics[1, 1],
            torch.ones_like(x),
        ]
        return torch.stack(camera, dim=-1) @ world_from_camera[:3, :3].T


def pose(x: float, y: float, z: float, yaw_degrees: float = 0.0, pitch_degrees: float = 0.0) -> Tensor:
    """(4, 4) float64 `world_from_camera`: turned about y, then about x, standing at (x, y, z)."""
    yaw, pitch = torch.deg2rad(torch.tensor([yaw_degrees, pitch_degrees], dtype=torch.float64))
    turn = torch.tensor([[yaw.cos(), 0, yaw.sin()], [0, 1, 0], [-yaw.sin(), 0, yaw.cos()]], dtype=torch.float64)
    tilt = torch.tensor(
        [[1, 0, 0], [0, pitch.cos(), -pitch.sin()], [0, pitch.sin(), pitch.cos()]], dtype=torch.float64
    )
    result = torch.eye(4, dtype=torch.float64)
    result[:3, :3] = turn @ tilt
    result[:3, 3] = torch.tensor([x, y, z], dtype=torch.float64)
    return result


POSES = torch.stack([pose(0.25, 0.1, 0.1, -5, 3), pose(-0.3, 0, 0, 4)])


def camera(focal: float, height: int, width: int) -> Tensor:
    """(3, 3) float64 intrinsics with the principal point in the middle of the image."""
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)


def views(
    scene: AnalyticScene, size: tuple[int, int], dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Depth (1, 2, H, W), intrinsics (1, 2, 3, 3) and `world_from_camera` (1, 2, 4, 4) of the scene from `POSES`."""
    intrinsics = camera(60.0 * size[1] / 64, *size)
    depth = torch.stack([scene.depth_metres(intrinsics, each, *size) for each in POSES])
    return depth[None].to(dtype), intrinsics.to(dtype).expand(1, 2, 3, 3), POSES[None].to(dtype)
