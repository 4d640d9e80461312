"""Which frames of a posed RGB-D video together see most of its surfaces: maximum coverage, greedily, the same every time.

Maximum coverage sampling of Video-3D LLM (Zheng et al., 2025), with ties and leftovers decided by order instead of at random.
"""

from collections.abc import Sequence

import numpy as np


VOXEL_METRES = 0.1


def voxels_seen(
    depth_metres: np.ndarray,
    intrinsics: np.ndarray,
    world_from_camera: np.ndarray,
    voxel_metres: float = VOXEL_METRES,
    pixel_stride: int = 1,
) -> np.ndarray:
    """The voxels of the world in which a depth map has a surface.

    Args:
        depth_metres (`np.ndarray`): (H, W) z-depth; 0 or not finite = invalid, which sees nothing.
        intrinsics (`np.ndarray`): (3, 3) of the depth map's pixels, centres at +0.5.
        world_from_camera (`np.ndarray`): (4, 4) of the depth camera.
        voxel_metres (`float`, *optional*, defaults to `0.1`): Edge of a voxel.
        pixel_stride (`int`, *optional*, defaults to `1`): Use every n-th pixel of both axes.

    Returns:
        `np.ndarray`: (K, 3) int64, each voxel once, sorted.
    """
    depth = depth_metres[::pixel_stride, ::pixel_stride]
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    z = depth[rows, columns].astype(np.float64)
    pixels = np.stack([columns * pixel_stride + 0.5, rows * pixel_stride + 0.5, np.ones(len(z))])
    camera = np.linalg.inv(intrinsics) @ pixels * z
    world = world_from_camera[:3, :3] @ camera + world_from_camera[:3, 3:]
    return np.unique(np.round(world.T / voxel_metres).astype(np.int64), axis=0)


def coverage_frame_indices(voxels: Sequence[np.ndarray], num_frames: int) -> np.ndarray:
    """Frames that each add most voxels to those taken before.

    Of frames that add equally many, the first is taken. Where none adds any more, it is the one farthest in time from those
    taken, of equals again the first.

    Args:
        voxels (`Sequence[np.ndarray]`): Of each frame (K, 3) integers, without repetition (see `voxels_seen`).
        num_frames (`int`): Frames wanted.

    Returns:
        `np.ndarray`: (num_frames,) int64, strictly increasing.

    Raises:
        ValueError: Fewer frames than wanted, or fewer than one wanted.
    """
    if not 1 <= num_frames <= len(voxels):
        raise ValueError(f"num_frames={num_frames}: ask for 1 to {len(voxels)} frames, which is what there is.")
    everything, numbers = np.unique(
        np.concatenate([*voxels, np.empty((0, 3), dtype=np.int64)]), axis=0, return_inverse=True
    )
    ends = np.cumsum([len(seen) for seen in voxels])
    members = np.split(numbers.reshape(-1), ends[:-1])
    covered = np.zeros(len(everything), dtype=bool)
    taken: list[int] = []
    for _ in range(num_frames):
        gains = np.array([-1 if frame in taken else (~covered[own]).sum() for frame, own in enumerate(members)])
        frame = int(gains.argmax())
        if gains[frame] == 0 and taken:
            rest = [other for other in range(len(voxels)) if other not in taken]
            frame = max(rest, key=lambda other: (min(abs(other - one) for one in taken), -other))
        taken.append(frame)
        covered[members[frame]] = True
    return np.array(sorted(taken), dtype=np.int64)
