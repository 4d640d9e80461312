"""What the depth maps of a scene say about its poses, its depth and the depth camera."""

from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.broken_frames import BrokenFrames, describe_broken_frames, find_broken_frames
from igep.trainers.scene_check.compare_geometries import GeometryComparison, Trial
from igep.trainers.scene_check.depth_agreement import (
    DepthGeometry,
    PairAgreement,
    depth_agreement,
    stored_geometry,
    with_poses,
)
from igep.trainers.scene_check.depth_mistakes import (
    CONVENTION,
    IMAGES,
    INTRINSICS,
    KIND,
    ORDER,
    PLAUSIBLE_DEPTH_METRES,
    SCALE,
    depth_mistakes,
    focal_mistake,
    scale_mistake,
)
from igep.trainers.scene_check.name_mistake import MIN_GAIN, RIGHT_ERROR, RIGHT_REFINEMENT, name_mistake
from igep.trainers.scene_check.scene_views import SceneViews


WRONG_ERROR = 0.03
SAME_POSE = 1e-6  # metres and sines
# Alternatives that a scene must refute before it counts as tested for mistakes of a kind.
REFUTED = {
    CONVENTION: ("inverse", "opengl", "transposed", "half inverted", "quaternion x y z w", "quaternion w x y z"),
    SCALE: ("scale 0.5", "scale 2"),
    INTRINSICS: ("focal 0.7", "focal 1.4"),
    IMAGES: ("mirrored", "upside down", "turned"),
    KIND: ("kind",),
    ORDER: ("backwards",),
}
FRAMES = "single frames"


@dataclass(frozen=True)
class Problem:
    """Something that is not right.

    Args:
        verdict (`str`): `"wrong"` or `"suspicious"`.
        reason (`str`): What it is; with "likely" where a cause is named.
    """

    verdict: str
    reason: str


@dataclass(frozen=True)
class DepthJudgement:
    """What the depth says.

    Args:
        problems (`tuple[Problem, ...]`): What is not right.
        not_testable (`tuple[str, ...]`): Kinds of mistakes that this scene cannot show.
        geometry (`DepthGeometry | None`): The data without the mistake that was found; `None` where nothing agrees.
        images (`np.ndarray`): (N,) the colour image that belongs to each depth map without that mistake.
        sources (`np.ndarray`): (P,) frames of the compared pairs.
        targets (`np.ndarray`): (P,) likewise.
        agreement (`PairAgreement`): Of these pairs as stored.
        reachable_error (`float`): Median error of pairs that overlap, if each had the best pose of its own; nan
            without any.
        unjudged (`tuple[int, ...]`): Frames that share too little with their neighbours to be judged.
    """

    problems: tuple[Problem, ...]
    not_testable: tuple[str, ...]
    geometry: DepthGeometry | None
    images: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    agreement: PairAgreement
    reachable_error: float
    unjudged: tuple[int, ...]


def judge_depth(views: SceneViews) -> DepthJudgement:
    """Compare what is stored with every simple mistake, and both with what the depth itself allows.

    Args:
        views (`SceneViews`): The scene.

    Returns:
        `DepthJudgement`: Causes are named only where they explain significantly more than the data as stored, more
        than every rival, and leave what a right scene has.
    """
    comparison = GeometryComparison(views)
    trials = [comparison.trial(mistake) for mistake in depth_mistakes(views)]
    stored = stored_geometry(views)
    overlapping = comparison.overlapping(stored)
    _, refined = comparison.refinement(stored, overlapping)
    reachable = float(np.nanmedian(refined)) if len(refined) else float("nan")

    in_order = np.arange(len(views))

    def judgement(
        problems: list[Problem],
        not_testable: tuple[str, ...],
        geometry: DepthGeometry | None,
        images: np.ndarray = in_order,
        unjudged: tuple[int, ...] = (),
    ) -> DepthJudgement:
        pairs = comparison.sources, comparison.targets
        return DepthJudgement(
            tuple(problems), not_testable, geometry, images, *pairs, comparison.stored, reachable, unjudged
        )

    named = name_mistake(comparison, trials)
    if named is not None:
        likely = f"likely {named.descriptions[0]}"
        if len(named.descriptions) > 1:
            likely = "either " + "; or ".join(named.descriptions)
        problem = Problem("wrong", f"{likely}; without it the error would be {named.error:.2%}")
        return judgement([problem], (), named.geometry, named.images)
    broken = find_broken_frames(views, stored)
    stretch = broken.stretches(len(views))
    whole = [
        pair for pair in overlapping if stretch[comparison.sources[pair]] == stretch[comparison.targets[pair]] != -1
    ]
    problems = []
    if broken.any:
        problems.append(Problem("wrong", describe_broken_frames(broken, views.frame_ids)))
    unexplained = _unexplained(comparison, np.array(whole, dtype=np.int64))
    if unexplained is not None:
        return judgement([*problems, unexplained], (), None)
    odd = _odd_depth(views)
    if odd is not None:
        problems.append(Problem("suspicious", odd))
    return judgement(problems, _not_testable(comparison, trials, broken), stored, unjudged=broken.unjudged)


