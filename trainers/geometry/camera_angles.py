"""Angles of camera rotations, in one convention: the way a person describes how a camera turned.

All rotations are about the axes of the first camera (x right, y down, z forward), and `first_from_second` carries
directions of the second camera into it. Yaw turns right, pitch looks up, roll banks right; applied in that order, each
about the axes that the one before has turned: `first_from_second = Ry(yaw) Rx(pitch) Rz(roll)`.
"""

import warnings

import numpy as np
from scipy.spatial.transform import Rotation


DRIFT = 0.05  # of |R^T R - 1|: poses of a scene may each have 0.01, and what is between two of them has more
YAW_PITCH_ROLL = "YXZ"  # scipy's name for turns about y, x and z, each about the axes that the one before has turned


def rotation_from_yaw_pitch_roll(yaw_degrees: float, pitch_degrees: float, roll_degrees: float) -> np.ndarray:
    """Composes a rotation.

    Args:
        yaw_degrees (`float`): Positive turns right.
        pitch_degrees (`float`): Positive looks up.
        roll_degrees (`float`): Positive banks right.

    Returns:
        `np.ndarray`: (3, 3) float64 `first_from_second`.
    """
    return Rotation.from_euler(YAW_PITCH_ROLL, [yaw_degrees, pitch_degrees, roll_degrees], degrees=True).as_matrix()


def yaw_pitch_roll_from_rotation(first_from_second: np.ndarray) -> tuple[float, float, float]:
    """Takes a rotation apart; the inverse of `rotation_from_yaw_pitch_roll`.

    Args:
        first_from_second (`np.ndarray`): (3, 3) rotation, or the (4, 4) pose that holds it.

    Returns:
        `tuple[float, float, float]`: Yaw and roll in (-180, 180], pitch in [-90, 90] degrees. Looking straight up or
        down, where yaw and roll cannot be told apart, roll is 0.

    Raises:
        ValueError: Not a finite rotation.
    """
    rotation = Rotation.from_matrix(checked_rotation(first_from_second))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock", category=UserWarning)  # roll is then 0, as promised
        yaw, pitch, roll = rotation.as_euler(YAW_PITCH_ROLL, degrees=True).tolist()
    return yaw, pitch, roll


def rotation_angle_degrees(rotation: np.ndarray) -> float:
    """The angle of a rotation about its own axis.

    Args:
        rotation (`np.ndarray`): (3, 3) rotation, or the (4, 4) pose that holds it.

    Returns:
        `float`: In [0, 180]; exact for small angles too.

    Raises:
        ValueError: Not a finite rotation.
    """
    return float(np.degrees(Rotation.from_matrix(checked_rotation(rotation)).magnitude()))


def direction_angle_degrees(first: np.ndarray, second: np.ndarray) -> float:
    """The angle between two directions.

    Args:
        first (`np.ndarray`): (3,) of any length but 0.
        second (`np.ndarray`): (3,) of any length but 0.

    Returns:
        `float`: In [0, 180]; exact for small angles too.

    Raises:
        ValueError: A vector that is not finite or has no length.
    """
    units = []
    for vector in (first, second):
        vector = np.asarray(vector, dtype=np.float64)
        largest = np.abs(vector).max()
        if vector.shape != (3,) or not np.isfinite(largest) or largest == 0:
            raise ValueError(f"{vector.tolist()} is no direction: give three finite numbers that are not all 0.")
        scaled = vector / largest  # so that the length of a huge or tiny vector stays a number
        units.append(scaled / np.linalg.norm(scaled))
    # Kahan's formula: the arc cosine of a dot product loses half the digits near 0 and 180.
    return float(2 * np.degrees(np.arctan2(np.linalg.norm(units[0] - units[1]), np.linalg.norm(units[0] + units[1]))))


def checked_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation nearest to a matrix that is one up to the rounding and drift of trackers.

    Args:
        matrix (`np.ndarray`): (3, 3), or (4, 4) of a pose.

    Returns:
        `np.ndarray`: (3, 3) float64.

    Raises:
        ValueError: Anything that does not rotate: its columns miss orthonormality by more than `DRIFT`, or it mirrors.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape not in ((3, 3), (4, 4)):
        raise ValueError(f"A rotation has shape (3, 3), or (4, 4) within a pose, not {matrix.shape}.")
    rotation = matrix[:3, :3]
    drift = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if not drift < DRIFT or np.linalg.det(rotation) < 0:
        raise ValueError(f"{rotation.tolist()} is no rotation: its columns must be orthonormal and right-handed.")
    left, _, right = np.linalg.svd(rotation)
    return left @ right
