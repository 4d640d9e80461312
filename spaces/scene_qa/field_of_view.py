"""The field of view of a video of unknown camera: estimated by a depth model, if the Space has one (`CALIBRATOR`)."""

import math
import threading
from collections.abc import Callable

import torch
from answer_stream import UnwantedError
from PIL import Image
from safetensors import SafetensorError
from scene_model import Scene
from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation


DEFAULT_DEGREES = 60.0  # where nobody tells it and nothing estimates it


class CalibratorError(ValueError):
    """A calibrator that this Space cannot use, or that tells nothing of a picture; the message says what to do."""


class Asked(threading.local):
    """Who waits for the estimate that a thread makes."""

    unwanted: threading.Event | None = None


class Calibrator:
    """A depth model that estimates the field of view, loaded when the Space starts.

    Args:
        model_id (`str`): Id on the Hub or folder, such as `apple/DepthPro-hf`.
        on_gpu (`Callable`, *optional*): Wraps what needs the accelerator, as in `SceneModel`.

    Raises:
        CalibratorError: There is no such model, or it estimates no field of view.
    """

    def __init__(self, model_id: str, on_gpu: Callable[[Callable], Callable] = lambda work: work):
        said = f"CALIBRATOR={model_id!r} is no depth model that estimates the field of view"
        remedy = "correct it in the environment, such as apple/DepthPro-hf, or leave it out."
        try:
            if not AutoConfig.from_pretrained(model_id).to_dict().get("use_fov_model"):
                raise CalibratorError(f"{said}: {remedy}")
            self.image_processor = AutoImageProcessor.from_pretrained(model_id)
            model, loaded = AutoModelForDepthEstimation.from_pretrained(
                model_id, dtype="auto", output_loading_info=True
            )
        except CalibratorError:
            raise
        # Weights that are no weights, such as the pointer that a clone without Git LFS leaves, are neither of the
        # others.
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CalibratorError(f"{said} ({' '.join(str(error).split())[:200]}): {remedy}") from error
        if absent := sorted(loaded["missing_keys"]):
            # Transformers fills them with random numbers, and the estimate would be one too.
            raise CalibratorError(f"{said} (its weights lack {absent[0]}, and {len(absent) - 1} more): {remedy}")
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._asked = Asked()
        for module in self.model.modules():
            module.register_forward_pre_hook(self._end_if_unwanted)
        self._estimate = on_gpu(self._estimate)

    def __call__(self, frame: Image.Image, unwanted: threading.Event) -> float:
        """Estimates the horizontal field of view of a picture.

        Args:
            frame (`PIL.Image.Image`): RGB.
            unwanted (`threading.Event`): Is set once nobody waits for it any more; the work ends at the next layer.

        Returns:
            `float`: Degrees, from 5 to 170.

        Raises:
            CalibratorError: What it says is that of no camera.
            UnwantedError: Nobody waits for it.
        """
        self._asked.unwanted = unwanted
        degrees = self._estimate(frame)
        if not 5 <= degrees <= 170:
            raise CalibratorError(f"the calibrator says {degrees} degrees, which is no field of view")
        return degrees

    def _end_if_unwanted(self, *_) -> None:
        if self._asked.unwanted is not None and self._asked.unwanted.is_set():
            raise UnwantedError

    def _estimate(self, frame: Image.Image) -> float:
        inputs = self.image_processor(images=frame, return_tensors="pt").to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            found = self.model(**inputs).field_of_view
        return math.nan if found is None else float(found.flatten()[0])


def known_field_of_view(
    calibrator: Callable[[Image.Image, threading.Event], float] | None,
    scene: Scene,
    field_of_view_degrees: float | None,
    focal_pixels: float | None,
    unwanted: threading.Event,
) -> float:
    """The field of view that a visitor set or, if nobody did, what the calibrator estimates; without one the default.

    Args:
        calibrator (`Callable` or `None`): That of the Space.
        scene (`Scene`): The frames; it keeps the estimate.
        field_of_view_degrees (`float` or `None`): The setting; `None` where nobody knows it.
        focal_pixels (`float` or `None`): The other setting, which wins.
        unwanted (`threading.Event`): Is set once nobody waits for it any more.

    Returns:
        `float`: Degrees, horizontal.

    Raises:
        CalibratorError: The calibrator tells none.
    """
    if field_of_view_degrees is not None:
        return field_of_view_degrees
    if calibrator is None or focal_pixels:
        return DEFAULT_DEGREES
    if scene.estimated_field_of_view is None:
        scene.estimated_field_of_view = calibrator(scene.frames[0], unwanted)
    return scene.estimated_field_of_view
