"""Which frames of a posed RGB-D video together see most of its surfaces: maximum coverage, greedily, always the same.

Maximum coverage sampling of Video-3D LLM (Zheng et al., 2025), with ties and leftovers decided by order instead of at
random.
"""

import heapq
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
    voxels = np.round(world.T / voxel_metres).astype(np.int64)
    return voxels[np.unique(_places(voxels), return_index=True)[1]]


def coverage_frame_indices(voxels: Sequence[np.ndarray], num_frames: int) -> np.ndarray:
    """Frames that each add most voxels to those taken before.

    Of frames that add equally many, the first is taken. Where none adds any more, it is the one farthest in time from
    those taken, of equals again the first.

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
    places = _places(np.concatenate([*voxels, np.empty((0, 3), dtype=np.int64)]))
    everything, numbers = np.unique(places, return_inverse=True)
    members = np.split(numbers, np.cumsum([len(seen) for seen in voxels])[:-1])
    covered = np.zeros(len(everything), dtype=bool)
    taken: list[int] = []
    # What a frame adds only falls as others are taken: one whose last count is still the highest need not wait for the
    # rest.
    most_first = [(-len(own), frame) for frame, own in enumerate(members)]
    heapq.heapify(most_first)
    while len(taken) < num_frames:
        added, frame = heapq.heappop(most_first)
        current = (-int((~covered[members[frame]]).sum()), frame)
        if current[0] != added:
            heapq.heappush(most_first, current)
            continue
        if added == 0 and taken:
            break
        taken.append(frame)
        covered[members[frame]] = True
    while len(taken) < num_frames:
        rest = [frame for frame in range(len(voxels)) if frame not in taken]
        taken.append(max(rest, key=lambda frame: (min(abs(frame - one) for one in taken), -frame)))
    return np.array(sorted(taken), dtype=np.int64)


def _places(voxels: np.ndarray) -> np.ndarray:
    """(N,) int64, a number for each voxel by its place in the block around all of them, in the order of x, y and z."""
    if not len(voxels):
        return np.empty(0, dtype=np.int64)
    low = voxels.min(0)
    _, height, depth = (voxels.max(0) - low + 1).tolist()
    return (voxels - low) @ np.array([height * depth, depth, 1])
