"""Ask a saved Vid-LLM where what is described is: RGB in, 3D boxes out, which its box decoder regresses."""

from pathlib import Path
from typing import Literal

from transformers import PreTrainedConfig

from igep.box_queries import FIRST_CAMERA, RegressedBoxes
from igep.trainers.cards.usage import read_usage
from igep.trainers.commands.frames_as_trained import read_frames_as_trained
from igep.trainers.data.special_tokens import plain_question
from igep.trainers.evaluation.load_vlm import load_for_answers


def ask_boxes(
    model_dir: str | Path,
    video: str | Path,
    description: str,
    num_frames: int | None = None,
    *,
    device: str | None = None,
    frames_as: Literal["video", "images"] | None = None,
) -> RegressedBoxes:
    """Ask for the boxes of what is described.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved Vid-LLM with a box decoder. Code that it brings along
            is run.
        video (`str | Path`): Video file, folder of images or image; see `video_frames.read_frames`.
        description (`str`): As the model was trained; `spatial_prompts.GROUND_ONE` holds ScanRefer's words around a
            description.
        num_frames (`int`, *optional*): Frames to look at, see `ask`.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.
        frames_as (`str`, *optional*): See `ask`.

    Returns:
        `RegressedBoxes`: In metres in the world of the first camera, best first.

    Raises:
        ValueError: An empty description, one with special tokens, a model without a box decoder, or one whose boxes
            lie along the axes of a scene, which RGB does not show.
        VideoError: A video that cannot be used.
        OSError: No model at `model_dir`.
    """
    if not description.strip():
        raise ValueError(f"The description is {description!r}: say what is looked for.")
    description = plain_question("igep ask", description)
    settings, _ = PreTrainedConfig.get_config_dict(model_dir)
    if not settings.get("box_decoder"):
        raise ValueError(
            f"{model_dir} has no box decoder: --boxes is for a Vid-LLM that was trained with box_weight above 0. Ask "
            "a model that writes boxes as text without --boxes."
        )
    if settings["box_axes"] != FIRST_CAMERA:
        raise ValueError(
            f"{model_dir} regresses boxes along the axes of a scene (box_axes={settings['box_axes']!r}), which a "
            f"video does not show: train with box_axes: {FIRST_CAMERA}, or call ground_boxes with the pose of the "
            "first frame."
        )
    frames, frames_as = read_frames_as_trained(video, read_usage(model_dir), num_frames, frames_as)
    model, processor = load_for_answers(model_dir, device)
    inputs, token_ids = processor.ground_inputs(frames, [description], frames_as=frames_as)
    (found,) = model.ground_boxes(dict(inputs.to(model.device, dtype=model.dtype)), token_ids)
    return found
