"""3D boxes, axis-aligned and oriented, and the exact volume that two of them share.

A box is six numbers, `[x, y, z, w, h, l]`: its centre, then its full sizes along the x, y and z axes of the frame it
is given in, all in metres. An oriented box is nine: `[x, y, z, w, h, l, yaw, pitch, roll]`, angles in degrees, and its
sizes lie along axes of its own. `frame_from_box = Ry(yaw) Rx(pitch) Rz(roll)`, the one angle convention of
`camera_angles`; with angles of 0 the nine numbers are the box of the first six.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull

from igep.trainers.geometry.camera_angles import (
    checked_rotation,
    rotation_from_yaw_pitch_roll,
    yaw_pitch_roll_from_rotation,
)


FLAT = 1e-9  # thickness of an intersection, as a share of its longest side, below which its volume counts as 0
ROUNDING = 1e-12  # share of a box's extent by which a corner may lie outside a wall that it touches
SIGNS = np.array([[1 if corner >> axis & 1 else -1 for axis in range(3)] for corner in range(8)])
EDGES = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1])


def box_problem(box: Sequence[float]) -> str | None:
    """Says what keeps some numbers from being a box.

    Args:
        box (`Sequence[float]`): The numbers.

    Returns:
        `str` or `None`: The problem in a few words; `None` for a box. Sizes may be 0: such a box has no volume.
    """
    if len(box) not in (6, 9):
        return f"has {len(box)} numbers, not 6 or 9"
    if any(number is None for number in box) or not np.isfinite(np.asarray(box, dtype=np.float64)).all():
        return "holds a number that is not finite"
    if min(box[3:6]) < 0:
        return "has a negative size"
    return None


def checked_box(box: Sequence[float]) -> np.ndarray:
    """A box as an array.

    Args:
        box (`Sequence[float]`): Six or nine numbers.

    Returns:
        `np.ndarray`: (9,) float64; angles are 0 where six were given.

    Raises:
        ValueError: No box; the message says why.
    """
    problem = box_problem(box)
    if problem:
        raise ValueError(
            f"The box {list(box)} {problem}: give [x, y, z, w, h, l] in metres, "
            "or these and yaw, pitch and roll in degrees."
        )
    return np.concatenate([np.asarray(box, dtype=np.float64), np.zeros(9 - len(box))])


def box_rotation(box: Sequence[float]) -> np.ndarray:
    """The axes of a box.

    Args:
        box (`Sequence[float]`): Six or nine numbers.

    Returns:
        `np.ndarray`: (3, 3) float64 `frame_from_box`; its columns are the box's own x, y and z axes.

    Raises:
        ValueError: No box.
    """
    return rotation_from_yaw_pitch_roll(*checked_box(box)[6:])


def box_from_rotation(
    centre_metres: Sequence[float], size_metres: Sequence[float], frame_from_box: np.ndarray
) -> np.ndarray:
    """Writes a box whose axes are known as nine numbers; `box_rotation` reads the axes back.

    Args:
        centre_metres (`Sequence[float]`): (3,).
        size_metres (`Sequence[float]`): (3,) full sizes along the box's own axes.
        frame_from_box (`np.ndarray`): (3, 3) rotation.

    Returns:
        `np.ndarray`: (9,) float64.

    Raises:
        ValueError: Numbers that are no box, or a matrix that does not rotate.
    """
    angles = yaw_pitch_roll_from_rotation(checked_rotation(frame_from_box))
    return checked_box([*centre_metres, *size_metres, *angles])


def transform_box(box: Sequence[float], target_from_source: np.ndarray) -> np.ndarray:
    """Carries a box into another frame.

    Args:
        box (`Sequence[float]`): Six or nine numbers in the source frame.
        target_from_source (`np.ndarray`): (4, 4) rigid transform, for instance `camera_from_world`.

    Returns:
        `np.ndarray`: (9,) float64 in the target frame.

    Raises:
        ValueError: No box, or a transform that is not rigid and finite.
    """
    box = checked_box(box)
    target_from_source = np.asarray(target_from_source, dtype=np.float64)
    if target_from_source.shape != (4, 4):
        raise ValueError(f"target_from_source has shape {target_from_source.shape}: give a (4, 4) rigid transform.")
    rotation = checked_rotation(target_from_source)
    centre = rotation @ box[:3] + target_from_source[:3, 3]
    return box_from_rotation(centre, box[3:6], rotation @ box_rotation(box))


def box_corners(box: Sequence[float]) -> np.ndarray:
    """The corners of a box.

    Args:
        box (`Sequence[float]`): Six or nine numbers.

    Returns:
        `np.ndarray`: (8, 3) float64 in the box's frame of reference; corner i lies at the upper end of the box's own
        axis a where bit a of i is set.

    Raises:
        ValueError: No box.
    """
    box = checked_box(box)
    return box[:3] + (SIGNS * box[3:6] / 2) @ box_rotation(box).T


def box_ious(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> np.ndarray:
    """IoU of every box of one set with every one of another, exact up to rounding.

    Every vertex of what two turned boxes share lies at an end of an edge of one of them, cut by the other; the volume
    is that of the vertices' convex hull (Qhull).

    Args:
        first (`Sequence[Sequence[float]]`): N boxes of six or nine numbers.
        second (`Sequence[Sequence[float]]`): M boxes in the same frame.

    Returns:
        `np.ndarray`: (N, M) float64 in [0, 1]; 0 where a box has no volume.

    Raises:
        ValueError: No box.
    """
    first, second = (np.array([checked_box(box) for box in boxes]).reshape(-1, 9) for boxes in (first, second))
    half, other_half = first[:, None, 3:6] / 2, second[:, 3:6] / 2
    low = np.maximum(first[:, None, :3] - half, second[:, :3] - other_half)
    high = np.minimum(first[:, None, :3] + half, second[:, :3] + other_half)
    shared = np.clip(high - low, 0, None).prod(-1)
    for row, column in np.argwhere(first[:, 6:].any(1)[:, None] | second[:, 6:].any(1)):
        shared[row, column] = _shared_volume(first[row], second[column])
    union = first[:, None, 3:6].prod(-1) + second[:, 3:6].prod(-1) - shared
    return np.clip(np.divide(shared, union, out=np.zeros_like(union), where=union > 0), 0, 1)


def box_iou(first: Sequence[float], second: Sequence[float]) -> float:
    """IoU of two boxes; see `box_ious`.

    Args:
        first (`Sequence[float]`): Six or nine numbers.
        second (`Sequence[float]`): Six or nine numbers in the same frame.

    Returns:
        `float`: In [0, 1].

    Raises:
        ValueError: No box.
    """
    return float(box_ious([first], [second])[0, 0])


def _shared_volume(first: np.ndarray, second: np.ndarray) -> float:
    """Cubic metres that two boxes of nine numbers share."""
    apart = first[:3] - second[:3]
    if np.linalg.norm(apart) >= (np.linalg.norm(first[3:6]) + np.linalg.norm(second[3:6])) / 2:
        return 0.0
    near = [np.concatenate([centre, box[3:]]) for centre, box in ((apart, first), (np.zeros(3), second))]
    vertices = np.concatenate([_cut_edges(*near), _cut_edges(*near[::-1])])  # near 0 numbers keep their digits
    return _hull_volume(vertices)


def _cut_edges(box: np.ndarray, cutter: np.ndarray) -> np.ndarray:
    """(n, 3) ends of what the cutter leaves of the box's twelve edges."""
    rotation = box_rotation(cutter)
    local = (box_corners(box) - cutter[:3]) @ rotation
    starts = local[EDGES[:, 0]]
    along = local[EDGES[:, 1]] - starts
    half = cutter[3:6] / 2
    half = half + ROUNDING * max(half.max(), np.abs(local).max())
    # Where the line of an edge enters and leaves each slab |x| <= half; parallel to it, within everywhere or nowhere.
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.sort(np.stack([(-half - starts) / along, (half - starts) / along]), axis=0)
    within = np.where(np.abs(starts) <= half, np.inf, -np.inf)
    entry = np.where(along == 0, -within, walls[0]).max(1).clip(min=0)
    leave = np.where(along == 0, within, walls[1]).min(1).clip(max=1)
    kept = entry <= leave
    ends = [starts[kept] + share[kept, None] * along[kept] for share in (entry, leave)]
    return np.concatenate(ends) @ rotation.T + cutter[:3]


def _hull_volume(points: np.ndarray) -> float:
    """Volume of the convex hull of (n, 3) points; 0 for points in a plane, of which Qhull would make an error."""
    if len(points) < 4:
        return 0.0
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    if spread[2] <= FLAT * spread[0]:
        return 0.0
    return float(ConvexHull(points).volume)
