"""Depth maps whose largest number is no distance: a sensor's or exporter's "nothing seen" that is no known sentinel.

A distance that is the largest of a map is that of a few pixels, and another one in the next map. One number that is
the largest of map after map, and fills a part of them, was written by something else. A wall that faces the camera
squarely is the exception; then the camera cannot have turned, nor have come nearer.
"""

import logging
from dataclasses import dataclass

import numpy as np

from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import decode_depth


logger = logging.getLogger(__name__)

SLIVER = 0.002  # share of the measured pixels
MAPS_LOOKED_AT, SCENES_LOOKED_AT = 6, 16
FEWEST_MAPS = 3
SAME_DIRECTION, SAME_DISTANCE = 1e-3, 2.0  # sine of the angle between optical axes; stored units along them


@dataclass(frozen=True)
class ConstantTop:
    """A largest number that is too common.

    Args:
        value (`float`): It, in stored units.
        share (`float`): Share of the measured pixels that have it.
        num_maps (`int`): Maps in which it is the largest.
    """

    value: float
    share: float
    num_maps: int


def constant_top(
    maps: list[np.ndarray], poses: np.ndarray | None = None, metres_per_depth_unit: float = 0.001
) -> ConstantTop | None:
    """Find a largest number that several maps share and that fills more than a sliver of them.

    Args:
        maps (`list[np.ndarray]`): (h, w) each, in stored units; 0 = not measured.
        poses (`np.ndarray`, *optional*): (F, 4, 4) `world_from_camera` of the maps; without them a wall is not ruled
            out.
        metres_per_depth_unit (`float`, *optional*, defaults to `0.001`): Scale of the maps, for the poses.

    Returns:
        `ConstantTop` or `None`: `None` where there is none, or a wall that faces the camera explains it.
    """
    tops = np.array([depth.max(initial=0) for depth in maps])
    if not len(tops) or tops.max() == 0:
        return None
    having = np.flatnonzero(tops == tops.max())
    if len(having) < max(FEWEST_MAPS, len(maps) / 2):
        return None
    share = sum((maps[number] == tops.max()).sum() for number in having) / sum((depth > 0).sum() for depth in maps)
    if share < SLIVER:
        return None
    if poses is not None:
        axes, centres = poses[having, :3, 2], poses[having, :3, 3]
        turned = np.linalg.norm(np.cross(axes, axes[0]), axis=-1).max() > SAME_DIRECTION
        along = (centres - centres[0]) @ axes[0]
        if not turned and np.abs(along).max() < SAME_DISTANCE * metres_per_depth_unit:
            return None
    return ConstantTop(float(tops.max()), float(share), len(having))


@dataclass(frozen=True)
class _LookedAt:
    """Maps of a scene, or of several that have few.

    Args:
        scene_id (`str`): The scene, or the first one.
        scale (`float`): Metres per stored unit.
        maps (`list[np.ndarray]`): (h, w) each, in stored units; 0 = not measured.
        poses (`np.ndarray`, *optional*): (F, 4, 4) `world_from_camera` of the maps.
    """

    scene_id: str
    scale: float
    maps: list[np.ndarray]
    poses: np.ndarray | None


def say_odd_depths(scenes: SceneTable, max_depth_metres: float) -> None:
    """Looks at a few maps of a few scenes; warns where their largest number is hardly a distance, or most are too far.

    Args:
        scenes (`SceneTable`): The scenes. Those of few frames, such as clips, are looked at together.
        max_depth_metres (`float`): Depth beyond it is not used.
    """
    looked_at = _look(scenes)
    tops = [(one, constant_top(one.maps, one.poses, one.scale)) for one in looked_at]
    suspicious = [(one, top) for one, top in tops if top is not None and top.value * one.scale <= max_depth_metres]
    if suspicious:
        one, top = suspicious[0]
        logger.warning(
            "Scene %r: the largest depth, %g (%.4g m), is that of %d of %d maps and of %.1f %% of their measured "
            "pixels, and so in %d of %d scenes looked at. If it stands for no measurement, write 0 in its place, or "
            "set max_depth_metres below %.4g: what lies beyond is then no measurement.",
            *(one.scene_id, top.value, top.value * one.scale, top.num_maps, len(one.maps), 100 * top.share),
            *(len(suspicious), len(looked_at), top.value * one.scale),
        )
    medians = [(one, _median_metres(one)) for one in looked_at]
    far = [(one, median) for one, median in medians if median > max_depth_metres]
    if far:
        one, median = far[0]
        logger.warning(
            "Scene %r: most of its depth lies beyond max_depth_metres=%g, half of it beyond %.4g m, and is no "
            "measurement; so in %d of %d scenes looked at. Correct metres_per_depth_unit (it is %g), or raise "
            "max_depth_metres.",
            *(one.scene_id, max_depth_metres, median, len(far), len(looked_at), one.scale),
        )


def _look(scenes: SceneTable) -> list[_LookedAt]:
    found: list[_LookedAt] = []
    few: dict[float, list[_LookedAt]] = {}
    for number in uniform_frame_indices(len(scenes), min(len(scenes), SCENES_LOOKED_AT)).tolist():
        frames = np.intersect1d(scenes.usable_frames(number), np.flatnonzero(scenes.frames_with_depth(number)))
        if not len(frames):
            continue
        row = scenes.row(number, frames[uniform_frame_indices(len(frames), min(len(frames), MAPS_LOOKED_AT))])
        maps = [decode_depth(row["scene_id"], place, depth) for place, depth in enumerate(row["depth"])]
        poses = np.array(row["world_from_camera"]) if row["world_from_camera"] else None
        one = _LookedAt(row["scene_id"], row["metres_per_depth_unit"], maps, poses)
        if len(maps) < FEWEST_MAPS:
            few.setdefault(one.scale, []).append(one)
        else:
            found.append(one)
    for scale, parts in few.items():
        poses = [part.poses for part in parts]
        together = None if any(part is None for part in poses) else np.concatenate(poses)
        maps = [depth for part in parts for depth in part.maps]
        found.append(_LookedAt(parts[0].scene_id, scale, maps, together))
    return found


def _median_metres(looked_at: _LookedAt) -> float:
    measured = np.concatenate([depth[depth > 0] for depth in looked_at.maps])
    return float(np.median(measured)) * looked_at.scale if len(measured) else 0.0
