"""Pairs of frames of one scene on which geometries are compared: as stored, and without one mistake or another."""

from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.depth_agreement import MAX_ERROR, DepthGeometry, depth_agreement, stored_geometry
from igep.trainers.scene_check.depth_mistakes import DepthMistake
from igep.trainers.scene_check.frame_pairs import near_and_far_pairs
from igep.trainers.scene_check.paired_interval import Interval, paired_interval
from igep.trainers.scene_check.refined_poses import refined_errors
from igep.trainers.scene_check.scene_views import SceneViews


NEGLIGIBLE_ERROR = 5e-4  # added before logarithms: below it rounding of stored depth is what is left
MIN_OVERLAP = 0.3


@dataclass(frozen=True)
class Trial:
    """A mistake, tried.

    Args:
        mistake (`DepthMistake`): The mistake.
        error (`np.ndarray`): (P,) errors that remain without it.
        gain (`Interval`): Logarithm of their ratio to the errors as stored: negative where it explains something.
    """

    mistake: DepthMistake
    error: np.ndarray
    gain: Interval


class GeometryComparison:
    """Compares what the depth maps of a scene are taken for.

    Args:
        views (`SceneViews`): The scene.
    """

    def __init__(self, views: SceneViews):
        self.views = views
        self.sources, self.targets = near_and_far_pairs(len(views))
        self.times = np.minimum(self.sources, self.targets)
        self.stored = depth_agreement(views, stored_geometry(views), self.sources, self.targets)

    def trial(self, mistake: DepthMistake) -> Trial:
        """What would remain without a mistake.

        Args:
            mistake (`DepthMistake`): The mistake.

        Returns:
            `Trial`
        """
        error = depth_agreement(self.views, mistake.corrected, self.sources, self.targets).error
        gain = self.compare(error, self.stored.error)
        if mistake.places is not None:
            known = self.with_known_poses(mistake.places)
            gain = paired_interval(log_ratio(error, self.stored.error)[known], self.times[known])
        return Trial(mistake, error, gain)

    def with_known_poses(self, places: np.ndarray) -> np.ndarray:
        """Pairs whose poses are stored at all: after a shift the frames at the end share one, which is not theirs.

        Args:
            places (`np.ndarray`): (N,) the frame whose pose each depth map is given.

        Returns:
            `np.ndarray`: (P,) bool.
        """
        is_known = np.bincount(places, minlength=len(places))[places] == 1
        return is_known[self.sources] & is_known[self.targets]

    def compare(self, error: np.ndarray, other: np.ndarray) -> Interval:
        """By how much an error is larger than another.

        Args:
            error (`np.ndarray`): (P,) errors.
            other (`np.ndarray`): (P,) errors.

        Returns:
            `Interval`: Of the logarithm of their ratio, paired over frames.
        """
        return paired_interval(log_ratio(error, other), self.times)

    def overlapping(self, geometry: DepthGeometry) -> np.ndarray:
        """Pairs that see much of the same place.

        Args:
            geometry (`DepthGeometry`): What the depth maps are taken for.

        Returns:
            `np.ndarray`: (Q,) indices of pairs.
        """
        agreement = depth_agreement(self.views, geometry, self.sources, self.targets)
        return np.flatnonzero((agreement.overlap >= MIN_OVERLAP) & np.isfinite(agreement.error))

    def refinement(self, geometry: DepthGeometry, pairs: np.ndarray) -> tuple[float, np.ndarray]:
        """What pairs lose when each may have the best relative pose of its own.

        Args:
            geometry (`DepthGeometry`): What the depth maps are taken for.
            pairs (`np.ndarray`): (Q,) indices of pairs.

        Returns:
            `tuple[float, np.ndarray]`: Mean logarithm of the ratio of the errors, nan without pairs; and the (Q,)
            errors then.
        """
        if not len(pairs):
            return float("nan"), np.empty(0)
        sources, targets = self.sources[pairs], self.targets[pairs]
        given = depth_agreement(self.views, geometry, sources, targets).error
        refined = refined_errors(self.views, geometry, sources, targets)
        return float(np.nanmean(log_ratio(refined, given))), refined


def log_ratio(error: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Logarithm of the ratio of errors; what one alone can compare counts for the other as nothing in common.

    Args:
        error (`np.ndarray`): (P,) errors, nan where nothing can be compared.
        other (`np.ndarray`): (P,) likewise.

    Returns:
        `np.ndarray`: (P,), nan where neither can be compared.
    """
    error, other = (
        np.where(np.isnan(one) & np.isfinite(two), MAX_ERROR, one) for one, two in ((error, other), (other, error))
    )
    return np.log(error + NEGLIGIBLE_ERROR) - np.log(other + NEGLIGIBLE_ERROR)
