"""Reconstructions of scenes compared with their measured geometry: cameras, depth and points of a video.

A Vid-LLM model reconstructs in its forward pass. Of an IGEP model nothing is left but, in a trainer checkpoint, the
depth verifier that supervised it: its depth is scored by the same figures. What is predicted is stored at a grid of
pixels of every frame.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel

from igep.camera_geometry import resize_intrinsics
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.centre_square import crops_to_centre
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import AnsweringBenchmark, Question, QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.reconstruction_figures import reconstruction_figures
from igep.trainers.evaluation.benchmarks.sampled_scenes import SampledScenes
from igep.trainers.evaluation.benchmarks.scene_questions import scenes_in_words
from igep.trainers.evaluation.reconstruct_video import check_reconstructs, reconstruct_frames
from igep.trainers.evaluation.verifier_depth import check_verifier, load_verifier, verifier_depth
from igep.trainers.metrics.figure import Figure


REMEDY = "give a Vid-LLM model, or with --checkpoint the trainer checkpoint whose depth verifier is to be scored"


class ScenesToReconstruct(SampledScenes, Sequence[QuestionGroup]):
    """A group for each scene, with one "question": its geometry.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        options (`BenchmarkOptions`): Frames of a scene, grid of pixels, and from where on depth is no measurement.

    Raises:
        SpatialDataError: An empty table. Reading a group raises it for a scene with neither depth nor poses, and for
            frames that are missing, broken or too few.
    """

    def __init__(self, scenes: Dataset, options: BenchmarkOptions):
        super().__init__(scenes, num_frames=options.num_frames, max_depth_metres=options.depth_range[1])
        self._grid = (options.pixel_grid[0], options.pixel_grid[1])

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, number: int) -> QuestionGroup:
        scene_id = self.scenes.scene_ids[number]
        question = Question(scene_id, f"the geometry of {self._num_frames} frames", "", "", self._truth(number))
        return QuestionGroup(scene_id, (question,), lambda: self.read_frames(number))

    def check(self, number: int) -> None:
        """Raises `SpatialDataError` where a scene has too few frames or nothing to compare with, decoding no image."""
        found = self.sampled_scene(number)
        if found.depth is None and found.world_from_camera is None:
            raise SpatialDataError(
                f"Scene {found.scene_id!r} has neither depth nor poses: there is nothing to compare with. Leave it "
                "out."
            )

    def _truth(self, number: int) -> dict[str, Any]:
        self.check(number)
        example = self.read_example(number, self._grid)
        poses = example.world_from_camera
        if poses is not None:
            poses = np.linalg.inv(poses[0]) @ poses
        return as_prediction(example.depth_metres, example.intrinsics, poses)


class ReconstructionBenchmark(AnsweringBenchmark):
    """Camera pose AUC, depth (in metres, and after one scale), point maps and the camera's path."""

    name = "reconstruction"
    max_new_tokens = 1  # no word is generated
    change_no_answer = ("questions_per_pass", "picture")

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> ScenesToReconstruct:
        everything, held_out = tables.load(options.scene_source())
        return ScenesToReconstruct((everything if held_out is None else held_out)[0], options)

    def check_model(self, settings: dict[str, Any], options: BenchmarkOptions) -> None:
        model_type = settings.get("model_type")
        if options.checkpoint is None:
            check_reconstructs(model_type, "benchmark='reconstruction': this model", REMEDY)
        else:
            check_verifier(model_type, Path(options.checkpoint))

    def answers(
        self,
        model: PreTrainedModel,
        processor: IGEPProcessor,
        groups: Iterable[QuestionGroup],
        options: BenchmarkOptions,
        *,
        share_prefix: bool = True,
        progress: str | None = None,
        total: int | None = None,
    ) -> Iterator[tuple[QuestionGroup, list[str]]]:
        grid = (options.pixel_grid[0], options.pixel_grid[1])
        if options.checkpoint is not None:
            load_verifier(model, Path(options.checkpoint))
        crops = options.checkpoint is not None and options.frames_as == "video" and crops_to_centre(processor)
        for group in tqdm(groups, desc=progress, total=total, unit="scene", disable=progress is None):
            frames = group.read_frames()
            if options.checkpoint is not None:
                depth = verifier_depth(model, processor, frames, options.frames_as)
                found = as_prediction(on_grid(depth, grid, frames[0].size if crops else None), None, None)
            else:
                made = reconstruct_frames(model, processor, frames)
                size = made.depth_metres.shape[1:]
                intrinsics = resize_intrinsics(torch.from_numpy(made.intrinsics), size, grid).numpy()
                found = as_prediction(on_grid(made.depth_metres, grid), intrinsics, made.world_from_camera)
            yield group, [json.dumps(found)]

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        return reconstruction_figures(rows, (options.pixel_grid[0], options.pixel_grid[1]))

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        rows, columns = options.pixel_grid
        source = (
            "predicted by the model"
            if options.checkpoint is None
            else "depth alone, predicted by the verifier of a training checkpoint, which the saved model does not have"
        )
        split = f"rooms of seed {options.room_seed}" if options.dataset == "synthetic_rooms" else "as given"
        return {
            **scenes_in_words(options),
            "split": f"{split}: {num_groups} scenes",
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, and nothing else",
            "questions": f"none: the geometry of each video is {source}, and compared at {rows} x {columns} pixels of "
            "every frame",
            "metrics": "those of igep's trainers/metrics (metric_depth, pose_auc, trajectory_error, point_map_error); "
            "depth and points per scene, then the mean over scenes; after one scale per scene where the figure says "
            "so",
            "geometry_inputs": "none",
        }


