"""Cameras as nine numbers: translation, quaternion and field of view, as in VGGT.

The translation and the quaternion (x, y, z, w) are those of `camera_from_world`, where the world is the first camera
of the scene; the field of view is that of the height and of the width, in radians. The principal point is the image's
centre. Axes are those of `camera_geometry`.
"""

import torch
from torch import Tensor

from .camera_geometry import full_precision, invert_pose


CHANNELS = 9
TRANSLATION, QUATERNION, FIELD_OF_VIEW = slice(0, 3), slice(3, 7), slice(7, 9)


def rotation_from_quaternion(quaternion: Tensor) -> Tensor:
    """(..., 4) unit quaternions x, y, z, w -> (..., 3, 3) rotation matrices."""
    x, y, z, w = full_precision(quaternion).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """(..., 3, 3) rotation matrices -> (..., 4) unit quaternions x, y, z, w with w >= 0.

    Of the four forms of the solution the one with the largest divisor is taken (Shepperd 1978).
    """
    r = full_precision(rotation)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    x, y, z = diagonal.unbind(-1)
    four_squares = torch.stack([1 + x - y - z, 1 - x + y - z, 1 - x - y + z, 1 + x + y + z], -1)
    sums = {(i, j): r[..., i, j] + r[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2))}
    differences = {(i, j): r[..., i, j] - r[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))}
    products = (
        (four_squares[..., 0], sums[0, 1], sums[0, 2], differences[2, 1]),
        (sums[0, 1], four_squares[..., 1], sums[1, 2], differences[0, 2]),
        (sums[0, 2], sums[1, 2], four_squares[..., 2], differences[1, 0]),
        (differences[2, 1], differences[0, 2], differences[1, 0], four_squares[..., 3]),
    )
    table = torch.stack([torch.stack(row, -1) for row in products], -2)  # (..., 4, 4), each row a multiple
    largest = four_squares.argmax(-1)[..., None, None].expand(*four_squares.shape[:-1], 1, 4)
    quaternion = torch.nn.functional.normalize(table.gather(-2, largest)[..., 0, :], dim=-1)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def encode_cameras(world_from_camera: Tensor, intrinsics: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Encodes cameras whose world is the first of them.

    Args:
        world_from_camera (`Tensor`): (..., 4, 4); NaN gives NaN.
        intrinsics (`Tensor`): (..., 3, 3) in pixels of `image_size`; the principal point is not encoded.
        image_size (`tuple[int, int]`): Height and width.

    Returns:
        `Tensor`: (..., 9).
    """
    camera_from_world = invert_pose(world_from_camera)
    intrinsics = full_precision(intrinsics)
    height, width = image_size
    fields = [2 * torch.atan(side / (2 * intrinsics[..., i, i])) for side, i in ((height, 1), (width, 0))]
    quaternion = quaternion_from_rotation(camera_from_world[..., :3, :3])
    return torch.cat([camera_from_world[..., :3, 3], quaternion, torch.stack(fields, -1)], -1)


def decode_cameras(encodings: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decodes cameras.

    Args:
        encodings (`Tensor`): (..., 9).
        image_size (`tuple[int, int]`): Height and width that the intrinsics shall speak of.

    Returns:
        `tuple[Tensor, Tensor]`: (..., 4, 4) `world_from_camera` and (..., 3, 3) intrinsics.
    """
    encodings = full_precision(encodings)
    rotation = rotation_from_quaternion(encodings[..., QUATERNION])
    top = torch.cat([rotation, encodings[..., TRANSLATION, None]], -1)
    last_row = encodings.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*encodings.shape[:-1], 1, 4)
    height, width = image_size
    tangents = torch.tan(encodings[..., FIELD_OF_VIEW] / 2)
    fy, fx = height / (2 * tangents[..., 0]), width / (2 * tangents[..., 1])
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = ((fx, zero, zero + width / 2), (zero, fy, zero + height / 2), (zero, zero, one))
    intrinsics = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return invert_pose(torch.cat([top, last_row], -2)), intrinsics
