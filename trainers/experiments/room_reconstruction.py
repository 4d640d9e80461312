"""How well a Vid-LLM reconstructs rooms that it never saw, beside what can be said of them without looking."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from igep.camera_geometry import relative_pose
from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.reconstruction import Reconstruction
from igep.trainers.data.collator import IGEPDataCollator
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.evaluation.benchmarks.rooms import held_out_rooms
from igep.trainers.geometry.camera_angles import rotation_angle_degrees
from igep.trainers.metrics.metric_depth import depth_scores


BATCH = 32
PRIOR_SEED = 2026  # of the rooms that the recipes train on
PRIOR_ROOMS = 512
FIGURES = ("depth AbsRel", "depth delta_1", "rotation error, degrees", "translation error, metres")


def reconstructed(
    model: VidLLMForConditionalGeneration,
    processor: IGEPProcessor,
    rooms: Sequence[SpatialExample],
    at_once: int = BATCH,
) -> Iterator[tuple[dict, Reconstruction]]:
    """Reconstructs rooms from their frames alone.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, on the CPU.
        processor (`IGEPProcessor`): Its processor.
        rooms (`Sequence[SpatialExample]`): The rooms, or other rows with poses.
        at_once (`int`, *optional*, defaults to `32`): Rows of a batch.

    Yields:
        `tuple[dict, Reconstruction]`: A batch of `IGEPDataCollator`, for what is true of it, and what the model made
        of its frames.
    """
    collator = IGEPDataCollator(processor, None)
    for start in range(0, len(rooms), at_once):
        batch = collator([rooms[number] for number in range(start, min(start + at_once, len(rooms)))])
        yield batch, model.reconstruct(batch["pixel_values_videos"], batch["frame_mask"])


def reconstruction_figures(
    model: VidLLMForConditionalGeneration, processor: IGEPProcessor, rooms: Sequence[SpatialExample]
) -> dict[str, float]:
    """Errors of a model's depth in metres, and of its cameras behind the first.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, on the CPU.
        processor (`IGEPProcessor`): Its processor.
        rooms (`Sequence[SpatialExample]`): Rooms with depth and poses.

    Returns:
        `dict[str, float]`: `FIGURES`, means over pixels and over cameras.
    """
    depths, poses = [], []
    for batch, found in reconstructed(model, processor, rooms):
        depths.append((found.depth_metres.numpy(), batch["depth_metres"].numpy()))
        true = relative_poses(batch["world_from_camera"])
        poses += zip(found.world_from_camera[:, 1:].flatten(0, 1).double().numpy(), true, strict=True)
    return depth_figures(*(np.concatenate(part) for part in zip(*depths, strict=True))) | pose_figures(poses)


def prior_figures(rooms: Sequence[SpatialExample], training_rooms: Sequence[SpatialExample]) -> dict[str, float]:
    """The same errors of the median depth and the mean pose of rooms that are trained on.

    Args:
        rooms (`Sequence[SpatialExample]`): Rooms to predict.
        training_rooms (`Sequence[SpatialExample]`): Rooms that are known.

    Returns:
        `dict[str, float]`: `FIGURES`.
    """
    known = np.stack([room.depth_metres for room in training_rooms])
    mean = mean_pose(_poses(training_rooms))
    true = np.stack([room.depth_metres for room in rooms])
    constant = np.full_like(true, np.median(known[known > 0]))
    return depth_figures(constant, true) | pose_figures([(mean, pose) for pose in _poses(rooms)])


def depth_figures(predicted_metres: np.ndarray, depth_metres: np.ndarray) -> dict[str, float]:
    """AbsRel, and the share of pixels within a factor of 1.25, where depth is measured."""
    here = depth_metres > 0
    scores = depth_scores(*(metres[here].astype(np.float64).tolist() for metres in (predicted_metres, depth_metres)))
    return {"depth AbsRel": scores["abs_rel"], "depth delta_1": scores["delta_1"]}


def pose_figures(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean angle between rotations, and mean distance of positions.

    Args:
        pairs (`Sequence[tuple[np.ndarray, np.ndarray]]`): Predicted and true (4, 4) `first_from_camera`.

    Returns:
        `dict[str, float]`
    """
    angles = [rotation_angle_degrees(predicted[:3, :3].T @ true[:3, :3]) for predicted, true in pairs]
    distances = [np.linalg.norm(predicted[:3, 3] - true[:3, 3]) for predicted, true in pairs]
    return {
        "rotation error, degrees": float(np.mean(angles)),
        "translation error, metres": float(np.mean(distances)),
    }


def mean_pose(poses: np.ndarray) -> np.ndarray:
    """(N, 4, 4) -> (4, 4) with the mean position and the mean rotation."""
    mean = np.eye(4)
    mean[:3, :3] = Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix()
    mean[:3, 3] = poses[:, :3, 3].mean(0)
    return mean


def relative_poses(world_from_camera: torch.Tensor) -> np.ndarray:
    """(B, F, 4, 4) -> (B * (F - 1), 4, 4) float64 `first_from_camera` of every camera but the first."""
    poses = world_from_camera.double()
    return relative_pose(poses[:, :1], poses[:, 1:]).flatten(0, 1).numpy()


def training_rooms(num_rooms: int = PRIOR_ROOMS) -> tuple[SpatialExample, ...]:
    """Rooms that the recipes train on."""
    return held_out_rooms(num_rooms, seed=PRIOR_SEED)


def as_rows(figures: Mapping[str, Mapping[str, float]], heading: str = "") -> list[list[str]]:
    """A table of figures: predictors by row, and their common figures as columns."""
    titles = list(next(iter(figures.values())))
    return [
        [heading, *titles],
        *([name, *(f"{each[title]:.3f}" for title in titles)] for name, each in figures.items()),
    ]


def _poses(rooms: Sequence[SpatialExample]) -> np.ndarray:
    return relative_poses(torch.from_numpy(np.stack([room.world_from_camera for room in rooms])))
