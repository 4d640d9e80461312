"""One box has 24 descriptions, by which of its axes is called x, y and z: which is written, and what ignores them.

A box of a room stands upright in its world. Described by the world's axes it is, in the camera of a level view, turned
by a pitch of 90 degrees, where yaw and roll cannot be told apart and jump between neighbouring views. Described by
those of its axes that lie nearest to the camera's, its angles are small and change as slowly as the view does.
"""

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np

from igep.trainers.geometry.oriented_boxes import box_corners, box_from_rotation, box_rotation, checked_box


TIE = 6  # decimals of the trace to which two descriptions count as equally near


def _turns() -> np.ndarray:
    """(24, 3, 3) rotations that carry the axes into each other; the identity first."""
    signed = [
        np.eye(3)[list(order)] * np.array(signs)
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    return np.array([matrix for matrix in signed if np.linalg.det(matrix) > 0])


TURNS = _turns()


def nearest_axes_box(box: Sequence[float]) -> np.ndarray:
    """The same box, described by those of its axes that lie nearest to the frame's.

    Args:
        box (`Sequence[float]`): Six or nine numbers, see `oriented_boxes`.

    Returns:
        `np.ndarray`: (9,) float64, the description that is turned least, by 63 degrees at most; of several equally
        near always the same.

    Raises:
        ValueError: No box.
    """
    box = checked_box(box)
    rotations = box_rotation(box) @ TURNS
    nearest = np.round(np.trace(rotations, axis1=1, axis2=2), TIE).argmax()
    return box_from_rotation(box[:3], box[3:6] @ np.abs(TURNS[nearest]), rotations[nearest])


def axis_aligned_hull(box: Sequence[float]) -> np.ndarray:
    """The smallest box along the frame's axes that holds a box.

    Args:
        box (`Sequence[float]`): Six or nine numbers.

    Returns:
        `np.ndarray`: (6,) float64; a box along the frame's axes itself comes back as it is.

    Raises:
        ValueError: No box.
    """
    checked = checked_box(box)
    if not checked[6:].any():
        return checked[:6]
    corners = box_corners(checked)
    low, high = corners.min(0), corners.max(0)
    return np.concatenate([(low + high) / 2, high - low])
