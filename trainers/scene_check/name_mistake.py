"""Of all mistakes tried, the one to name: it explains significantly more than the stored data and than its rivals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.colour_agreement import ColourGeometry, colour_agreement, common_points
from igep.trainers.scene_check.compare_geometries import GeometryComparison, Trial
from igep.trainers.scene_check.depth_agreement import DepthGeometry, pair_poses
from igep.trainers.scene_check.depth_mistakes import DepthMistake, focal_mistake, scale_mistake
from igep.trainers.scene_check.paired_interval import paired_interval
from igep.trainers.scene_check.scene_views import SceneViews


# Of the logarithm of the error: what an alternative must gain, and twice what a rival must lose to be told apart.
MIN_GAIN = 0.08
RIGHT_ERROR = 0.02  # right scenes of real sensors stay below .016 over all pairs
# Right scenes lose at most .23 when every pair may have a pose of its own, wrong ones .4 to 1.4.
RIGHT_REFINEMENT = -0.35
MIN_COLOUR_LEAD = 0.05  # of the correlation
CANDIDATES = 4
REFINED_RATIOS = tuple(np.exp(np.linspace(-0.15, 0.15, 13)).tolist())
SAME_POSE, SAME_INTRINSICS = 0.01, 0.04  # metres and sines; share of the focal length
NUMBERED: dict[str, Callable[[SceneViews, float], DepthMistake]] = {"scale": scale_mistake, "focal": focal_mistake}


@dataclass(frozen=True)
class NamedMistake:
    """What is likely wrong.

    Args:
        descriptions (`tuple[str, ...]`): The mistake; several where these data cannot tell them apart.
        error (`float`): Median error of the scene without it.
        geometry (`DepthGeometry`): The scene without it.
        images (`np.ndarray`): (N,) the colour image that belongs to each depth map then.
    """

    descriptions: tuple[str, ...]
    error: float
    geometry: DepthGeometry
    images: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    """A trial that reaches the level of a right scene, and what colours say of it."""

    trial: Trial
    error: float
    description: str
    images: np.ndarray
    colour: np.ndarray


def name_mistake(comparison: GeometryComparison, trials: list[Trial]) -> NamedMistake | None:
    """Find the mistake that explains what is stored.

    Args:
        comparison (`GeometryComparison`): The scene as stored.
        trials (`list[Trial]`): What was tried, simple mistakes first.

    Returns:
        `NamedMistake | None`: `None` where no simple mistake explains significantly more than the data as stored and
        leaves what a right scene has.
    """
    better = [trial for trial in trials if trial.gain.high < 0 and trial.gain.mean < -MIN_GAIN]
    families: dict[str, Trial] = {}
    for trial in sorted(better, key=lambda trial: trial.gain.mean):
        families.setdefault(trial.mistake.family, trial)
    refined = [_best_value(comparison, trial) for trial in list(families.values())[:CANDIDATES]]
    if not refined:
        return None
    best = min(refined, key=lambda trial: trial.gain.mean)
    close = [
        trial for trial in refined if trial is best or comparison.compare(trial.error, best.error).low <= MIN_GAIN / 2
    ]
    candidates = [
        _candidate(comparison, trial, level)
        for trial in close
        if (level := _right_level(comparison, trial)) is not None
    ]
    if not any(candidate.trial is best for candidate in candidates):
        return None
    simplicity = list(dict.fromkeys(trial.mistake.family for trial in trials))
    candidates.sort(key=lambda candidate: simplicity.index(candidate.trial.mistake.family))
    kept = _not_refuted_by_colour(candidates, comparison.times)
    first = kept[0]
    rivals = [one for one in kept[1:] if not _is_alike(comparison, first, one)]
    return NamedMistake(
        tuple(one.description for one in (first, *rivals)),
        first.error,
        first.trial.mistake.corrected,
        first.images,
    )


def _best_value(comparison: GeometryComparison, trial: Trial) -> Trial:
    """The mistake with the number that explains most: ratios are tried on a grid and refined here."""
    make = NUMBERED.get(trial.mistake.family)
    if make is None:
        return trial
    values = [trial.mistake.value * ratio for ratio in REFINED_RATIOS]
    tried = [comparison.trial(make(comparison.views, value)) for value in values]
    return min([trial, *tried], key=lambda one: one.gain.mean)


def _right_level(comparison: GeometryComparison, trial: Trial) -> float | None:
    """Median error of the scene without a mistake; `None` where that is not the level of a right scene."""
    pairs = comparison.overlapping(trial.mistake.corrected)
    if trial.mistake.places is not None:
        pairs = pairs[comparison.with_known_poses(trial.mistake.places)[pairs]]
    if not len(pairs):
        return None
    level = float(np.nanmedian(trial.error[pairs]))
    lost, _ = comparison.refinement(trial.mistake.corrected, pairs)
    return level if level <= RIGHT_ERROR and lost >= RIGHT_REFINEMENT else None


def _candidate(comparison: GeometryComparison, trial: Trial, error: float) -> _Candidate:
    """Where poses and depth maps are out of order, colours tell which of them: they belong to the other."""
    views, mistake = comparison.views, trial.mistake
    pairs = comparison.overlapping(mistake.corrected)
    common = common_points(views, mistake.corrected, comparison.sources[pairs], comparison.targets[pairs])
    in_order = np.arange(len(views))
    stories = [(mistake.description, in_order)]
    if mistake.places is not None:
        stories.append((mistake.depth_description, mistake.places))
    told = []
    for description, images in stories:
        colour = np.full(len(comparison.sources), np.nan)
        colour[pairs] = colour_agreement(views, common, ColourGeometry(views.colour_intrinsics, images))
        told.append(_Candidate(trial, error, description, images, colour))
    best = max(told, key=lambda one: _mean(one.colour))
    if len(told) == 1 or paired_interval(best.colour - told[best is told[0]].colour, comparison.times).low > 0:
        return best
    both = f"{mistake.description} (or {mistake.depth_description}: colours do not tell which)"
    return _Candidate(trial, error, both, in_order, told[0].colour)


def _mean(colour: np.ndarray) -> float:
    return float(np.nanmean(colour)) if np.isfinite(colour).any() else -1.0


def _not_refuted_by_colour(candidates: list[_Candidate], times: np.ndarray) -> list[_Candidate]:
    """Mistakes that depth alone cannot tell apart, such as mirrored poses and mirrored depth: which do colours fit?"""
    best = max(candidates, key=lambda one: _mean(one.colour))
    leads = [paired_interval(best.colour - one.colour, times) for one in candidates]
    return [
        one
        for one, lead in zip(candidates, leads, strict=True)
        if one is best or not (lead.low > 0 and lead.mean > MIN_COLOUR_LEAD)
    ]


def _is_alike(comparison: GeometryComparison, one: _Candidate, other: _Candidate) -> bool:
    """Whether two mistakes leave nearly the same data: whoever mends either has mended both."""
    first, second = one.trial.mistake.corrected, other.trial.mistake.corrected
    poses = [pair_poses(each.world_from_depth, comparison.sources, comparison.targets) for each in (first, second)]
    lengths = np.maximum(1.0, np.linalg.norm(poses[0][:, :3, 3], axis=-1))[:, None, None]
    intrinsics = np.abs(first.intrinsics - second.intrinsics).max() / np.abs(first.intrinsics[:, 0, 0]).min()
    return bool(
        np.max(np.abs(poses[0] - poses[1]) / lengths) < SAME_POSE
        and intrinsics < SAME_INTRINSICS
        and first.depth_kind == second.depth_kind
    )
