"""Depth of a video from the head that supervised an IGEP model's training, read from a trainer checkpoint."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from igep.configuration_igep import IGEPConfig
from igep.configuration_vid_llm import VidLLMConfig
from igep.processing_igep import IGEPProcessor
from igep.trainers.loop.training_heads_file import HEADS_FILE, load_heads
from igep.trainers.supervision.geometry_losses import igep_objective


def check_verifier(model_type: str | None, checkpoint: Path) -> None:
    """Raises where a checkpoint cannot have the depth verifier of a model, before either is read.

    Args:
        model_type (`str` or `None`): That of the model's configuration.
        checkpoint (`Path`): Trainer checkpoint of the same run.

    Raises:
        ValueError: Another kind of model, or a checkpoint without heads.
    """
    if model_type != IGEPConfig.model_type:
        kind = (
            "a Vid-LLM, whose reconstruction needs no checkpoint"
            if model_type == VidLLMConfig.model_type
            else "a plain VLM, which has no heads"
        )
        raise ValueError(f"this model is {kind}: leave --checkpoint out, or give a model that `igep sft` trained.")
    if not (checkpoint / HEADS_FILE).is_file():
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} has no {HEADS_FILE}: give a checkpoint-N folder of a run with geometry "
            "losses."
        )


def load_verifier(model: PreTrainedModel, checkpoint: Path) -> None:
    """Gives a saved model the depth verifier of a checkpoint. Its answers do not change.

    Args:
        model (`PreTrainedModel`): An IGEP model.
        checkpoint (`Path`): Trainer checkpoint of the same run.

    Raises:
        ValueError: Another kind of model, or a checkpoint without heads, with other heads, or with none that predicts
            depth.
    """
    check_verifier(model.config.model_type, checkpoint)
    model.add_training_heads(igep_objective)
    load_heads(model.training_heads, checkpoint)
    if model.depth_verifier is None:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} holds no depth verifier: the run had no weight on a depth loss, so there "
            "is no depth to compare."
        )


@torch.inference_mode()
def verifier_depth(
    model: PreTrainedModel, processor: IGEPProcessor, frames: Sequence[Image.Image], frames_as: str
) -> np.ndarray:
    """Predicts depth.

    Args:
        model (`PreTrainedModel`): An IGEP model that `load_verifier` was called on.
        processor (`IGEPProcessor`): Its processor.
        frames (`Sequence[PIL.Image.Image]`): F RGB frames.
        frames_as (`str`): `"video"` or `"images"`, as in training.

    Returns:
        `np.ndarray`: (F, H, W) float32 metres, at the size that the verifier was trained at.
    """
    inputs = processor.question_inputs(list(frames), "How far is this?", frames_as=frames_as)
    inputs = inputs.to(model.device, dtype=model.dtype)
    frame_mask = torch.ones(1, len(frames), dtype=torch.bool, device=model.device)
    maps = model.encode_frames(frame_mask=frame_mask, **inputs)
    depth, _ = model.depth_verifier(maps, tuple(model.config.geometry_size))
    # Encoders that merge frames in pairs decode both from each map; an image fills the pair alone.
    per_map = model.depth_verifier.frames_per_map
    places = torch.arange(len(frames), device=depth.device)
    own = places % per_map if frames_as == "video" else torch.zeros_like(places)
    return depth.unflatten(0, (len(frames), per_map))[places, own].float().cpu().numpy()
