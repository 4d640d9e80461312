"""Questions about objects of posed scenes, answered with 3D boxes as text: rows like other questions', other answers.

The objects that a question means are its `referred_boxes`. Each is written in the camera of the sampled frame that
shows most of it (`box_visibility.best_frame`), described by those of its axes that lie nearest to the camera's
(`nearest_axes_box`).
"""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from igep.text_boxes import TextBox, box_answer, box_question
from igep.trainers.data.box_visibility import PosedCameras, best_frame
from igep.trainers.data.scenes.scene_validation import ValidScene
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.geometry.box_axes import nearest_axes_box
from igep.trainers.geometry.oriented_boxes import box_from_rotation, transform_box


logger = logging.getLogger(__name__)

TEXT_BOXES = "text_boxes"  # the task
NUMBERS = ("one", "any")
ANY_NUMBER_BY_DEFAULT = ("multi3drefer",)


@dataclass
class TextBoxOptions:
    """Options of `task: text_boxes`.

    Args:
        boxes_per_answer (`str`, *optional*): `one` = a question means one object, and its answer is one box; `any`:
            none, one or several, and the answer is a list. By default `any` for `multi3drefer` and `one` for all
            others.
    """

    boxes_per_answer: str | None = field(
        default=None,
        metadata={
            "help": "text_boxes: objects that a question means (default: any for multi3drefer, else one).",
            "choices": list(NUMBERS),
        },
    )

    def __post_init__(self):
        if self.boxes_per_answer not in (None, *NUMBERS):
            raise ValueError(f"boxes_per_answer={self.boxes_per_answer!r} must be one or any.")


def asks_for_any_number(options: TextBoxOptions, dataset: str) -> bool:
    """Whether questions may mean none, one or several objects.

    Args:
        options (`TextBoxOptions`): What was chosen.
        dataset (`str`): Name of the dataset, which decides where nothing was.

    Returns:
        `bool`
    """
    if options.boxes_per_answer is None:
        return dataset in ANY_NUMBER_BY_DEFAULT
    return options.boxes_per_answer == "any"


class TextBoxDataset(SpatialDataset):
    """As `SpatialDataset`, where every question asks for its `referred_boxes` and is answered with them as text.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`; scenes with questions need poses and intrinsics.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`. Answers that stand in it are not used.
        any_number (`bool`): Whether questions may mean none, one or several objects.
        **rows: As `SpatialDataset` takes them.

    Raises:
        SpatialDataError: As `SpatialDataset`; a scene with questions that has no poses or intrinsics, or a question
            that does not mean one object where `any_number` is not set.
    """

    def __init__(self, scenes: Dataset, questions: Dataset | None, *, any_number: bool, **rows: Any):
        if questions is None:
            raise SpatialDataError(
                "These scenes have no questions: task text_boxes asks about the objects of questions."
            )
        super().__init__(scenes, questions, **rows)
        self.any_number = any_number
        self._said = False
        check_referred_boxes(questions, any_number)
        asked = set(questions["scene_id"])
        for number, scene_id in enumerate(self.scene_table.scene_ids):
            if scene_id in asked:
                self.scene_table.check_has(
                    number, ("world_from_camera", "intrinsics"), "boxes are written in a camera"
                )

    def with_turns(
        self, example: SpatialExample, scene: ValidScene, question_rows: Sequence[dict[str, Any]]
    ) -> SpatialExample:
        if not question_rows:
            return example
        cameras = PosedCameras(example.world_from_camera, example.intrinsics, self.geometry_size, example.depth_metres)
        turns, references = [], []
        for row in question_rows:
            boxes = [world_box(scene.boxes[number]) for number in row["referred_boxes"]]
            written, unseen = text_boxes_of(boxes, cameras)
            if unseen and not self._said:
                self._said = True
                logger.warning(
                    "No sampled frame shows an object of question %r: its box is outside the image or hidden in every "
                    "frame, and is written in the nearest. Said once; more num_frames see more.",
                    row["question_id"],
                )
            turns.append((box_question(row["question"], self.any_number), box_answer(written, self.any_number)))
            references.append({"boxes": boxes})
        # Nor is anything pointed at among proposals, as where the same questions are answered by `<ground>`.
        return dataclasses.replace(
            example,
            conversation=tuple(turns),
            references=tuple(references),
            proposals=None,
            ground_targets=(),
        )

    @property
    def task(self) -> str:
        """The objects of questions, as boxes in text."""
        return TEXT_BOXES


def check_referred_boxes(questions: Dataset, any_number: bool) -> None:
    """Asserts that questions mean as many objects as their answers can hold.

    Args:
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`.
        any_number (`bool`): Whether that is any number, or one.

    Raises:
        SpatialDataError: One does not; the message names the first and how many they are.
    """
    if any_number:
        return
    columns = questions.select_columns(["question_id", "referred_boxes"])
    wrong = [row for row in columns if len(row["referred_boxes"] or ()) != 1]
    if wrong:
        raise SpatialDataError(
            f"{len(wrong)} of {len(questions)} questions do not mean one object; the first, "
            f"{wrong[0]['question_id']!r}, has `referred_boxes` {wrong[0]['referred_boxes']}. Set boxes_per_answer: "
            "any, or leave them out."
        )


def world_box(box: dict[str, Any]) -> list[float]:
    """A box of a scene as numbers.

    Args:
        box (`dict`): A box of the row schema.

    Returns:
        `list[float]`: Six numbers where it lies along the world's axes, otherwise nine (see `oriented_boxes`).
    """
    if not box["yaw_radians"]:
        return [*box["centre_metres"], *box["size_metres"]]
    cosine, sine = np.cos(box["yaw_radians"]), np.sin(box["yaw_radians"])
    world_from_box = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    return box_from_rotation(box["centre_metres"], box["size_metres"], world_from_box).tolist()


def text_boxes_of(boxes: Sequence[Sequence[float]], cameras: PosedCameras) -> tuple[list[TextBox], int]:
    """Boxes of a world as a model is taught to write them.

    Args:
        boxes (`Sequence[Sequence[float]]`): Six or nine numbers each, in the world.
        cameras (`PosedCameras`): The frames that are shown.

    Returns:
        `tuple[list[TextBox], int]`: Sorted by frame, in a frame from left to right; and how many of them no frame
        shows.

    Raises:
        ValueError: No box.
    """
    written, unseen = [], 0
    for box in boxes:
        frame, is_seen = best_frame(box, cameras)
        unseen += not is_seen
        in_camera = transform_box(box, np.linalg.inv(cameras.world_from_camera[frame]))
        written.append(TextBox(frame, tuple(nearest_axes_box(in_camera).tolist())))
    return sorted(written), unseen
