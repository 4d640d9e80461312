"""The field of view of a video whose camera nobody told: estimated by a depth model, where the Space has one (`CALIBRATOR`)."""

import os

from scene_model import Scene, SceneModel


CALIBRATOR = os.environ.get("CALIBRATOR")  # such as apple/DepthPro-hf
UNTOUCHED_DEGREES = 60.0  # what the setting says until somebody moves it


def known_field_of_view(
    model: SceneModel, scene: Scene, field_of_view_degrees: float, focal_pixels: float | None
) -> float:
    """The field of view that a visitor set or, where nobody touched it and the Space has a calibrator, what that estimates.

    Args:
        model (`SceneModel`): The model, whose processor brings the calibrator's code.
        scene (`Scene`): The frames; it keeps the estimate.
        field_of_view_degrees (`float`): The setting; 60 where it was not touched.
        focal_pixels (`float` or `None`): The other setting, which wins.

    Returns:
        `float`: Degrees, horizontal.
    """
    if not CALIBRATOR or focal_pixels or field_of_view_degrees != UNTOUCHED_DEGREES:
        return field_of_view_degrees
    if scene.estimated_field_of_view is None:
        scene.estimated_field_of_view = model.processor.estimated_field_of_view(scene.frames[0], CALIBRATOR)
    return scene.estimated_field_of_view