def as_prediction(
    depth_metres: np.ndarray | None, intrinsics: np.ndarray | None, world_from_camera: np.ndarray | None
) -> dict[str, Any]:
    """Geometry of a video as JSON has it, in millimetres and millionths.

    Args:
        depth_metres (`np.ndarray`, *optional*): (F, h, w); 0 or not finite = none, negative = not seen.
        intrinsics (`np.ndarray`, *optional*): (F, 3, 3) in pixels of h x w.
        world_from_camera (`np.ndarray`, *optional*): (F, 4, 4), in the world of the first camera.

    Returns:
        `dict[str, Any]`: The three, each `None` where there is none; -1 in the depth where a pixel was not seen.
    """
    depth = None if depth_metres is None else np.nan_to_num(depth_metres.astype(np.float64), posinf=0.0, neginf=0.0)
    return {
        "depth_metres": None if depth is None else np.where(depth < 0, -1.0, depth.round(3)).tolist(),
        "intrinsics": _rounded(intrinsics),
        "world_from_camera": _rounded(world_from_camera),
    }


def on_grid(
    depth_metres: np.ndarray, grid: tuple[int, int], cropped_from: tuple[int, int] | None = None
) -> np.ndarray:
    """Depth at the centres of a grid's cells over the whole frame: that of the nearest pixel.

    Args:
        depth_metres (`np.ndarray`): (F, H, W).
        grid (`tuple[int, int]`): Rows and columns.
        cropped_from (`tuple[int, int]`, *optional*): (width, height) of the frame where the depth is of its centre
            square alone.

    Returns:
        `np.ndarray`: (F, *grid), -1 where the depth does not reach.
    """
    places, seen = [], []
    sides = (1.0, 1.0) if cropped_from is None else [side / min(cropped_from) for side in reversed(cropped_from)]
    for count, size, side in zip(grid, depth_metres.shape[1:], sides, strict=True):
        share = ((np.arange(count) + 0.5) / count - 0.5) * side + 0.5
        places.append(np.floor(share.clip(0, 1 - 1e-9) * size).astype(int))
        seen.append((share >= 0) & (share < 1))
    sampled = depth_metres[:, places[0]][:, :, places[1]]
    return np.where(seen[0][:, None] & seen[1], sampled, -1.0)


def _rounded(matrices: np.ndarray | None) -> list | None:
    return None if matrices is None else np.asarray(matrices, dtype=np.float64).round(6).tolist()


RECONSTRUCTION = ReconstructionBenchmark()
