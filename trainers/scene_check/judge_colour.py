"""What the colours of a scene say about the colour camera, its images and their order."""

from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.colour_agreement import (
    ColourGeometry,
    CommonPoints,
    colour_agreement,
    common_points,
    stored_colour,
)
from igep.trainers.scene_check.colour_mistakes import (
    CAMERA,
    IMAGES,
    ORDER,
    ColourMistake,
    colour_mistakes,
    focal_mistake,
)
from igep.trainers.scene_check.compare_geometries import MIN_OVERLAP
from igep.trainers.scene_check.depth_agreement import DepthGeometry, depth_agreement
from igep.trainers.scene_check.judge_depth import Problem
from igep.trainers.scene_check.paired_interval import Interval, paired_interval
from igep.trainers.scene_check.scene_views import SceneViews


MIN_GAIN = 0.08  # of the correlation
RIGHT_AGREEMENT = 0.25  # right scenes reach .5 to .9
MIN_TEXTURE = 0.05  # share of pixels whose contrast is above noise
RICH_TEXTURE = 0.3  # of which colours that agree with nothing are wrong, and not merely dull
OFF_CENTRE = 0.125  # share of the image by which a principal point may lie off its middle
TANGENT_RATIO = 2.0  # of half the fields of view of two cameras that look at the same things
CALIBRATION_RATIOS = (0.87, 1.15)  # a focal length within these may be a rough calibration rather than a mistake
REFINED_RATIOS = tuple(np.exp(np.linspace(-0.12, 0.12, 9)).tolist())
STRANGERS = 3
SAME_INTRINSICS = 0.04  # share of the focal length
KINDS = (CAMERA, IMAGES, ORDER)


@dataclass(frozen=True)
class ColourJudgement:
    """What the colours say.

    Args:
        problems (`tuple[Problem, ...]`): What is not right.
        not_testable (`tuple[str, ...]`): Kinds of mistakes that this scene cannot show.
        agreement (`float`): Mean correlation as stored; nan where nothing can be compared.
    """

    problems: tuple[Problem, ...]
    not_testable: tuple[str, ...]
    agreement: float


@dataclass(frozen=True)
class _Trial:
    """A mistake, the agreement (P,) without it, how it compares with that as stored, and its place: simple first."""

    mistake: ColourMistake
    agreement: np.ndarray
    gain: Interval
    number: int


def judge_colour(
    views: SceneViews, geometry: DepthGeometry, sources: np.ndarray, targets: np.ndarray
) -> ColourJudgement:
    """Compare what is stored with every simple mistake.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for, without any mistake that was found.
        sources (`np.ndarray`): (P,) frames of the pairs to compare.
        targets (`np.ndarray`): (P,) likewise.

    Returns:
        `ColourJudgement`
    """
    agreement = depth_agreement(views, geometry, sources, targets)
    pairs = (agreement.overlap >= MIN_OVERLAP) & np.isfinite(agreement.error)
    kinds = KINDS if views.has_depth_camera else (IMAGES, ORDER)
    if not pairs.any() or views.texture.mean() < MIN_TEXTURE:
        return ColourJudgement(_odd_camera(views), kinds, float("nan"))
    common = common_points(views, geometry, sources[pairs], targets[pairs])
    times = np.minimum(common.sources, common.targets)
    stored = colour_agreement(views, common, stored_colour(views))
    level = float(np.nanmean(stored)) if np.isfinite(stored).any() else float("nan")

    def trial(number: int, mistake: ColourMistake) -> _Trial:
        without = colour_agreement(views, common, mistake.corrected)
        return _Trial(mistake, without, paired_interval(_difference(without, stored), times), number)

    trials = [trial(number, mistake) for number, mistake in enumerate(colour_mistakes(views))]
    better = [one for one in trials if one.gain.low > 0 and one.gain.mean > MIN_GAIN]
    explaining = [one for one in better if np.nanmean(one.agreement) >= RIGHT_AGREEMENT]
    families: dict[str, _Trial] = {}
    for one in sorted(explaining, key=lambda one: -one.gain.mean):
        families.setdefault(one.mistake.family, one)
    if "focal" in families:
        coarse = families["focal"]
        values = [coarse.mistake.value * ratio for ratio in REFINED_RATIOS]
        tried = [trial(coarse.number, focal_mistake(views, value)) for value in values]
        families["focal"] = max([coarse, *tried], key=lambda one: one.gain.mean)
    if families:
        return ColourJudgement((_cause(list(families.values()), times),), (), level)
    is_rich = views.texture.mean() >= RICH_TEXTURE
    if is_rich and _fits_no_better_than_strangers(views, common, stored, times):
        problem = Problem(
            "wrong",
            "the colour images do not belong to these frames, or several mistakes are mixed: at common points they "
            "agree no better than images of other frames",
        )
        return ColourJudgement((problem,), (), level)
    if is_rich and better:
        words = f"the colour images fit depth and poses badly ({level:.2f}), and no simple mistake explains it well"
        return ColourJudgement((Problem("suspicious", words),), (), level)
    refuted = {
        kind: all(one.gain.high < -MIN_GAIN / 2 for one in trials if one.mistake.kind == kind and one.mistake.is_large)
        for kind in kinds
    }
    not_testable = tuple(kind for kind in kinds if not refuted[kind])
    return ColourJudgement(_odd_camera(views) if CAMERA in not_testable else (), not_testable, level)


