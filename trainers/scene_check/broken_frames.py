"""Frames and stretches of a scene whose poses do not fit the others: every frame is judged by its neighbours."""

from dataclasses import dataclass

import numpy as np

from igep.trainers.scene_check.colour_agreement import colour_agreement, common_points, stored_colour
from igep.trainers.scene_check.depth_agreement import PAIRS_PER_CHUNK, DepthGeometry, depth_agreement
from igep.trainers.scene_check.frame_pairs import neighbour_pairs
from igep.trainers.scene_check.scene_views import SceneViews


BAD_ERROR = 0.02
BAD_RATIO = 3.0  # over the median of pairs that lie as far apart
BAD_COLOUR = 0.35  # of the median correlation of pairs that lie as far apart
MIN_COLOUR = 0.5  # of that median: below it colours tell too little
BAD_SHARE = 0.75
MAX_BAD_FRAMES = 0.25  # of a scene; with more, the poses are wrong as a whole
USUAL_SHARE = 0.8
MIN_CROSSING_PAIRS = 2
MIN_USUAL_GAPS = 2  # at one alone, a single pair lies across a break


@dataclass(frozen=True)
class BrokenFrames:
    """What does not fit.

    Args:
        frames (`tuple[int, ...]`): Single frames that fit none of their neighbours.
        breaks (`tuple[int, ...]`): Frames from which on the poses do not fit those before.
        unjudged (`tuple[int, ...]`): Frames that share too little with any neighbour.
        would_show (`bool`, *optional*, defaults to `True`): Whether a pose that is far off would show. Where right
            frames often share nothing with the next ones, a wrong one that shares nothing is none the worse.
    """

    frames: tuple[int, ...]
    breaks: tuple[int, ...]
    unjudged: tuple[int, ...]
    would_show: bool = True

    @property
    def any(self) -> bool:
        """Whether anything does not fit."""
        return bool(self.frames or self.breaks)

    def stretches(self, num_frames: int) -> np.ndarray:
        """(N,) number of the stretch that each frame is in; -1 for a frame that fits none."""
        stretch = np.zeros(num_frames, dtype=np.int64)
        for start in self.breaks:
            stretch[start:] += 1
        stretch[list(self.frames)] = -1
        return stretch


def find_broken_frames(views: SceneViews, geometry: DepthGeometry) -> BrokenFrames:
    """Compare every frame with those up to three before and after it.

    A pair is bad where its error is large, and several times that of other pairs that lie as far apart; where it sees
    nothing in common and others do; or where its colours agree far less than theirs, as when the camera is moved along
    a wall. A frame is bad where most of its pairs are; a stretch begins where all pairs across are.

    Args:
        views (`SceneViews`): The scene.
        geometry (`DepthGeometry`): What its depth maps are taken for.

    Returns:
        `BrokenFrames`: Nothing where so much is bad that the poses are wrong as a whole.
    """
    count = len(views)
    sources, targets = neighbour_pairs(count)
    error = depth_agreement(views, geometry, sources, targets).error
    colour = np.concatenate(
        [
            colour_agreement(views, common_points(views, geometry, some, others), stored_colour(views))
            for some, others in (
                (sources[start : start + PAIRS_PER_CHUNK], targets[start : start + PAIRS_PER_CHUNK])
                for start in range(0, len(sources), PAIRS_PER_CHUNK)
            )
        ]
    )
    gaps = targets - sources
    is_bad, is_judged = _bad_pairs(error, colour, gaps)
    usual_gaps = [gap for gap in np.unique(gaps) if _is_usual(error[gaps == gap])]
    frames: list[int] = []
    while True:
        kept = is_judged & ~np.isin(sources, frames) & ~np.isin(targets, frames)
        pairs, bad = np.zeros((2, count))
        for side in (sources, targets):
            pairs += np.bincount(side[kept], minlength=count)
            bad += np.bincount(side[kept & is_bad], minlength=count)
        share = np.where(pairs >= MIN_CROSSING_PAIRS, bad / np.maximum(pairs, 1), 0)
        worst = int(np.lexsort((bad, share))[-1])
        if share[worst] < BAD_SHARE:
            break
        frames.append(worst)
        if len(frames) > MAX_BAD_FRAMES * count:
            return BrokenFrames((), (), ())
    breaks = []
    for start in range(1, count):
        crossing = kept & (sources < start) & (targets >= start)
        if start not in frames and crossing.sum() >= MIN_CROSSING_PAIRS and is_bad[crossing].all():
            breaks.append(start)
    judged = np.zeros(count, dtype=bool)
    for side in (sources, targets):
        judged[side[is_judged]] = True
    if len(breaks) > MAX_BAD_FRAMES * count:
        return BrokenFrames((), (), ())
    return BrokenFrames(
        tuple(sorted(frames)),
        tuple(breaks),
        tuple(np.flatnonzero(~judged).tolist()),
        would_show=len(usual_gaps) >= MIN_USUAL_GAPS,
    )


def _is_usual(error: np.ndarray) -> bool:
    """Whether pairs of frames usually see something in common."""
    return bool(np.isfinite(error).mean() >= USUAL_SHARE)


def _bad_pairs(error: np.ndarray, colour: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) whether a pair is bad, and whether it tells anything."""
    is_bad, is_judged = np.zeros((2, len(error)), dtype=bool)
    for distance in np.unique(gap):
        here = gap == distance
        seen = np.isfinite(error[here])
        if not seen.any():
            continue
        limit = max(BAD_ERROR, BAD_RATIO * np.median(error[here][seen]))
        usual = _is_usual(error[here])
        is_judged[here] = seen | usual
        is_bad[here] = np.where(seen, error[here] > limit, usual)
        coloured = here & np.isfinite(colour)
        median = np.median(colour[coloured]) if coloured.any() else 0.0
        if median >= MIN_COLOUR:
            is_bad[coloured] |= colour[coloured] < BAD_COLOUR * median
    return is_bad, is_judged


def describe_broken_frames(broken: BrokenFrames, frame_ids: list[str]) -> str:
    """In words.

    Args:
        broken (`BrokenFrames`): What does not fit.
        frame_ids (`list[str]`): Names of the frames.

    Returns:
        `str`
    """
    parts = []
    if broken.frames:
        names = ", ".join(repr(frame_ids[frame]) for frame in broken.frames[:10])
        more = f" and {len(broken.frames) - 10} more" if len(broken.frames) > 10 else ""
        word = "pose of frame" if len(broken.frames) == 1 else "poses of frames"
        parts.append(f"the {word} {names}{more} fit{'s' if len(broken.frames) == 1 else ''} none of the neighbours")
    for start in broken.breaks[:5]:
        parts.append(
            f"the poses from frame {frame_ids[start]!r} on do not fit those before it, though each part fits itself"
        )
    if len(broken.breaks) > 5:
        parts.append(f"and so on, {len(broken.breaks)} breaks in all")
    return "; ".join(parts)
