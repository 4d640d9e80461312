"""How well a Vid-LLM reconstructs clips of one scene, beside the mean pose and median depth of its training clips."""

import dataclasses
import math

import numpy as np
from tqdm import tqdm

from igep.modeling_vid_llm import VidLLMForConditionalGeneration
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.held_out_frames import HeldOutFrames
from igep.trainers.experiments.room_reconstruction import mean_pose, pose_figures, reconstructed, relative_poses
from igep.trainers.metrics.metric_depth import aligned_depth_scores


AT_ONCE = 16
FIGURES = (
    *("depth AbsRel", "depth delta_1", "AbsRel, scaled", "delta_1, scaled"),
    *("rotation error, degrees", "translation error, metres"),
)


@dataclasses.dataclass(frozen=True)
class ClipGeometry:
    """What was predicted of N clips of F frames, and what is true of them.

    Args:
        predicted_depth_metres (`np.ndarray`): (N, F, H, W).
        depth_metres (`np.ndarray`): (N, F, H, W); 0 = not measured.
        predicted_first_from_camera (`np.ndarray`): (N, F - 1, 4, 4) float64, the cameras behind the first.
        first_from_camera (`np.ndarray`): (N, F - 1, 4, 4) float64.
        world_from_first (`np.ndarray`): (N, 4, 4) float64, the true pose of each clip's first camera.
    """

    predicted_depth_metres: np.ndarray
    depth_metres: np.ndarray
    predicted_first_from_camera: np.ndarray
    first_from_camera: np.ndarray
    world_from_first: np.ndarray


def reconstruct_clips(
    model: VidLLMForConditionalGeneration, processor: IGEPProcessor, rows: HeldOutFrames, title: str
) -> ClipGeometry:
    """Reconstructs clips from their frames alone.

    Args:
        model (`VidLLMForConditionalGeneration`): The model, on the CPU, in eval mode.
        processor (`IGEPProcessor`): Its processor.
        rows (`HeldOutFrames`): The clips.
        title (`str`): What stands before the progress bar.

    Returns:
        `ClipGeometry`
    """
    parts: list[tuple[np.ndarray, ...]] = []
    batches = reconstructed(model, processor, rows, AT_ONCE)
    for batch, found in tqdm(batches, desc=title, total=math.ceil(len(rows) / AT_ONCE), unit="batch"):
        poses = found.world_from_camera[:, 1:].double().numpy()
        parts.append(
            (
                found.depth_metres.numpy(),
                batch["depth_metres"].numpy(),
                poses,
                relative_poses(batch["world_from_camera"]).reshape(poses.shape),
                batch["world_from_camera"][:, 0].double().numpy(),
            )
        )
    return ClipGeometry(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def prior_of(clips: ClipGeometry, trained: ClipGeometry) -> ClipGeometry:
    """What can be said of clips without looking: the median depth of trained clips, and the mean pose of each camera.

    Args:
        clips (`ClipGeometry`): Clips to predict.
        trained (`ClipGeometry`): Clips whose truth is known.

    Returns:
        `ClipGeometry`: With the truth of `clips`.
    """
    known = trained.depth_metres
    constant = np.full_like(clips.depth_metres, np.median(known[known > 0]))
    means = np.stack([mean_pose(poses) for poses in trained.first_from_camera.swapaxes(0, 1)])
    poses = np.broadcast_to(means, clips.first_from_camera.shape)
    return dataclasses.replace(clips, predicted_depth_metres=constant, predicted_first_from_camera=poses)


def clip_figures(clips: ClipGeometry) -> dict[str, float]:
    """Errors of depth in metres, of depth after one scale for each clip, and of the cameras behind the first.

    Args:
        clips (`ClipGeometry`): Prediction and truth.

    Returns:
        `dict[str, float]`: `FIGURES`: depth as means over pixels, and over clips where it is scaled; cameras as means.
    """
    pairs = []
    for predicted, true in zip(clips.predicted_depth_metres, clips.depth_metres, strict=True):
        here = true > 0
        pairs.append((predicted[here].astype(np.float64), true[here].astype(np.float64)))
    metric = aligned_depth_scores(*(np.concatenate(part).tolist() for part in zip(*pairs, strict=True)), "none")
    measured = [(predicted.tolist(), true.tolist()) for predicted, true in pairs if len(true)]
    scaled = [aligned_depth_scores(predicted, true, "median") for predicted, true in measured]
    poses = (clips.predicted_first_from_camera, clips.first_from_camera)
    return {
        "depth AbsRel": metric["abs_rel"],
        "depth delta_1": metric["delta_1"],
        "AbsRel, scaled": float(np.mean([scores["abs_rel"] for scores in scaled])),
        "delta_1, scaled": float(np.mean([scores["delta_1"] for scores in scaled])),
        **pose_figures(list(zip(*(each.reshape(-1, 4, 4) for each in poses), strict=True))),
    }


def chained_path(first_from_camera: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Joins the cameras of the clips of one block, each of which begins at the last camera of the one before it.

    Args:
        first_from_camera (`np.ndarray`): (N, F - 1, 4, 4).
        start (`np.ndarray`): (4, 4) `world_from_camera` of the block's first frame.

    Returns:
        `np.ndarray`: (1 + N * (F - 1), 4, 4) `world_from_camera`.
    """
    path = [start]
    for clip in first_from_camera:
        path += list(path[-1] @ clip)
    return np.stack(path)
