"""Ask a saved model a question about a video, an image folder or an image: RGB in, text out."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from igep.focal_unification import FOCAL_PIXELS, checked_intrinsics, intrinsics_from_field_of_view
from igep.spatial_prompts import DEPTH_QUESTION, longest_answer, parse_depth
from igep.text_pixels import DEPTH_STEPS
from igep.trainers.cards.usage import read_usage, task_options
from igep.trainers.commands.frames_as_trained import read_frames_as_trained
from igep.trainers.data.row_source import RowText
from igep.trainers.data.row_texts import unknown_words
from igep.trainers.data.scenes.video_frames import read_frames
from igep.trainers.data.special_tokens import plain_question, refuse_token, special_token_pattern
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples, generate_texts
from igep.trainers.evaluation.load_vlm import load_for_answers


logger = logging.getLogger(__name__)


class UnparsedAnswerError(ValueError):
    """A model's answer that does not hold what was asked for; the message shows it."""


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
            `igep export` wrote). Code that the model brings along is run.
        video (`str | Path`): Video file, folder of images or image; see `video_frames.read_frames`.
        question (`str`): The question.
        num_frames (`int`, *optional*): Frames to look at, spread evenly; by default as many as the model was trained
            with, 8 where it does not say, or all where there are fewer.
        max_new_tokens (`int`, *optional*, defaults to `64`): Longest answer in tokens.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.
        frames_as (`str`, *optional*): Whether the model sees one `"video"` or several `"images"`; by default a single
            frame is an image, and more are what the model was trained with, or a video.

    Returns:
        `str`: The answer.

    Raises:
        ValueError: An empty question, one with special tokens of the model, a bad `max_new_tokens`, or a device that
            this machine does not have.
        VideoError: A video that cannot be used.
        OSError: No model at `model_dir`.
    """
    if not question.strip():
        raise ValueError(f"The question is {question!r}: ask something.")
    question = plain_question("igep ask", question)
    options = AnsweringOptions(max_new_tokens=max_new_tokens)
    usage = read_usage(model_dir)
    frames, frames_as = read_frames_as_trained(video, usage, num_frames, frames_as)
    model, processor = load_for_answers(model_dir, device)
    asked = RowText("The question", "question", question)
    pattern = special_token_pattern(processor.tokenizer)
    token = pattern.search(question) if pattern else None
    if token is not None:
        refuse_token(asked.where, asked.kind, question, token.group())
    unknown = unknown_words([asked], processor.tokenizer)
    if unknown is not None:
        logger.warning(
            "The model does not know %s: it reads %r in their place.", unknown.words, processor.tokenizer.unk_token
        )
    sample = Sample(str(video), frames, [question], frames_as)
    ((_, (answer,)),) = answer_samples(model, processor, [sample], options)
    return answer


def ask_depth(
    model_dir: str | Path,
    image: str | Path,
    pixel: tuple[int, int],
    *,
    intrinsics: np.ndarray | None = None,
    field_of_view_degrees: float | None = None,
    calibrator: str | None = None,
    focal_pixels: float | None = FOCAL_PIXELS,
    focal_mode: str = "both",
    longest_side: int | None = None,
    max_image_pixels: int | None = None,
    canvas_size: tuple[int, int] | None = None,
    pixel_mapping: str = "image",
    steps: int = DEPTH_STEPS,
    max_new_tokens: int | None = None,
    device: str | None = None,
    frames_as: Literal["video", "images"] = "images",
) -> float:
    """Ask how far a pixel is, with VLM3's prompt.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved model that was trained on metric depth.
        image (`str | Path`): Image, or a video or folder of one frame.
        pixel (`tuple[int, int]`): Column and row, counted from 0.
        intrinsics (`np.ndarray`, *optional*): (3, 3) in pixels of the image.
        field_of_view_degrees (`float`, *optional*): Horizontal field of view, where intrinsics are unknown.
        calibrator (`str`, *optional*): Id of a depth model that estimates the camera where neither is given.
        focal_pixels (`float`, *optional*, defaults to `1000.0`): As in training; `None` leaves the image.
        focal_mode (`str`, *optional*, defaults to `"both"`): As in training.
        longest_side (`int`, *optional*): As in training.
        max_image_pixels (`int`, *optional*): As in training.
        canvas_size (`tuple[int, int]`, *optional*): As in training: height and width to crop or pad to.
        pixel_mapping (`str`, *optional*, defaults to `"image"`): As in training.
        steps (`int`, *optional*, defaults to `2000`): As in training: N of the text pixels.
        max_new_tokens (`int`, *optional*): Longest answer in tokens; by default as the prompt wants.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.
        frames_as (`str`, *optional*, defaults to `"images"`): As in training: `"images"` or `"video"`.

    Returns:
        `float`: Metres.

    Raises:
        UnparsedAnswerError: The model's answer is no depth.
        ValueError: A pixel outside the image, a bad camera, `max_new_tokens` or device.
        VideoError: An image that cannot be used.
        OSError: No model at `model_dir`.
    """
    longest = longest_answer(DEPTH_QUESTION) if max_new_tokens is None else max_new_tokens
    if longest < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens}: give 1 or more.")
    frames = read_frames(image, None)
    if len(frames) != 1:
        raise ValueError(f"{image} has {len(frames)} frames: a pixel is asked about in one. Give an image.")
    (frame,) = frames
    column, row = pixel
    if not (0 <= column < frame.width and 0 <= row < frame.height):
        raise ValueError(
            f"pixel {column} {row} is outside the image of {frame.width} x {frame.height} pixels: columns go from 0 "
            f"to {frame.width - 1}, rows from 0 to {frame.height - 1}."
        )
    if intrinsics is None and field_of_view_degrees is not None:
        intrinsics = intrinsics_from_field_of_view((frame.height, frame.width), field_of_view_degrees)
    if intrinsics is not None:
        intrinsics = checked_intrinsics(intrinsics, (frame.height, frame.width))
    model, processor = load_for_answers(model_dir, device)
    inputs = processor.depth_question_inputs(
        frame,
        (column + 0.5, row + 0.5),
        intrinsics,
        calibrator=calibrator,
        focal_pixels=focal_pixels,
        focal_mode=focal_mode,
        longest_side=longest_side,
        max_image_pixels=max_image_pixels,
        canvas_size=canvas_size,
        pixel_mapping=pixel_mapping,
        steps=steps,
        frames_as=frames_as,
    )
    (answer,) = generate_texts(model, processor, inputs, longest)
    metres = parse_depth(answer)
    if metres is None:
        raise UnparsedAnswerError(
            f"The model's answer is no depth: {answer!r}. Was it trained on VLM3's depth prompt, with {steps} steps?"
        )
    return metres


def depth_options(model_dir: str | Path) -> dict[str, Any]:
    """How a saved model wants to be asked for depth.

    Args:
        model_dir (`str | Path`): Directory or Hub id.

    Returns:
        `dict[str, Any]`: Options of `ask_depth`; empty where the model does not say.

    Raises:
        ValueError: What the model says cannot be understood.
    """
    usage = read_usage(model_dir)
    trained = task_options(usage, "depth")
    if not trained:
        return {}
    unchanged = ("focal_pixels", "focal_mode", "longest_side", "max_image_pixels", "pixel_mapping")
    options = {name: trained[name] for name in unchanged if name in trained}
    if trained.get("canvas_size") is not None:
        options["canvas_size"] = tuple(trained["canvas_size"])
    if "text_pixel_steps" in trained:
        options["steps"] = trained["text_pixel_steps"]
    if "frames_as" in usage:
        options["frames_as"] = usage["frames_as"]
    return options


def camera_matrix(camera: Sequence[float] | None) -> np.ndarray | None:
    """Intrinsics from the numbers of a command line.

    Args:
        camera (`Sequence[float]`, *optional*): fx, fy, cx and cy in pixels; fy = 0 stands for fx.

    Returns:
        `np.ndarray` or `None`: (3, 3); `None` of `None`.
    """
    if camera is None:
        return None
    fx, fy, cx, cy = camera
    return np.array([[fx, 0, cx], [0, fy or fx, cy], [0, 0, 1]])
