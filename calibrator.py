"""The camera of an image that came without one: estimated by a pretrained depth model that tells the field of view."""

from collections.abc import Callable
from functools import lru_cache

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForDepthEstimation, PreTrainedModel

from .focal_unification import Calibrator


EXAMPLE = "apple/DepthPro-hf"


@lru_cache(maxsize=1)
def load_calibrator(name_or_path: str, device: str | None = None) -> Calibrator:
    """Loads a depth model as a calibrator, once.

    Args:
        name_or_path (`str`): Hub id or folder of a model that `AutoModelForDepthEstimation` loads and whose output has
            `field_of_view`, such as `apple/DepthPro-hf`.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `Calibrator`

    Raises:
        OSError: There is no such model.
        ValueError: It is no depth model, or its file lacks weights. Of the calibrator: it returns no field of view.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model, loaded = AutoModelForDepthEstimation.from_pretrained(name_or_path, dtype="auto", output_loading_info=True)
    if absent := sorted(loaded["missing_keys"]):  # transformers fills them with random numbers
        raise ValueError(
            f"calibrator={name_or_path!r}: its weights lack {absent[0]}, and {len(absent) - 1} more, so its estimates "
            f"would be random. Download it anew, or use another, such as {EXAMPLE}."
        )
    model = model.to(device).eval()
    return depth_model_calibrator(model, AutoImageProcessor.from_pretrained(name_or_path))


def calibrator_of(name_or_path: str) -> Calibrator:
    """A calibrator whose model is loaded when the first image asks for it.

    Args:
        name_or_path (`str`): As for `load_calibrator`.

    Returns:
        `Calibrator`
    """

    def field_of_view_degrees(frame: Image.Image) -> float:
        return load_calibrator(name_or_path)(frame)

    return field_of_view_degrees


def depth_model_calibrator(model: PreTrainedModel, image_processor: Callable) -> Calibrator:
    """Makes a calibrator of a depth model that estimates the field of view, such as DepthPro.

    Args:
        model (`PreTrainedModel`): An `AutoModelForDepthEstimation` whose output has `field_of_view` in degrees.
        image_processor (`Callable`): Its image processor.

    Returns:
        `Calibrator`

    Raises:
        ValueError: Of the calibrator: the model returns no field of view.
    """

    def field_of_view_degrees(frame: Image.Image) -> float:
        inputs = image_processor(images=frame, return_tensors="pt").to(model.device, model.dtype)
        with torch.inference_mode():
            outputs = model(**inputs)
        if outputs.get("field_of_view") is None:
            raise ValueError(
                f"{type(model).__name__} estimates no field of view: use a model that does, such as DepthPro with "
                "use_fov_model=True, or give the field of view."
            )
        return float(outputs["field_of_view"].flatten()[0])

    return field_of_view_degrees
