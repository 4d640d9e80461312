"""The one row schema of the package: a table of posed RGB-D scenes and one of questions, joined when a row is read.

Scenes are large and questions are many, so neither is ever stored inside the other. Both tables are plain `datasets`
features: they stream, go to Parquet and to the Hub as they are. Every loader only fills them.

Conventions are those of `camera_geometry`: metres, OpenCV camera axes, `world_from_camera`, intrinsics in pixels of
the stored image with pixel centres at +0.5.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Features, Image, List, Value
from PIL import Image as PILImage


MATRIX = List(List(Value("float64")))

BOX_FEATURES = {
    "label": Value("string"),
    "centre_metres": List(Value("float64")),  # (3,) in the scene's world
    "size_metres": List(Value("float64")),  # (3,) full extents along the box's own axes
    "yaw_radians": Value("float64"),  # about the world's z axis; 0 for axis-aligned sets
}

SCENE_FEATURES = Features(
    {
        "scene_id": Value("string"),
        "frame_ids": List(Value("string")),
        "frames": List(Image()),  # F RGB images
        "depth": List(Image()),  # F 16-bit single-channel images or None per frame; an empty list = no depth at all
        "metres_per_depth_unit": Value("float64"),  # 0.001 for millimetres
        "depth_kind": Value("string"),  # "z" or "euclidean"
        "intrinsics": List(MATRIX),  # F x 3 x 3, colour camera
        "depth_intrinsics": List(MATRIX),  # F x 3 x 3, depth camera; an empty list = the colour camera, rescaled
        "colour_from_depth": MATRIX,  # 4 x 4 rigid transform between the two cameras; an empty list = identity
        "world_from_camera": List(MATRIX),  # F x 4 x 4, pose of the colour camera; an empty list = no poses
        "boxes": List(BOX_FEATURES),
    }
)

PROPOSAL_LABEL = "proposal"  # of a box that a detector found: it is no object of the scene

# Columns with one entry per frame, where they are not empty.
PER_FRAME_FIELDS = ("frame_ids", "frames", "depth", "intrinsics", "depth_intrinsics", "world_from_camera")

QUESTION_FEATURES = Features(
    {
        "question_id": Value("string"),
        "scene_id": Value("string"),
        "question": Value("string"),
        # The first is trained on, all count in evaluation. `<ground>` alone: the answer is the referred boxes
        # themselves.
        "answers": List(Value("string")),
        "question_type": Value("string"),
        "referred_boxes": List(Value("int64")),  # indices into the scene's boxes
    }
)


class SpatialDataError(ValueError):
    """A scene, a question or a file that breaks the row schema; the message names where and what to do."""


@dataclass(frozen=True)
class SpatialExample:
    """One training or evaluation sample: frames, the geometry that supervises them, and a conversation.

    Args:
        sample_id (`str`): Unique within the dataset; printed in every error about this sample.
        scene_id (`str`): Scene the frames come from.
        frame_ids (`tuple[str, ...]`): F frame names, the keys of precomputed teacher descriptors.
        frames (`tuple[PIL.Image.Image, ...]`): F RGB images.
        depth_metres (`np.ndarray | None`): (F, H, W) float32 z-depth seen by the colour camera; 0 = invalid.
            `None` when the scene has no depth.
        intrinsics (`np.ndarray | None`): (F, 3, 3) float32, in pixels of `depth_metres` (H x W), whatever the size of
            the frames. `None` when unknown.
        world_from_camera (`np.ndarray | None`): (F, 4, 4) float64. `None` when the scene has no poses.
        conversation (`tuple[tuple[str, str], ...]`): (question, answer) turns; empty for a scene nobody annotated.
        question_types (`tuple[str, ...]`): One per turn.
        references (`tuple[Any, ...]`): One per turn, the exact quantity behind the answer, as the metric of its type
            takes it; empty when the answers' text is all there is.
        is_dialogue (`bool`): Whether turns may build on those before them; they stay together where questions are
            packed.
        proposals (`np.ndarray | None`): (P, 6) float64, boxes that grounding turns choose among: centre and full sizes
            along the axes of the scene's world, in metres. `None` when no turn is grounded.
        ground_targets (`tuple[tuple[int, ...] | None, ...]`): One per turn where there are proposals: the proposals
            that the turn means, none of them included; `None` for a turn that is answered in words.
    """

    sample_id: str
    scene_id: str
    frame_ids: tuple[str, ...]
    frames: tuple[PILImage.Image, ...]
    depth_metres: np.ndarray | None
    intrinsics: np.ndarray | None
    world_from_camera: np.ndarray | None
    conversation: tuple[tuple[str, str], ...] = ()
    question_types: tuple[str, ...] = ()
    references: tuple[Any, ...] = ()
    is_dialogue: bool = False
    proposals: np.ndarray | None = None
    ground_targets: tuple[tuple[int, ...] | None, ...] = ()
