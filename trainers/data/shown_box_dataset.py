"""Questions that show a box in the camera of a frame, in the words in which boxes are answered (`text_boxes`).

A question holds `<coord>` where a box is shown, the last of its `referred_boxes`. Which frame is named depends on the
frames that are sampled, so it is written when the row is read: that which has most of the box in its image, hidden or
not.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from igep.text_boxes import box_answer
from igep.trainers.data.box_visibility import PosedCameras
from igep.trainers.data.scan2cap import COORD_TOKEN
from igep.trainers.data.scenes.scene_validation import ValidScene
from igep.trainers.data.scenes.spatial_example import SpatialDataError, SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.data.text_box_dataset import text_boxes_of, world_box


class ShownBoxDataset(SpatialDataset):
    """As `SpatialDataset`, with a box as text in place of every `<coord>`; questions without one stay as they are.

    Reading a row raises `SpatialDataError` for a `<coord>` in a scene without poses or intrinsics, or without a box.
    """

    def with_turns(
        self, example: SpatialExample, scene: ValidScene, question_rows: Sequence[dict[str, Any]]
    ) -> SpatialExample:
        if not any(COORD_TOKEN in row["question"] for row in question_rows):
            return example
        if example.world_from_camera is None or example.intrinsics is None:
            raise SpatialDataError(
                f"Scene {scene.scene_id!r}: a box is shown in a camera, which needs `world_from_camera` and "
                "`intrinsics`. Add them, or set box_prompt: centre."
            )
        cameras = PosedCameras(example.world_from_camera, example.intrinsics, self.geometry_size)
        turns = tuple(
            (question_with_box(row, scene.boxes, cameras), answer)
            for row, (_, answer) in zip(question_rows, example.conversation, strict=True)
        )
        return dataclasses.replace(example, conversation=turns)

    @property
    def usage(self) -> dict[str, Any]:
        """How boxes are shown, as a model that was taught so is asked."""
        return super().usage | {"box_prompt": "frame"}


def question_with_box(row: Mapping[str, Any], boxes: Sequence[dict[str, Any]], cameras: PosedCameras) -> str:
    """A question with its box as text in place of `<coord>`.

    Args:
        row (`Mapping`): Row of the questions table.
        boxes (`Sequence[dict]`): The boxes of its scene.
        cameras (`PosedCameras`): The frames that it is asked about.

    Returns:
        `str`: The question as it is if it holds no `<coord>`.

    Raises:
        SpatialDataError: There is no such box.
    """
    if COORD_TOKEN not in row["question"]:
        return row["question"]
    referred = row["referred_boxes"] or ()
    if not referred or not 0 <= referred[-1] < len(boxes):
        raise SpatialDataError(
            f"Question {row['question_id']!r} about scene {row['scene_id']!r} shows a box at {COORD_TOKEN}, and its "
            f"`referred_boxes` {list(referred)} name none of the scene's {len(boxes)}: name the box last."
        )
    written, _ = text_boxes_of([world_box(boxes[referred[-1]])], cameras)
    return row["question"].replace(COORD_TOKEN, box_answer(written))
