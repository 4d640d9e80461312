"""Scenes without intrinsics get them from a calibrator, once, before they become rows."""

import logging
from dataclasses import dataclass, field

import numpy as np
from datasets import Dataset

from igep.focal_unification import Calibrator, intrinsics_from_field_of_view
from igep.trainers.data.scenes.scene_table import SceneTable, column_values
from igep.trainers.data.scenes.scene_validation import decode_frame
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES


logger = logging.getLogger(__name__)

CALIBRATION_FRAMES = 5  # of a scene, spread evenly: one camera took them all


@dataclass
class CalibrationOptions:
    """What is known of cameras that files do not tell.

    Args:
        calibrator (`str`, *optional*): Id or folder of a depth model that estimates the field of view, such as
            `apple/DepthPro-hf`: gives scenes and lines without intrinsics those that it estimates.
    """

    calibrator: str | None = field(
        default=None,
        metadata={"help": "Depth model that estimates unknown cameras, such as apple/DepthPro-hf (id or folder)."},
    )


def calibrated_scenes(scenes: Dataset, calibrator: Calibrator) -> Dataset:
    """Fills in the intrinsics of scenes that have none: the median field of view of some frames, for all frames.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        calibrator (`Calibrator`): Tells the horizontal field of view of an image.

    Returns:
        `datasets.Dataset`: The table itself where nothing is missing.

    Raises:
        SpatialDataError: A frame that is looked at cannot be read.
        ValueError: The calibrator's answer is no field of view.
    """
    table = SceneTable(scenes)
    estimated: dict[int, tuple[np.ndarray, float]] = {}
    for number in range(len(table)):
        if not table.lacks(number, "intrinsics"):
            continue
        usable = table.usable_frames(number)
        places = np.linspace(0, len(usable) - 1, min(CALIBRATION_FRAMES, len(usable)))
        scene = table.scene(number, usable[np.unique(places.round().astype(int))].tolist())
        frames = [
            decode_frame(scene.scene_id, place, frame)
            for place, frame in zip(scene.frame_numbers, scene.frames, strict=True)
        ]
        degrees = float(np.median([calibrator(frame) for frame in frames]))
        size = (frames[0].height, frames[0].width)
        estimated[number] = intrinsics_from_field_of_view(size, degrees), degrees
    if not estimated:
        return scenes
    angles = [degrees for _, degrees in estimated.values()]
    logger.warning(
        "%d of %d scenes have no intrinsics: the calibrator estimates a horizontal field of view of %.1f to %.1f "
        "degrees.",
        *(len(estimated), len(table), min(angles), max(angles)),
    )

    intrinsics = column_values(scenes, "intrinsics")
    for number, (matrix, _) in estimated.items():
        intrinsics[number] = [matrix.tolist()] * table.num_frames(number)
    # The other columns stay as they are stored: images are not decoded for it.
    filled = scenes.remove_columns("intrinsics").add_column(
        "intrinsics", intrinsics, feature=SCENE_FEATURES["intrinsics"]
    )
    return filled.select_columns(list(SCENE_FEATURES))
