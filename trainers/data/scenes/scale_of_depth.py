"""Posed scenes in which no depth is measured: what is left to tell how far things are, and where nothing is."""

import logging

import numpy as np

from igep.trainers.data.scenes.scene_table import SceneTable


logger = logging.getLogger(__name__)

STANDS_STILL_METRES = 1e-3  # cameras nearer to each other see no parallax; as for the photometric loss
NAMED = 5  # scenes in a message


def say_unmeasured_scale(scenes: SceneTable) -> None:
    """Warns of scenes with poses and without any depth map, and of those among them whose camera never moves.

    Args:
        scenes (`SceneTable`): The scenes, or clips of them; those without poses are not looked at.
    """
    moving, still = [], []
    for number, scene_id in enumerate(scenes.scene_ids):
        if scenes.lacks(number, "world_from_camera") or scenes.frames_with_depth(number).any():
            continue
        centres = scenes.poses(number)[:, :3, 3]
        extent = np.ptp(centres, axis=0) if len(centres) else np.zeros(3)
        (moving if np.linalg.norm(extent) >= STANDS_STILL_METRES else still).append(scene_id)
    if moving:
        logger.warning(
            "%d of %d scenes or clips have poses and no depth map (%s): of the geometry losses that need no teacher "
            "only the photometric one sees them, where photometric_weight is above 0.",
            *(len(moving), len(scenes), _names(moving)),
        )
    if still:
        logger.warning(
            "%d of %d scenes or clips have no depth map and a camera that does not move (%s): nothing holds the scale "
            "of their depth, so no loss trains it. Give depth, or poses with their translation.",
            *(len(still), len(scenes), _names(still)),
        )


def _names(scene_ids: list[str]) -> str:
    return ", ".join(scene_ids[:NAMED]) + (" ..." if len(scene_ids) > NAMED else "")
