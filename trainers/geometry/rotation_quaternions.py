"""Unit quaternions of rotation matrices, on the device where the matrices are."""

import torch
from torch import Tensor

from igep.camera_geometry import full_precision


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """The quaternion of each rotation, scalar last and not negative: x, y, z, w.

    Taken from the row of `q q^T` with the largest diagonal entry, which is accurate for every angle.

    Args:
        rotation (`torch.Tensor`): (..., 3, 3).

    Returns:
        `torch.Tensor`: (..., 4) of unit length.

    Raises:
        ValueError: The last two dimensions are not 3x3.
    """
    if rotation.ndim < 2 or rotation.shape[-2:] != (3, 3):
        raise ValueError(
            f"rotation must have shape (..., 3, 3), got {tuple(rotation.shape)}: of a pose take the upper left block."
        )
    r = full_precision(rotation)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    xw, yw, zw = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    # 4 q q^T, symmetric
    entries = (
        *(1 + xx - yy - zz, xy, xz, xw),
        *(xy, 1 - xx + yy - zz, yz, yw),
        *(xz, yz, 1 - xx - yy + zz, zw),
        *(xw, yw, zw, 1 + xx + yy + zz),
    )
    outer = torch.stack(entries, -1).unflatten(-1, (4, 4))
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    quaternion = torch.nn.functional.normalize(row, dim=-1)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
