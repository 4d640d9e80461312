"""Runs the reconstruction of a Vid-LLM model on frames, and says in one line why other models have none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from igep.configuration_igep import IGEPConfig
from igep.configuration_vid_llm import VidLLMConfig
from igep.processing_igep import IGEPProcessor


@dataclass(frozen=True)
class VideoReconstruction:
    """A reconstructed video, in the world of its first camera (x right, y down, z forward), and what it was made from.

    Args:
        frames (`np.ndarray`): (F, H, W, 3) uint8, the frames as the model saw them.
        depth_metres (`np.ndarray`): (F, H, W) float32 z-depth.
        confidence (`np.ndarray`): (F, H, W) float32, above 1.
        points_metres (`np.ndarray`): (F, H, W, 3) float32.
        intrinsics (`np.ndarray`): (F, 3, 3) float32 in pixels of H x W.
        world_from_camera (`np.ndarray`): (F, 4, 4) float32.
    """

    frames: np.ndarray
    depth_metres: np.ndarray
    confidence: np.ndarray
    points_metres: np.ndarray
    intrinsics: np.ndarray
    world_from_camera: np.ndarray


def check_reconstructs(
    model_type: str | None, name: str, remedy: str = "give a Vid-LLM model, such as `igep joint` trains"
) -> None:
    """Raises where a model has no reconstruction.

    Args:
        model_type (`str` or `None`): That of its configuration.
        name (`str`): What to call it.
        remedy (`str`, *optional*): What to do.

    Raises:
        ValueError: It is no Vid-LLM model.
    """
    if model_type == VidLLMConfig.model_type:
        return
    is_igep = model_type == IGEPConfig.model_type
    reason = "its geometry supervised the training and left nothing behind" if is_igep else "a plain VLM"
    raise ValueError(f"{name} does not reconstruct ({reason}): {remedy}.")


@torch.inference_mode()
def reconstruct_frames(
    model: PreTrainedModel, processor: IGEPProcessor, frames: Sequence[Image.Image]
) -> VideoReconstruction:
    """Reconstructs a video.

    Args:
        model (`PreTrainedModel`): A Vid-LLM model in eval mode.
        processor (`IGEPProcessor`): Its processor.
        frames (`Sequence[PIL.Image.Image]`): F RGB frames of one size, in order; the first is the world.

    Returns:
        `VideoReconstruction`
    """
    given = processor.vision_inputs([list(frames)], "video")
    pixels = processor.video_processor(**given, return_tensors="pt")["pixel_values_videos"]
    found = model.reconstruct(pixels.to(model.device, dtype=model.dtype))
    size = tuple(found.depth_metres.shape[-2:])
    return VideoReconstruction(
        frames=np.stack(
            [np.asarray(frame.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC)) for frame in frames]
        ),
        depth_metres=_array(found.depth_metres),
        confidence=_array(found.depth_confidence),
        points_metres=_array(found.points_world),
        intrinsics=_array(found.intrinsics),
        world_from_camera=_array(found.world_from_camera),
    )


def _array(values: torch.Tensor) -> np.ndarray:
    return values[0].float().cpu().numpy()