def _unexplained(comparison: GeometryComparison, pairs: np.ndarray) -> Problem | None:
    """Poses that are off without a simple mistake that tells why."""
    views = comparison.views
    if not len(pairs):
        odd = _odd_depth(views)
        if odd is not None:
            return Problem("wrong", f"no two frames see the same place, and {odd}")
        return Problem("suspicious", "no two frames see the same place: frames too far apart, or wrong poses")
    error = float(np.median(comparison.stored.error[pairs]))
    lost, refined = comparison.refinement(stored_geometry(views), pairs)
    if error <= RIGHT_ERROR and lost >= RIGHT_REFINEMENT:
        return None
    size = f"an error of {error:.2%} between frames that see the same place"
    left = f"{float(np.nanmedian(refined)):.2%} if each pair had a pose of its own"
    verdict = "wrong" if error > WRONG_ERROR else "suspicious"
    spread = np.ptp(views.world_from_camera, axis=0)
    if spread.max() < SAME_POSE:
        return Problem(
            "wrong", f"likely the poses are all the same, though the camera moves: export them again; {size}"
        )
    if spread[:, 3].max() < SAME_POSE and lost < RIGHT_REFINEMENT:
        what = "the translations of the poses are all the same"
        return Problem("wrong", f"likely {what}, though the camera moves: export them again; {size}, {left}")
    other_frames = np.random.default_rng(0).permutation(len(views))
    strangers = depth_agreement(
        views, with_poses(views, views.world_from_camera[other_frames]), comparison.sources, comparison.targets
    )
    if comparison.compare(comparison.stored.error, strangers.error).high >= -MIN_GAIN:
        return Problem(
            "wrong",
            f"{size}: the poses fit these frames no better than poses of other frames. They are those of other "
            "frames, or several mistakes are mixed",
        )
    return Problem(verdict, f"{size}, {left}: the poses are off, and no simple mistake tells why")


def _odd_depth(views: SceneViews) -> str | None:
    median = views.median_depth_metres
    if PLAUSIBLE_DEPTH_METRES[0] <= median <= PLAUSIBLE_DEPTH_METRES[1]:
        return None
    return f"a median depth of {median:.3g} m is odd for a room: are depth and poses in metres?"


def _not_testable(comparison: GeometryComparison, trials: list[Trial], broken: BrokenFrames) -> tuple[str, ...]:
    """Kinds of mistakes of which one would look no worse than what is stored."""
    named = {trial.mistake.family: trial for trial in trials if trial.mistake.family not in ("scale", "focal")}
    for ratio in (0.5, 2.0):
        named[f"scale {ratio:g}"] = comparison.trial(scale_mistake(comparison.views, ratio))
    for ratio in (0.7, 1.4):
        named[f"focal {ratio:g}"] = comparison.trial(focal_mistake(comparison.views, ratio))
    kinds = [
        kind
        for kind, families in REFUTED.items()
        if any(not named[family].gain.low > MIN_GAIN / 2 for family in families if family in named)
    ]
    if not broken.would_show:
        kinds.append(FRAMES)
    return tuple(kinds)
