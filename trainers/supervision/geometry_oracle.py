"""The teacher that needs no weights: the ground-truth geometry itself, embedded."""

import torch

from igep.camera_geometry import unproject
from igep.trainers.supervision.teacher import Teacher, TeacherGeometry


# Mean and standard deviation of the points that indoor cameras see, in the camera's frame (x right, y down, z
# forward).
INDOOR_MEAN_METRES = (0.0, 0.0, 3.0)
INDOOR_STD_METRES = (1.2, 1.0, 1.4)


class GeometryOracleTeacher(Teacher):
    """Embeds the ground-truth point of each patch, in the camera's frame: the default, which needs no weights.

    The embedding is random Fourier features (Rahimi and Recht, 2007) of a Gaussian kernel over metres: the cosine of
    two descriptors falls with the distance of the two points. Their mean is subtracted, otherwise all descriptors
    share a large common part and a constant student would look well aligned. It is taken in closed form for normally
    distributed points: E[cos(w x)] = cos(w m) exp(-|s w|^2 / 2), and the same with sines. So it depends on no batch,
    and is the same on every rank and after a resume.

    Args:
        grid (`int`, *optional*, defaults to `8`): Patches along each side of the depth map, h = w. Where it does not
            divide the side, neighbouring patches share a row or column of pixels.
        num_frequencies (`int`, *optional*, defaults to `32`): Frequencies; C is twice as many.
        length_scale_metres (`float`, *optional*, defaults to `1.5`): Width of the kernel.
        mean_metres (`tuple[float, float, float]`, *optional*): Expected mean of the points.
        std_metres (`tuple[float, float, float]`, *optional*): Expected standard deviation of the points.
        seed (`int`, *optional*, defaults to `7`): Seed of the frequencies.

    Raises:
        ValueError: A size that is not positive.
    """

    def __init__(
        self,
        grid: int = 8,
        num_frequencies: int = 32,
        length_scale_metres: float = 1.5,
        mean_metres: tuple[float, float, float] = INDOOR_MEAN_METRES,
        std_metres: tuple[float, float, float] = INDOOR_STD_METRES,
        seed: int = 7,
    ):
        for name, value in (
            ("grid", grid),
            ("num_frequencies", num_frequencies),
            ("length_scale_metres", length_scale_metres),
        ):
            if value <= 0:
                raise ValueError(f"{name}={value} of the geometry oracle: give a positive number.")
        self.grid = grid
        self.channels = 2 * num_frequencies
        generator = torch.Generator().manual_seed(seed)
        self.frequencies = torch.randn(3, num_frequencies, generator=generator) / length_scale_metres
        phase = (torch.tensor(mean_metres)[:, None] * self.frequencies).sum(0)
        spread = torch.tensor(std_metres)[:, None] * self.frequencies
        damping = torch.exp(-0.5 * spread.square().sum(0))
        self.mean_descriptor = torch.cat([phase.cos() * damping, phase.sin() * damping])

    def to(self, device: torch.device | str) -> "GeometryOracleTeacher":
        self.frequencies = self.frequencies.to(device)
        self.mean_descriptor = self.mean_descriptor.to(device)
        return self

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor | None, geometry: TeacherGeometry) -> torch.Tensor:
        points = self.patch_points(geometry)
        known = points.isfinite().all(-1, keepdim=True)
        # Written out: a matrix product would run in bfloat16 under autocast and in TF32 where that is allowed.
        phase = (torch.where(known, points, 0.0)[..., None] * self.frequencies).sum(-2)
        descriptors = torch.cat([phase.cos(), phase.sin()], -1) - self.mean_descriptor
        return torch.where(known, descriptors, 0.0)

    def patch_points(self, geometry: TeacherGeometry) -> torch.Tensor:
        """The point seen by the pixel of median depth of each patch: a median that lies on a surface.

        Args:
            geometry (`TeacherGeometry`): Depth and intrinsics.

        Returns:
            `torch.Tensor`: (B, F, grid, grid, 3) float32 in the camera's frame, NaN where a patch has no valid pixel.
        """
        depth = geometry.depth_metres.float()
        height, width = depth.shape[2:]
        points = unproject(depth, geometry.intrinsics.float())
        valid = (depth > 0) & depth.isfinite() & points.isfinite().all(-1)
        valid &= geometry.frame_mask[:, :, None, None]
        rows, has_row = _patch_pixels(height, self.grid, depth.device)
        columns, has_column = _patch_pixels(width, self.grid, depth.device)
        here = (slice(None), slice(None), rows[:, None, :, None], columns[None, :, None, :])
        inside = has_row[:, None, :, None] & has_column[None, :, None, :]
        patches = torch.where(valid, depth, torch.nan)[here].where(inside, torch.nan).flatten(4)
        points = points[here].flatten(4, 5)
        median, index = patches.nanmedian(-1)
        chosen = points.gather(4, index[..., None, None].expand(*index.shape, 1, 3)).squeeze(4)
        return torch.where(median[..., None].isnan(), torch.nan, chosen)


def _patch_pixels(side: int, grid: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(grid, P) places along a side of the pixels that each patch touches, and which it does: sizes may differ."""
    edges = torch.arange(grid + 1, device=device) * side
    first, end = edges[:-1] // grid, (edges[1:] + grid - 1) // grid
    places = first[:, None] + torch.arange(int((end - first).max()), device=device)
    return places.clamp(max=side - 1), places < end[:, None]
