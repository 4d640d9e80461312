"""Whether a base VLM can be trained as the options ask, found out by two small frames before the first step.

Bases differ in how their processors lay out frames and in what their encoders return, and a signature tells neither.
So the base is asked: a row of two frames goes the way of a training step, without gradients.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from igep.modeling_igep import IGEPForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.supervision.geometry_losses import igep_objective


FRAMES_AS = ("video", "images")
SUPERVISED = ("encoder", "llm", None)  # None: no geometry, the answers alone
FRAME_SIZE = (96, 128)  # height, width
WAYS = [(frames_as, supervise) for frames_as in FRAMES_AS for supervise in SUPERVISED]
FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


def check_base_works(
    model: IGEPForConditionalGeneration, processor: IGEPProcessor, frames_as: str, supervise: str | None
) -> None:
    """Makes sure that a base can be trained in the way that the options ask for.

    Args:
        model (`IGEPForConditionalGeneration`): The model; it is left as it is.
        processor (`IGEPProcessor`): Its processor.
        frames_as (`str`): `"video"` or `"images"`.
        supervise (`str`, *optional*): `"encoder"` or `"llm"`; `None` without geometry.

    Raises:
        ValueError: It cannot; the message says why, and what works.
    """
    reason = why_not(model.vlm, processor, frames_as, supervise)
    if reason is None:
        return
    works = [way for way in WAYS if way != (frames_as, supervise) and why_not(model.vlm, processor, *way) is None]
    raise ValueError(
        f"{type(model.vlm).__name__} cannot be trained with {_in_words(frames_as, supervise)}: {reason}. "
        f"{_what_works(works)}"
    )


def why_not(vlm: PreTrainedModel, processor: IGEPProcessor, frames_as: str, supervise: str | None) -> str | None:
    """Tries one way of training on two frames.

    Args:
        vlm (`PreTrainedModel`): The base; it is left as it is.
        processor (`IGEPProcessor`): Its processor.
        frames_as (`str`): `"video"` or `"images"`.
        supervise (`str`, *optional*): `"encoder"` or `"llm"`; `None` without geometry.

    Returns:
        `str`, *optional*: Why it cannot be trained so; `None` if it can.
    """
    was_training, trains = vlm.training, [value.requires_grad for value in vlm.parameters()]
    devices = [vlm.device] if vlm.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            _training_forward(vlm.eval(), processor, frames_as, supervise)
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        return " ".join(f"{type(error).__name__}: {error}".split()).removeprefix("ValueError: ").rstrip(".")
    finally:
        vlm.train(was_training)
        for value, flag in zip(vlm.parameters(), trains, strict=True):
            value.requires_grad_(flag)
    return None


def _training_forward(vlm: PreTrainedModel, processor: IGEPProcessor, frames_as: str, supervise: str | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, *FRAME_SIZE, 3), dtype=np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    inputs = processor.question_inputs(frames, "Where?", frames_as=frames_as).to(vlm.device, dtype=vlm.dtype)
    batch = {**inputs, "labels": inputs["input_ids"]}
    if supervise is not None:
        batch["frame_mask"] = torch.ones(1, 2, dtype=torch.bool, device=vlm.device)
        batch["depth_metres"] = torch.ones(1, 2, 8, 8, device=vlm.device)
        batch["teacher_descriptors"] = torch.ones(1, 2, 2, 2, 4, device=vlm.device)
    trial = IGEPForConditionalGeneration.from_base(
        vlm, supervise=supervise or "encoder", teacher_channels=4, verifier_channels=4, verifier_taps=1
    )
    if supervise is not None:
        trial.add_training_heads(igep_objective)
    loss = trial(**batch).loss
    if not torch.isfinite(loss):
        raise ValueError(f"the loss of a trial row is {loss.item()}")


def _in_words(frames_as: str, supervise: str | None) -> str:
    return f"frames_as={frames_as}" + (" without geometry" if supervise is None else f" and supervise={supervise}")


def _what_works(works: Sequence[tuple[str, str | None]]) -> str:
    if not works:
        return "Nothing else works with it either: take another base, such as LLaVA-OneVision or Qwen3-VL."
    return f"What works with it: {'; '.join(_in_words(*way) for way in works)}."