def _difference(agreement: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) by how much one is larger; what one alone can compare counts for the other as no agreement."""
    agreement, other = (
        np.where(np.isnan(one) & np.isfinite(two), 0.0, one) for one, two in ((agreement, other), (other, agreement))
    )
    return agreement - other


def _cause(families: list[_Trial], times: np.ndarray) -> Problem:
    families = sorted(families, key=lambda one: -one.gain.mean)
    best = families[0]
    close = [
        one
        for one in families
        if one is best or paired_interval(_difference(best.agreement, one.agreement), times).low <= MIN_GAIN / 4
    ]
    # Of those that leave nearly the same camera the first that was tried is the simplest.
    close.sort(key=lambda one: one.number)
    best = close[0]
    rivals = [one for one in close[1:] if not _is_alike(best.mistake.corrected, one.mistake.corrected)]
    level = float(np.nanmean(best.agreement))
    gained = f"colours at common points would agree to {level:.2f} for {level - best.gain.mean:.2f}"
    if rivals:
        words = "; or ".join(one.mistake.description for one in (best, *rivals))
        return Problem("wrong", f"either {words}; {gained}")
    low, high = CALIBRATION_RATIOS
    is_rough = best.mistake.family == "focal" and low <= best.mistake.value <= high
    return Problem("suspicious" if is_rough else "wrong", f"likely {best.mistake.description}; {gained}")


def _is_alike(one: ColourGeometry, other: ColourGeometry) -> bool:
    """Whether two mistakes leave nearly the same images of the same camera."""
    difference = np.abs(one.intrinsics - other.intrinsics).max() / np.abs(one.intrinsics[:, :2, :2]).max()
    return bool(difference < SAME_INTRINSICS and (one.images == other.images).all())


def _fits_no_better_than_strangers(
    views: SceneViews, common: CommonPoints, stored: np.ndarray, times: np.ndarray
) -> bool:
    """Whether colours agree no better than those of other frames."""
    if len(views) < STRANGERS:
        return False
    generator = np.random.default_rng(0)
    strangers = np.stack(
        [
            colour_agreement(views, common, ColourGeometry(views.colour_intrinsics, generator.permutation(len(views))))
            for _ in range(STRANGERS)
        ]
    )
    lead = paired_interval(_difference(stored, np.nan_to_num(strangers).mean(0)), times)
    return lead.low <= 0 and lead.high < RIGHT_AGREEMENT


def _odd_camera(views: SceneViews) -> tuple[Problem, ...]:
    """What the numbers alone tell where no colours do: principal points and fields of view."""
    height, width = views.contrast.shape[1:]
    centre = views.colour_intrinsics[:, :2, 2].mean(0) / (width, height)
    if np.abs(centre - 0.5).max() > OFF_CENTRE:
        return (
            Problem(
                "suspicious",
                f"the principal point of the colour camera lies at {centre[0]:.0%} of the width and {centre[1]:.0%} "
                "of the height: were the images resized or cropped without their intrinsics?",
            ),
        )
    if views.has_depth_camera:
        ratio = tangents(views.colour_intrinsics, (height, width)) / tangents(
            views.depth_intrinsics, views.inverse_depth.shape[1:]
        )
        if max(ratio.max(), (1 / ratio).max()) > TANGENT_RATIO:
            return (
                Problem(
                    "suspicious",
                    f"the colour camera's field of view is {ratio[0]:.2f} times as wide and {ratio[1]:.2f} times as "
                    "high as the depth camera's: are both intrinsics of the stored images?",
                ),
            )
    return ()


def tangents(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Half the width and height of what a camera sees at a distance of 1.

    Args:
        intrinsics (`np.ndarray`): (N, 3, 3).
        size (`tuple[int, int]`): Height and width of its images.

    Returns:
        `np.ndarray`: (2,), mean over the frames.
    """
    return np.array([size[1], size[0]]) / 2 / intrinsics[:, [0, 1], [0, 1]].mean(0)
