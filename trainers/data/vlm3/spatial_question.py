"""What question writers read and write: views of a posed scene, and questions with the quantity behind the answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from igep.focal_unification import UnifiedView


@dataclass(frozen=True)
class PosedView:
    """One frame as the model sees it, after focal unification and cropping, with the geometry of exactly that view.

    Args:
        frame_id (`str`): Name of the frame within its scene.
        frame (`PIL.Image.Image`): RGB image of W x H pixels.
        depth_metres (`np.ndarray | None`): (h, w) float32 z-depth of the area that the frame shows, at its own
            resolution; 0 = invalid. `None` when the frame has no depth.
        intrinsics (`np.ndarray | None`): (3, 3) float64 in pixels of `frame`. `None` when unknown.
        world_from_camera (`np.ndarray | None`): (4, 4) float64. `None` when the scene has no poses.
        unified (`UnifiedView`, *optional*): What `frame` was made by; `None` = it is as it was taken.
    """

    frame_id: str
    frame: Image.Image
    depth_metres: np.ndarray | None
    intrinsics: np.ndarray | None
    world_from_camera: np.ndarray | None
    unified: UnifiedView | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frame in pixels."""
        return self.frame.height, self.frame.width

    def written_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Where questions say that points of the frame are, see `UnifiedView.written_pixels`.

        Args:
            pixels (`np.ndarray`): (..., 2) in pixels of the frame.

        Returns:
            `np.ndarray`: (..., 2).
        """
        return pixels if self.unified is None else self.unified.written_pixels(pixels)


@dataclass(frozen=True)
class WrittenQuestion:
    """A question, the answer that is trained on, and what the answer is scored against.

    Args:
        question (`str`): Text of the question, without placeholders for images.
        answer (`str`): Text of the answer.
        question_type (`str`): Task or family, a key of the scores; `metric_depth`, `rotation_angle`, ...
        reference (`Any`): The exact quantity behind the answer, as the metric of the task takes it.
    """

    question: str
    answer: str
    question_type: str
    reference: Any


def distinct_questions(written: list[WrittenQuestion]) -> list[WrittenQuestion]:
    """Keeps one of the questions that read the same: two pixels of one text would be one question with two answers.

    Args:
        written (`list[WrittenQuestion]`): Questions about one set of images.

    Returns:
        `list[WrittenQuestion]`: In order, no two of the same text.
    """
    return list({one.question: one for one in written}.values())
