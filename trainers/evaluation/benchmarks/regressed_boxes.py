"""ScanRefer and Multi3DRefer without proposals, by the boxes that a model regresses (the box decoder of Vid-LLM).

Questions and truth are those of the benchmarks of the same names among proposals. The model sees RGB frames and the
pose of the first of them, which says where the scene's world lies: boxes that lie along the first camera's axes are
carried into it after they are found, those along the scene's axes are found with its help (`box_axes` of the model).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedConfig, PreTrainedModel

from igep.box_queries import RegressedBoxes, chosen_boxes
from igep.ground_head import PREDICTED
from igep.processing_igep import IGEPProcessor
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.grounding_benchmark import (
    PROTOCOLS,
    GroundingBenchmark,
    reference_by_boxes,
)
from igep.trainers.evaluation.benchmarks.multi3drefer import MULTI3DREFER
from igep.trainers.evaluation.benchmarks.scanrefer import SCANREFER
from igep.trainers.evaluation.benchmarks.scene_questions import (
    SceneQuestions,
    sampling_of,
    scenes_and_questions,
    scenes_in_words,
    split_in_words,
)
from igep.trainers.geometry.box_axes import axis_aligned_hull
from igep.trainers.geometry.oriented_boxes import box_from_rotation, box_problem


SMALLEST_TURN = 1e-6  # of a rotation's entries, below which axes are those of the world


@dataclass(frozen=True)
class RegressedGroup(QuestionGroup):
    """Questions about a scene that boxes answer.

    Args:
        read_first_pose (`Callable`): Reads the pose of the first frame that is shown, (1, 4, 4) in the scene's world.
    """

    read_first_pose: Callable[[], np.ndarray] = field(kw_only=True)


class RegressedQuestions(SceneQuestions):
    """The grounding questions of each scene, so many at a time, about scenes whose first frame's pose is known.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`, all answered by boxes.
        options (`BenchmarkOptions`): Frames, and questions per pass.
        truth_of (`Callable`): The reference of the metric, but for the type, from the true boxes.

    Raises:
        SpatialDataError: As `SceneQuestions`; or a question that is answered in words.
    """

    def __init__(self, scenes: Dataset, questions: Dataset, options: BenchmarkOptions, truth_of: Callable):
        columns = scenes.select_columns(["scene_id", "boxes"])
        boxes = {row["scene_id"]: row["boxes"] for row in columns}
        super().__init__(
            scenes,
            questions,
            reference_of=lambda row: reference_by_boxes(row, boxes[row["scene_id"]], truth_of),
            **sampling_of(options),
        )

    def check(self, number: int, geometry: Sequence[str]) -> RegressedGroup:
        group = super().check(number, geometry)
        group.read_first_pose()
        return group

    def group(self, scene: int, rows: Sequence[dict[str, Any]]) -> RegressedGroup:
        of_scene = super().group(scene, rows)
        return RegressedGroup(
            **vars(of_scene),
            read_first_pose=lambda: first_pose(of_scene.group_id, self.sampled_scene(scene).world_from_camera),
        )


def first_pose(scene_id: str, world_from_camera: np.ndarray | None) -> np.ndarray:
    """The pose of a scene's first frame.

    Args:
        scene_id (`str`): For messages.
        world_from_camera (`np.ndarray`, *optional*): (F, 4, 4) poses of its frames, NaN where unknown.

    Returns:
        `np.ndarray`: (1, 4, 4) float64.

    Raises:
        SpatialDataError: It is not known.
    """
    if world_from_camera is None or not np.isfinite(world_from_camera[0]).all():
        raise SpatialDataError(
            f"Scene {scene_id!r}: the pose of the first frame that is shown is unknown, so that boxes of the model "
            "cannot be placed in the scene: give world_from_camera, or leave the scene or the frame out."
        )
    return world_from_camera[:1]


def box_in_world(box: Sequence[float], axes: Sequence[Sequence[float]]) -> list[float]:
    """A box as the metrics take it.

    Args:
        box (`Sequence[float]`): Centre and full sizes in metres.
        axes (`Sequence[Sequence[float]]`): (3, 3), its columns the directions of the sizes in the world of the centre.

    Returns:
        `list[float]`: Six numbers where it lies along the axes of the world, else nine (see `oriented_boxes`).
    """
    rotation = np.asarray(axes, dtype=np.float64)
    if np.abs(rotation - np.eye(3)).max() < SMALLEST_TURN:
        return list(box)
    return box_from_rotation(box[:3], box[3:], rotation).tolist()


class RegressedBoxBenchmark(GroundingBenchmark):
    """Questions that boxes of a box decoder answer.

    Args:
        among_proposals (`GroundingBenchmark`): The benchmark of the same questions among proposals, whose name and
            `_regressed` is that of this one.
    """

    def __init__(self, among_proposals: GroundingBenchmark):
        super().__init__(
            f"{among_proposals.name}_regressed",
            among_proposals.split,
            among_proposals.metric,
            any_number=among_proposals.any_number,
        )
        self.dataset = among_proposals.name

    def stated_options(self, values: dict[str, Any], model: str) -> dict[str, Any]:
        """What a score depends on and the user has not said: the geometry that was given.

        Args:
            values (`dict`): Options.
            model (`str`): Folder or Hub id; empty where predictions are scored.

        Returns:
            `dict`: `geometry_inputs`.

        Raises:
            ValueError: The model has no box decoder, or takes another geometry; or it is not said what the predictions
                were made with.
        """
        inputs = values["geometry_inputs"]
        if not model:
            return super().stated_options(values, model)
        config, _ = PreTrainedConfig.get_config_dict(model)
        if not config.get("box_decoder"):
            raise ValueError(
                f"benchmark={self.name!r}: {model} has no box decoder. Train a Vid-LLM with box_weight above 0 and "
                f"box_decoder: true in vid_llm_config, or score what it has ({self.dataset}, {self.dataset}_boxes)."
            )
        if inputs not in (None, PREDICTED):
            raise ValueError(
                f"benchmark={self.name!r}: geometry_inputs={inputs!r}, but boxes are regressed from the model's own "
                f"reconstruction ({PREDICTED}): leave geometry_inputs out."
            )
        return {"geometry_inputs": PREDICTED}

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> RegressedQuestions:
        return RegressedQuestions(*scenes_and_questions(options, tables), options, self._truth)

    def answers(
        self,
        model: PreTrainedModel,
        processor: IGEPProcessor,
        groups: Iterable[RegressedGroup],
        options: BenchmarkOptions,
        *,
        share_prefix: bool = True,
        progress: str | None = None,
        total: int | None = None,
    ) -> Iterator[tuple[RegressedGroup, list[str]]]:
        """Answers all questions of all groups, those of one from one encoding of its frames.

        Args:
            model (`PreTrainedModel`): A Vid-LLM with a box decoder, in eval mode.
            processor (`IGEPProcessor`): Its processor.
            groups (`Iterable[RegressedGroup]`): Read as they are answered.
            options (`BenchmarkOptions`): `frames_as` and `box_min_probability`.
            share_prefix (`bool`, *optional*, defaults to `True`): Ask the questions of a group in one pass.
            progress (`str`, *optional*): Title of a progress bar; without one, none is shown.
            total (`int`, *optional*): Number of groups, for the progress bar.

        Yields:
            `tuple[RegressedGroup, list[str]]`: Every group, and for each question a JSON object: `box` and
            `probability`, or `boxes` and `probabilities`; boxes in the scene's world, of nine numbers where they are
            turned.

        Raises:
            SpatialDataError: The pose of a scene's first frame is unknown.
        """
        for group in tqdm(groups, desc=progress, total=total, unit="group", disable=progress is None):
            pose = group.read_first_pose()
            inputs, token_ids = processor.ground_inputs(
                list(group.read_frames()), [each.question for each in group.questions], frames_as=options.frames_as
            )
            found = model.ground_boxes(
                dict(inputs.to(model.device, dtype=model.dtype)),
                token_ids,
                world_from_camera=pose,
                share_prefix=share_prefix,
            )
            yield group, [json.dumps(self._meant(one, options.box_min_probability)) for one in found]

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        chosen = (
            f"of the boxes that the model regresses those of probability {options.box_min_probability} and more count"
            if self.any_number
            else "of the boxes that the model regresses the most probable counts"
        )
        return {
            **scenes_in_words(options),
            "split": split_in_words(options, self.split),
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, without proposals, and the "
            "pose of their first, which places the boxes in the scene; depth and cameras are the model's own "
            "reconstruction",
            "questions": f"{num_questions} questions of {self.dataset}, each asked alone; {chosen}",
            "metrics": f"those of igep's trainers/metrics ({self.metric.__name__}) under the protocols "
            f"{', '.join(PROTOCOLS)} (standard: turned boxes; peer: the smallest box along the world's axes around "
            "each)",
            "geometry_inputs": options.geometry_inputs,
        }

    def _meant(self, found: RegressedBoxes, min_probability: float) -> dict[str, Any]:
        """A prediction."""
        places = chosen_boxes(found.probabilities, min_probability) if self.any_number else [0]
        boxes = [box_in_world(found.boxes[place], found.axes) for place in places]
        probabilities = [round(found.probabilities[place], 6) for place in places]
        if self.any_number:
            return {"boxes": boxes, "probabilities": probabilities}
        return {"box": boxes[0], "probability": probabilities[0]}

    def _as_protocol_takes(self, predictions: list[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
        if protocol == "standard":
            return predictions
        key = "boxes" if self.any_number else "box"
        return [prediction | {key: _enclosed(prediction[key], self.any_number)} for prediction in predictions]

    def _further_facts(self, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
        return {}


def _enclosed(found: list | None, any_number: bool) -> list | None:
    """The smallest box along the world axes around each box; what is none stays as it is, and the metric counts it."""
    if found is None:
        return None
    if any_number:
        return [_enclosed(box, False) for box in found]
    return found if box_problem(found) is not None else axis_aligned_hull(found).tolist()


SCANREFER_REGRESSED = RegressedBoxBenchmark(SCANREFER)
MULTI3DREFER_REGRESSED = RegressedBoxBenchmark(MULTI3DREFER)
