"""How did the camera move: VLM3's four questions about the relative pose of two views."""

import numpy as np

from igep.spatial_prompts import (
    ROTATION_ANGLE_QUESTION,
    TRANSLATION_DIRECTION_QUESTION,
    TRANSLATION_DISTANCE_QUESTION,
    YAW_PITCH_ROLL_QUESTION,
    rotation_angle_answer,
    translation_direction_answer,
    translation_distance_answer,
    yaw_pitch_roll_answer,
)
from igep.trainers.data.scenes.camera_arrays import relative_pose
from igep.trainers.data.vlm3.spatial_question import PosedView, WrittenQuestion
from igep.trainers.data.vlm3.vlm3_options import VLM3Options
from igep.trainers.geometry.camera_angles import rotation_angle_degrees, yaw_pitch_roll_from_rotation


LEAST_MOTION_METRES = 0.02  # below it the direction is noise of the pose, and is not asked for


def ask_about_pose(
    first: PosedView, second: PosedView, options: VLM3Options, rng: np.random.Generator
) -> list[WrittenQuestion]:
    """Asks for rotation angle, yaw / pitch / roll, direction and distance, in random order.

    Args:
        first (`PosedView`): View with a pose.
        second (`PosedView`): Likewise.
        options (`VLM3Options`): Number of questions.
        rng (`np.random.Generator`): Draws the order, and which are left out if fewer are wanted.

    Returns:
        `list[WrittenQuestion]`: At most four; no direction where the camera hardly moved.
    """
    pose = relative_pose(first.world_from_camera, second.world_from_camera)
    angle, angles = rotation_angle_degrees(pose), yaw_pitch_roll_from_rotation(pose)
    moved = pose[:3, 3]
    distance = float(np.linalg.norm(moved))
    asked = [
        WrittenQuestion(ROTATION_ANGLE_QUESTION, rotation_angle_answer(angle), "rotation_angle", angle),
        WrittenQuestion(YAW_PITCH_ROLL_QUESTION, yaw_pitch_roll_answer(*angles), "yaw_pitch_roll", list(angles)),
        WrittenQuestion(
            TRANSLATION_DISTANCE_QUESTION, translation_distance_answer(distance), "translation_distance", distance
        ),
    ]
    if distance >= LEAST_MOTION_METRES:
        direction = tuple((moved / distance).tolist())
        answer = translation_direction_answer(direction)
        asked.append(WrittenQuestion(TRANSLATION_DIRECTION_QUESTION, answer, "translation_direction", list(direction)))
    return [asked[index] for index in rng.permutation(len(asked))[: options.questions_per_image]]
