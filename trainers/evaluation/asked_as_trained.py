"""Other programs' questions, asked as a model was trained: number of frames, focal length, pixels as text, prompts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from igep.calibrator import calibrator_of
from igep.focal_unification import (
    DEFAULT_FIELD_OF_VIEW_DEGREES,
    UnifiedView,
    estimate_intrinsics,
    intrinsics_from_field_of_view,
    unify_focal_length,
)
from igep.processing_igep import IGEPProcessor
from igep.spatial_prompts import correspondence_question, depth_question, region
from igep.text_pixels import text_from_boxes, text_from_pixels
from igep.trainers.cards.usage import read_usage, task_options
from igep.trainers.data.scenes.video_frames import DEFAULT_NUM_FRAMES, read_frames, read_image
from igep.trainers.data.vlm3.vlm3_options import VLM3_TASKS, VLM3Options


QUESTIONS = "questions"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
PIXEL = re.compile(rf"<pixel ({_NUMBER}) ({_NUMBER})>")
BOX = re.compile(rf"<box ({_NUMBER}) ({_NUMBER}) ({_NUMBER}) ({_NUMBER})>")
PLACE = re.compile(
    r"<\s{0,8}(?:box|pixel)\b[^<>]{0,80}>?", re.IGNORECASE
)  # that is meant, whether it can be read or not


@dataclass(frozen=True)
class AskedAsTrained:
    """How a model was trained to be asked. `asked_as_trained` makes one from what a model says of itself.

    Args:
        num_frames (`int`): Most frames of a video; they are spread evenly over it.
        video_frames_as (`str`): Show the frames of a video as one `"video"` or as `"images"`.
        vlm3 (`VLM3Options`, *optional*): Ask as VLM3 does: every image at one focal length, pixels as text.
            `None` = images and questions stay as they are.
        field_of_view_degrees (`float`, *optional*): Horizontal, of every image. VLM3's tasks alone need it.
        intrinsics (`np.ndarray`, *optional*): (3, 3) in pixels of the images, which one camera took.
        calibrator (`str`, *optional*): Id of a depth model that estimates what neither of them tells; a default with a
            warning unless given.
    """

    num_frames: int
    video_frames_as: str
    vlm3: VLM3Options | None = None
    field_of_view_degrees: float | None = None
    intrinsics: np.ndarray | None = None
    calibrator: str | None = None

    def frames(self, video: str | Path) -> list[Image.Image]:
        """Reads the frames of a video that the model is shown.

        Args:
            video (`str` or `Path`): Video file, folder of images or image.

        Returns:
            `list[PIL.Image.Image]`: RGB.

        Raises:
            VideoError: It cannot be used; the message names the file and what to do.
        """
        return read_frames(video, at_most=self.num_frames)

    def shown(
        self, frames: Sequence[Image.Image], questions: Sequence[str], processor: IGEPProcessor
    ) -> tuple[list[Image.Image], list[str]]:
        """Frames and questions about them as the model is shown them.

        With a task of VLM3, `<pixel 120.5 80.5>` in a question, x and y in pixels of the first frame with pixel
        centres at +0.5, becomes the two numbers of its text pixels. A question that is nothing else is asked in the
        task's own words. `<box 10 20 110 220>`, left, top, right and bottom edge, becomes a region as questions about
        objects name it.

        Args:
            frames (`Sequence[PIL.Image.Image]`): RGB images.
            questions (`Sequence[str]`): Any text.
            processor (`IGEPProcessor`): The model's.

        Returns:
            `tuple[list[PIL.Image.Image], list[str]]`: Images of the size that the encoder sees, and texts.

        Raises:
            ValueError: A pixel outside what the first image shows, a pixel or box that cannot be read, one where the
                model knows no text pixels, or a processor that would resize unified images.
        """
        if self.vlm3 is None:
            named = [question for question in questions if PIXEL.search(question) or BOX.search(question)]
            if named:
                raise ValueError(
                    f"{named[0]!r} names a pixel or a box, which only VLM3's tasks write as text: give "
                    f"task={VLM3_TASKS[0]} or another of {', '.join(VLM3_TASKS)}."
                )
            return list(frames), list(questions)
        views = self.views(frames, processor)
        return [view.frame for view in views], [self._written(question, views[0]) for question in questions]

    def views(self, frames: Sequence[Image.Image], processor: IGEPProcessor) -> list[UnifiedView]:
        """Unifies images for a task of VLM3.

        Args:
            frames (`Sequence[PIL.Image.Image]`): RGB images.
            processor (`IGEPProcessor`): The model's.

        Returns:
            `list[UnifiedView]`: One per image.

        Raises:
            ValueError: A camera that cannot be, or a processor that would resize unified images.
        """
        views = [self._unified(frame) for frame in frames]
        if self.vlm3.resizes:
            for size in {(view.frame.height, view.frame.width) for view in views}:
                processor.check_unified_size(size)
        return views

    def _unified(self, frame: Image.Image) -> UnifiedView:
        size = (frame.height, frame.width)
        if self.intrinsics is not None:
            intrinsics = self.intrinsics
        elif self.field_of_view_degrees is not None:
            intrinsics = intrinsics_from_field_of_view(size, self.field_of_view_degrees)
        elif self.vlm3.focal_pixels is None:  # nothing is resized to a focal length: any camera will do
            intrinsics = intrinsics_from_field_of_view(size, DEFAULT_FIELD_OF_VIEW_DEGREES)
        else:
            intrinsics = estimate_intrinsics(
                frame, None if self.calibrator is None else calibrator_of(self.calibrator)
            )
        return unify_focal_length(frame, intrinsics, **self.vlm3.unification)

    def _written(self, question: str, view: UnifiedView) -> str:
        for place in PLACE.findall(question):
            if not (PIXEL.fullmatch(place) or BOX.fullmatch(place)):
                raise ValueError(
                    f"{place!r} cannot be read: write <box LEFT TOP RIGHT BOTTOM> or <pixel X Y>, numbers from 0 on "
                    "in pixels of the image with one space between them."
                )
        alone = PIXEL.fullmatch(question.strip())
        if alone is None:
            question = BOX.sub(lambda place: self._region(place, view), question)
            return PIXEL.sub(lambda place: "({}, {})".format(*self._text_pixel(place, view)), question)
        if self.vlm3.task == "depth":
            return depth_question(self._text_pixel(alone, view), self.vlm3.steps)
        if self.vlm3.task == "correspondence":
            return correspondence_question(self._text_pixel(alone, view), self.vlm3.think)
        raise ValueError(
            f"{question!r} is a pixel alone, about which task={self.vlm3.task} asks nothing: write the question."
        )

    def _region(self, place: re.Match, view: UnifiedView) -> str:
        corners = view.from_original(np.array([float(number) for number in place.groups()]).reshape(2, 2))
        size = (view.frame.height, view.frame.width)
        box = corners.clip(0, size[::-1]).reshape(4)
        if not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError(
                f"{place[0]} has nothing in what is shown of the first image: give left, top, right, bottom."
            )
        return region(tuple(text_from_boxes(box, size, self.vlm3.steps).tolist()))

    def _text_pixel(self, place: re.Match, view: UnifiedView) -> tuple[int, int]:
        pixel = view.written_pixels(view.from_original(np.array([float(place[1]), float(place[2])])))
        try:
            return tuple(text_from_pixels(pixel, (view.frame.height, view.frame.width), self.vlm3.steps).tolist())
        except ValueError as error:
            raise ValueError(f"{place[0]} is outside what is shown of the first image: {error}") from error


def asked_as_trained(
    model: str | Path,
    *,
    task: str | None = None,
    num_frames: int | None = None,
    frames_as: str | None = None,
    field_of_view_degrees: float | None = None,
) -> AskedAsTrained:
    """Reads from a saved model how it was trained to be asked.

    Args:
        model (`str` or `Path`): Folder or Hub id. Of a plain VLM, which says nothing, the defaults are taken.
        task (`str`, *optional*): `questions`, or a task of VLM3; by default `questions` if the model learned them or
            does not say, else the one task that it learned.
        num_frames (`int`, *optional*): Most frames of a video; by default as many as it was trained with, else 8.
        frames_as (`str`, *optional*): Show the frames of a video as `"video"` or `"images"`; by default as in
            training, else as a video.
        field_of_view_degrees (`float`, *optional*): Horizontal, of every image.

    Returns:
        `AskedAsTrained`

    Raises:
        ValueError: An unknown value, a model of several tasks without a choice, or one that says what cannot be of
            itself.
    """
    usage = read_usage(model)
    learned = usage.get("tasks", [])
    if task is None:
        if learned and QUESTIONS not in learned and len(learned) > 1:
            raise ValueError(f"{model} learned {', '.join(learned)}: give the one that the questions are of, as task.")
        task = learned[0] if learned and QUESTIONS not in learned else QUESTIONS
    if task not in (QUESTIONS, *VLM3_TASKS):
        raise ValueError(f"task={task!r} is unknown: use one of {', '.join((QUESTIONS, *VLM3_TASKS))}.")
    if num_frames is None:
        num_frames = usage.get("num_frames", DEFAULT_NUM_FRAMES) if QUESTIONS in learned else DEFAULT_NUM_FRAMES
    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames} must be at least 1.")
    if frames_as not in (None, "video", "images"):
        raise ValueError(f"frames_as={frames_as!r} is unknown: use video or images.")
    return AskedAsTrained(
        num_frames,
        frames_as or usage.get("frames_as", "video"),
        None if task == QUESTIONS else VLM3Options(task=task, **task_options(usage, task)),
        field_of_view_degrees,
    )


def opened(image: Image.Image | str | Path) -> Image.Image:
    """An image as RGB, read from its file if it is none yet."""
    return image.convert("RGB") if isinstance(image, Image.Image) else read_image(image)
