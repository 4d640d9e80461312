"""Ask a saved model a question about a video, an image folder or an image: RGB in, text out."""

from pathlib import Path
from typing import Literal

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from igep.processing_igep import IGEPProcessor
from igep.trainers.data.video_frames import read_frames


def ask(
    model_dir: str | Path,
    video: str | Path,
    question: str,
    num_frames: int | None = None,
    *,
    max_new_tokens: int = 64,
    device: str | None = None,
    frames_as: Literal["video", "images"] | None = None,
) -> str:
    """Answer a question about a video by greedy decoding.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved IGEP model or of a plain VLM (such as one that
            `export_vlm` wrote). Code that the model brings along is run.
        video (`str | Path`): Video file, folder of images or image; see `video_frames.read_frames`.
        question (`str`): The question.
        num_frames (`int`, *optional*): Frames to look at, spread evenly; by default 8, or all where there are fewer.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer in tokens.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.
        frames_as (`str`, *optional*): Whether the model sees one `"video"` or several `"images"`; by default a single
            frame is an image and more are a video.

    Returns:
        `str`: The answer.

    Raises:
        ValueError: An empty question, a bad `max_new_tokens`, or a device that this machine does not have.
        VideoError: A video that cannot be used.
        OSError: No model at `model_dir`.
    """
    if not question.strip():
        raise ValueError(f"The question is {question!r}: ask something.")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens}: give 1 or more.")
    frames = read_frames(video, num_frames)
    if frames_as is None:
        frames_as = "images" if len(frames) == 1 else "video"
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={device!r} cannot be used here ({error}). Try cpu.") from error
    try:
        config = AutoConfig.from_pretrained(model_dir, trust_remote_code=True)
    except OSError as error:
        raise OSError(
            f"{model_dir}: no saved model in this directory, and no model of this name on the Hub or in its cache. Correct "
            f"the path or the id. ({error})"
        ) from error
    processor = AutoProcessor.from_pretrained(model_dir, trust_remote_code=True)
    if config.model_type != "igep":
        processor = IGEPProcessor.from_base(processor)
    model = AutoModelForImageTextToText.from_pretrained(model_dir, trust_remote_code=True, dtype="auto")
    model = model.to(device).eval()
    inputs = processor.question_inputs(frames, question, frames_as=frames_as).to(device, dtype=model.dtype)
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    answer = tokens[0, inputs["input_ids"].shape[1] :]
    return processor.decode(answer, skip_special_tokens=True).strip()
