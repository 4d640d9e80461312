"""Ask a saved model what VLM3 asks besides depth: a pixel's place in a second image, the camera's motion, objects."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from igep.spatial_prompts import (
    ROTATION_ANGLE_QUESTION,
    TRANSLATION_DIRECTION_QUESTION,
    TRANSLATION_DISTANCE_QUESTION,
    YAW_PITCH_ROLL_QUESTION,
    longest_answer,
    parse_correspondence,
    parse_rotation_angle,
    parse_translation_direction,
    parse_translation_distance,
    parse_yaw_pitch_roll,
)
from igep.text_pixels import pixels_from_text
from igep.trainers.cards.usage import read_usage
from igep.trainers.commands.ask import UnparsedAnswerError
from igep.trainers.data.scenes.video_frames import read_frames
from igep.trainers.data.special_tokens import plain_question
from igep.trainers.evaluation.answering import AnsweringOptions, Sample, answer_samples
from igep.trainers.evaluation.asked_as_trained import AskedAsTrained, asked_as_trained
from igep.trainers.evaluation.load_vlm import load_for_answers


MOTION: dict[str, tuple[str, Callable[[str], Any]]] = {
    "rotation_angle_degrees": (ROTATION_ANGLE_QUESTION, parse_rotation_angle),
    "yaw_pitch_roll_degrees": (YAW_PITCH_ROLL_QUESTION, parse_yaw_pitch_roll),
    "translation_direction": (TRANSLATION_DIRECTION_QUESTION, parse_translation_direction),
    "translation_distance_metres": (TRANSLATION_DISTANCE_QUESTION, parse_translation_distance),
}


def spatial_asking(
    model_dir: str | Path,
    task: str,
    changes: dict[str, Any] | None = None,
    *,
    frames_as: str | None = None,
    **camera: Any,
) -> AskedAsTrained:
    """How a saved model is asked a task of VLM3: as it was trained, but for what is changed.

    Args:
        model_dir (`str | Path`): Directory or Hub id.
        task (`str`): `correspondence`, `pose` or `objects`.
        changes (`dict`, *optional*): Options of `VLM3Options` to have instead; `focal_pixels` 0 leaves images as they
            are.
        frames_as (`str`, *optional*): `"images"` or `"video"`; by default as in training, else images.
        **camera: `intrinsics`, `field_of_view_degrees` or `calibrator`, see `AskedAsTrained`.

    Returns:
        `AskedAsTrained`

    Raises:
        ValueError: The model learned other tasks and not this one, or a value that cannot be.
    """
    usage = read_usage(model_dir)
    learned = usage.get("tasks", [])
    if learned and task not in learned:
        raise ValueError(f"{model_dir} learned {', '.join(learned)}, not {task}: ask it for one of those.")
    asking = asked_as_trained(model_dir, task=task, frames_as=frames_as or usage.get("frames_as", "images"))
    changes = dict(changes or {})
    if changes.get("focal_pixels") == 0:
        changes["focal_pixels"] = None
    if changes.get("canvas_size") is not None:
        changes["max_image_pixels"] = None  # the two exclude each other
    return dataclasses.replace(asking, vlm3=dataclasses.replace(asking.vlm3, **changes), **camera)


def ask_correspondence(
    model_dir: str | Path,
    first: str | Path,
    second: str | Path,
    pixel: tuple[int, int],
    asking: AskedAsTrained,
    *,
    max_new_tokens: int | None = None,
    device: str | None = None,
) -> tuple[float, float]:
    """Ask where a pixel of one image is in another.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved model that was trained on correspondence.
        first (`str | Path`): Image of the pixel.
        second (`str | Path`): The other image.
        pixel (`tuple[int, int]`): Column and row, counted from 0.
        asking (`AskedAsTrained`): How the model is asked, see `spatial_asking`.
        max_new_tokens (`int`, *optional*): Longest answer in tokens; by default as the prompt wants.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `tuple[float, float]`: Column and row in the second image, counted from 0, with a fraction.

    Raises:
        UnparsedAnswerError: The model's answer is no place in the image.
        ValueError: A pixel outside the image, or a camera, `max_new_tokens` or device that cannot be.
        VideoError: An image that cannot be used.
        OSError: No model at `model_dir`.
    """
    frames = [_image(path) for path in (first, second)]
    column, row = pixel
    if not (0 <= column < frames[0].width and 0 <= row < frames[0].height):
        raise ValueError(
            f"pixel {column} {row} is outside the image of {frames[0].width} x {frames[0].height} pixels."
        )
    question = f"<pixel {column + 0.5} {row + 0.5}>"
    (answer,), views = _answers(model_dir, frames, [question], asking, max_new_tokens, device)
    steps = asking.vlm3.steps
    place = parse_correspondence(answer, steps)
    if place is None:
        raise UnparsedAnswerError(
            f"The model's answer is no pixel: {answer!r}. Was it trained on VLM3's correspondence prompt, with "
            f"{steps} steps?"
        )
    shown = views[1]
    written = pixels_from_text(np.array(place), (shown.frame.height, shown.frame.width), steps)
    return tuple((shown.read_pixels(written) - 0.5).tolist())


def ask_pose(
    model_dir: str | Path,
    first: str | Path,
    second: str | Path,
    asking: AskedAsTrained,
    *,
    max_new_tokens: int | None = None,
    device: str | None = None,
) -> dict[str, tuple[float, ...]]:
    """Ask how the camera moved from one image to another.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved model that was trained on pose.
        first (`str | Path`): Image of the first view.
        second (`str | Path`): Image of the second.
        asking (`AskedAsTrained`): How the model is asked, see `spatial_asking`.
        max_new_tokens (`int`, *optional*): Longest answer in tokens; by default as the prompt wants.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `dict[str, tuple[float, ...]]`: The quantities of `MOTION`: angle, yaw / pitch / roll, unit vector in the first
        camera's axes, and metres.

    Raises:
        UnparsedAnswerError: An answer that does not hold what was asked for.
        ValueError: A camera, `max_new_tokens` or device that cannot be.
        VideoError: An image that cannot be used.
        OSError: No model at `model_dir`.
    """
    frames = [_image(path) for path in (first, second)]
    questions = [question for question, _ in MOTION.values()]
    answers, _ = _answers(model_dir, frames, questions, asking, max_new_tokens, device)
    found = {}
    for (name, (_, parse)), answer in zip(MOTION.items(), answers, strict=True):
        value = parse(answer)
        if value is None:
            raise UnparsedAnswerError(
                f"The model's answer holds no {name.replace('_', ' ')}: {answer!r}. Was it trained on VLM3's pose "
                "prompts?"
            )
        found[name] = value if isinstance(value, tuple) else (value,)
    return found


def ask_objects(
    model_dir: str | Path,
    image: str | Path,
    question: str,
    asking: AskedAsTrained,
    *,
    max_new_tokens: int | None = None,
    device: str | None = None,
) -> str:
    """Ask about objects that boxes in the question name.

    Args:
        model_dir (`str | Path`): Directory or Hub id of a saved model that was trained on objects.
        image (`str | Path`): The image.
        question (`str`): With `<box X1 Y1 X2 Y2>` in pixels of the image where an object is meant.
        asking (`AskedAsTrained`): How the model is asked, see `spatial_asking`.
        max_new_tokens (`int`, *optional*): Longest answer in tokens; by default as the prompt wants.
        device (`str`, *optional*): Torch device; by default `cuda` where there is one, else `cpu`.

    Returns:
        `str`: The answer.

    Raises:
        ValueError: A box outside the image or one that cannot be read, special tokens, or a camera, `max_new_tokens`
            or device that cannot be.
        VideoError: An image that cannot be used.
        OSError: No model at `model_dir`.
    """
    question = plain_question("igep ask", question)
    (answer,), _ = _answers(model_dir, [_image(image)], [question], asking, max_new_tokens, device)
    return answer


def _image(path: str | Path) -> Image.Image:
    frames = read_frames(path, None)
    if len(frames) != 1:
        raise ValueError(f"{path} has {len(frames)} frames: VLM3's tasks are asked about images. Give an image.")
    return frames[0]


def _answers(
    model_dir: str | Path,
    frames: Sequence[Image.Image],
    questions: Sequence[str],
    asking: AskedAsTrained,
    max_new_tokens: int | None,
    device: str | None,
) -> tuple[list[str], list]:
    """Answers to questions about unified images, and their views."""
    if max_new_tokens is not None and max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens}: give 1 or more.")
    model, processor = load_for_answers(model_dir, device)
    views = asking.views(frames, processor)
    shown, texts = asking.shown(frames, questions, processor)
    longest = max(map(longest_answer, texts)) if max_new_tokens is None else max_new_tokens
    sample = Sample(str(model_dir), shown, texts, asking.video_frames_as)
    ((_, answers),) = answer_samples(model, processor, [sample], AnsweringOptions(max_new_tokens=longest))
    return answers, views
