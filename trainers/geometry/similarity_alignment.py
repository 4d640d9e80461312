"""The similarity or rigid transform that carries points onto others with the least squared error (Umeyama, 1991)."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation


class Similarity(NamedTuple):
    """`target = scale * rotation @ source + translation`.

    Args:
        scale (`float`): 1 for a rigid transform; 0 where all source points are one.
        rotation (`np.ndarray`): (3, 3) float64.
        translation (`np.ndarray`): (3,) float64, in the unit of the target.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Carries (..., 3) points."""
        return self.scale * points @ self.rotation.T + self.translation


def align_points(source: np.ndarray, target: np.ndarray, *, with_scale: bool) -> Similarity:
    """Least squares in closed form. The rotation is scipy's; the scale is equations 41 and 42 of Umeyama.

    Points on a line leave a turn about it open, and one point leaves all turns open: one of the equally good rotations
    is taken.

    Args:
        source (`np.ndarray`): (N, 3).
        target (`np.ndarray`): (N, 3), each the counterpart of one source point.
        with_scale (`bool`): Whether lengths may change: Sim(3), else SE(3).

    Returns:
        `Similarity`

    Raises:
        ValueError: No points, other shapes, or a coordinate that is not finite.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1:] != (3,) or not len(source):
        raise ValueError(
            f"source {source.shape} and target {target.shape} must both be (N, 3) with N of at least 1: give each "
            "point its counterpart."
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("source or target holds a coordinate that is not finite: leave that pair out.")
    source_centre, target_centre = source.mean(0), target.mean(0)
    from_centre, to_centre = source - source_centre, target - target_centre
    spread = np.square(from_centre).sum()
    rotation = np.eye(3)
    if spread > 0 and to_centre.any():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Optimal rotation is not uniquely", category=UserWarning)
            found, _ = Rotation.align_vectors(to_centre, from_centre)
        rotation = found.as_matrix()
    scale = 1.0
    if with_scale:
        scale = float((to_centre * (from_centre @ rotation.T)).sum() / spread) if spread > 0 else 0.0
    return Similarity(scale, rotation, target_centre - scale * rotation @ source_centre)
