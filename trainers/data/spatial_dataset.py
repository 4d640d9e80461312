"""Scenes and questions joined when a row is read: a map-style dataset of `SpatialExample`.

A row is a group of questions about one scene, or a scene alone: posed RGB-D that nobody annotated still trains the
encoder through the geometry losses. Neither table is copied, whatever the number of rows, and of a scene only the
frames that a row samples are read.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from igep.trainers.data.ground_truth import ground_truth, warn_of_empty_proposals
from igep.trainers.data.row_source import FARTHEST_DEPTH, RowText
from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.colour_camera_depth import (
    assert_one_size,
    assert_principal_point,
    depth_in_colour_camera,
)
from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_table import SceneTable, checked_names, column_values
from igep.trainers.data.scenes.scene_validation import ValidScene, decode_frame, validate_scene
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SpatialDataError, SpatialExample
from igep.trainers.data.special_tokens import plain_text


logger = logging.getLogger(__name__)

TEXTS_AT_ONCE = 4096  # questions of the table that are read together


def build_example(
    scene_row: dict,
    question_rows: Sequence[dict],
    num_frames: int,
    geometry_size: tuple[int, int],
    sample_id: str,
    max_depth_metres: float = math.inf,
) -> SpatialExample:
    """Validate a scene row, decode the frames that are sampled from it, and bring its geometry to one size.

    Frames with a pose that is not finite are left out; the others are sampled uniformly by count. Depth is scaled to
    metres, made z-depth, and carried into the colour camera at `geometry_size` in one nearest-neighbour step.

    Args:
        scene_row (`dict`): Row of a table with `SCENE_FEATURES`, its images decoded or not.
        question_rows (`Sequence[dict]`): Rows of a table with `QUESTION_FEATURES`, the turns in order; may be empty.
        num_frames (`int`): F, frames of the sample.
        geometry_size (`tuple[int, int]`): (H, W) of the depth, and of the pixels that the intrinsics speak of.
        sample_id (`str`): Name of the sample.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement.

    Returns:
        `SpatialExample`: The sample.

    Raises:
        SpatialDataError: The row, an image or a question breaks the contract, or the scene has too few valid frames.
    """
    scene = validate_scene(scene_row)
    sampled = _sampled_frames(scene.scene_id, scene.valid_frames, len(scene.frames), num_frames)
    return example_of(scene, sampled, question_rows, geometry_size, sample_id, max_depth_metres)


def _sampled_frames(scene_id: str, usable: np.ndarray, num_stored: int, num_frames: int) -> np.ndarray:
    """`num_frames` of the indices of a scene's usable frames, evenly by count."""
    try:
        return usable[uniform_frame_indices(len(usable), num_frames)]
    except ValueError as error:
        raise SpatialDataError(
            f"Scene {scene_id!r}: {len(usable)} of its {num_stored} frames are valid (finite pose), {num_frames} are "
            "asked for: lower num_frames, or leave this scene out of the table."
        ) from error


def example_of(
    scene: ValidScene,
    sampled: np.ndarray,
    question_rows: Sequence[dict],
    geometry_size: tuple[int, int],
    sample_id: str,
    max_depth_metres: float,
) -> SpatialExample:
    """Decodes frames of a checked scene, and brings their geometry to one size.

    Args:
        scene (`ValidScene`): The scene.
        sampled (`np.ndarray`): Indices of F of its frames.
        question_rows (`Sequence[dict]`): Rows of a table with `QUESTION_FEATURES`, the turns in order; may be empty.
        geometry_size (`tuple[int, int]`): (H, W) of the depth, and of the pixels that the intrinsics speak of.
        sample_id (`str`): Name of the sample.
        max_depth_metres (`float`): Farther depth is no measurement.

    Returns:
        `SpatialExample`: The sample.

    Raises:
        SpatialDataError: A frame, its depth or a question breaks the contract.
    """
    indices = sampled.tolist()
    frames = tuple(decode_frame(scene.scene_id, scene.frame_numbers[index], scene.frames[index]) for index in indices)
    assert_one_size(scene, "frames", [frame.size for frame in frames])
    width, height = frames[0].size
    intrinsics = None
    if scene.intrinsics is not None:
        assert_principal_point(scene, "intrinsics", scene.intrinsics[sampled], "colour frames", (height, width))
        intrinsics = resize_intrinsics(scene.intrinsics[sampled], (height, width), geometry_size)
    depth_metres = None
    if scene.depth is not None:
        depth_metres = depth_in_colour_camera(scene, sampled, (height, width), geometry_size, max_depth_metres)
    conversation = tuple(_turn(scene, question) for question in question_rows)
    proposals, ground_targets = ground_truth(scene.scene_id, scene.boxes, question_rows)
    return SpatialExample(
        sample_id=sample_id,
        scene_id=scene.scene_id,
        frame_ids=tuple(scene.frame_ids[index] for index in indices),
        frames=frames,
        depth_metres=depth_metres,
        intrinsics=None if intrinsics is None else intrinsics.astype(np.float32),
        world_from_camera=None if scene.world_from_camera is None else scene.world_from_camera[sampled],
        conversation=conversation,
        question_types=tuple(question["question_type"] or "" for question in question_rows),
        proposals=proposals,
        ground_targets=ground_targets,
    )


class SpatialDataset(torch.utils.data.Dataset):
    """Questions and posed RGB-D scenes as training samples; nothing is stored twice.

    A question whose answer is `<ground>` is answered by its `referred_boxes`: it brings the scene's objects as
    `proposals`.

    Rows are the questions of each scene in table order, `questions_per_row` at a time, and among them scene-only rows:
    scenes without questions first, then the others, again from the start when more are needed. Where the ratio leaves
    too few rows for the scenes without questions, the questions come several times instead, so that every scene is
    used. Without a questions table every scene is one scene-only row. The order depends on `seed` alone.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset | None`): Table with `QUESTION_FEATURES`.
        num_frames (`int`): Frames of a sample.
        geometry_size (`tuple[int, int]`): (H, W) of depth and intrinsics.
        questions_per_row (`int`, *optional*, defaults to `1`): Questions of one scene that share a row, as turns.
        geometry_only_ratio (`float`, *optional*, defaults to `0.0`): Fraction of the rows that are scene-only, in
            [0, 1).
        seed (`int`, *optional*, defaults to `0`): Seed of the order of scene-only rows.
        max_depth_metres (`float`, *optional*): Farther depth is no measurement.

    Raises:
        SpatialDataError: An empty table, a missing column, a scene or question named twice, a question about a scene
            that is not there, a text with a placeholder or a token of chat templates, a scene of a row with fewer
            valid frames than the row has. Reading a row raises it for anything that breaks the contract in the frames
            that are sampled: no others are read (`igep check` reads all).
    """

    def __init__(
        self,
        scenes: Dataset,
        questions: Dataset | None,
        *,
        num_frames: int,
        geometry_size: tuple[int, int],
        questions_per_row: int = 1,
        geometry_only_ratio: float = 0.0,
        seed: int = 0,
        max_depth_metres: float = math.inf,
    ):
        if questions_per_row < 1:
            raise ValueError(f"questions_per_row={questions_per_row}: give 1 or more.")
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames}: give 1 or more.")
        if min(geometry_size) < 1:
            raise ValueError(f"geometry_size={geometry_size}: give a positive (height, width).")
        if not 0 <= geometry_only_ratio < 1:
            raise ValueError(
                f"geometry_only_ratio={geometry_only_ratio}: give a fraction in [0, 1). For scenes alone, pass no "
                "questions."
            )
        self.num_frames = num_frames
        self.geometry_size = (int(geometry_size[0]), int(geometry_size[1]))
        if not max_depth_metres > 0:
            raise ValueError(f"max_depth_metres={max_depth_metres} must be positive: 10 is usual for rooms.")
        self.max_depth_metres = max_depth_metres
        self.scene_table = SceneTable(scenes)
        scene_ids = self.scene_table.scene_ids
        scene_numbers = {scene_id: number for number, scene_id in enumerate(scene_ids)}
        groups: list[list[int]] = [[] for _ in scene_ids]
        question_ids: list[str] = []
        if questions is not None:
            question_ids = checked_names(questions, "questions", QUESTION_FEATURES, "question_id")
            for number, scene_id in enumerate(column_values(questions, "scene_id")):
                if scene_id not in scene_numbers:
                    raise SpatialDataError(
                        f"Question {question_ids[number]!r} (row {number}) is about scene {scene_id!r}, which is not "
                        "in the scenes table: add the scene or filter the question out."
                    )
                groups[scene_numbers[scene_id]].append(number)
            warn_of_empty_proposals(questions, self.scene_table)
        self._questions = None if questions is None else questions.with_format("arrow")
        for text in self.texts():
            plain_text(text.where, text.kind, text.text)
        self._rows = _interleave(groups, questions_per_row, geometry_only_ratio, np.random.default_rng(seed))
        self._check_frames()
        self._sample_ids = []
        repeats: Counter[tuple[int, tuple[int, ...]]] = Counter()
        for row in self._rows:
            scene_number, question_numbers = row
            name = "+".join(question_ids[number] for number in question_numbers)
            if not question_numbers:
                name = f"geometry-{repeats[row]}"
            elif repeats[row]:
                name = f"{name}-again-{repeats[row]}"
            repeats[row] += 1
            self._sample_ids.append(f"{scene_ids[scene_number]}/{name}")
        num_unused = len(scene_ids) - len({scene_number for scene_number, _ in self._rows})
        if num_unused:
            logger.warning(
                "%d of %d scenes are in no row: they have no question, and geometry_only_ratio=%s leaves no more "
                "room.",
                num_unused,
                len(scene_ids),
                geometry_only_ratio,
            )

    def _check_frames(self) -> None:
        """Raises where scenes have too few frames for a row: now, and not at the step that draws one."""
        numbers = sorted({scene_number for scene_number, _ in self._rows})
        usable = {number: len(self.scene_table.usable_frames(number)) for number in numbers}
        few = [number for number in numbers if usable[number] < self.num_frames]
        if few:
            first = few[0]
            raise SpatialDataError(
                f"Scene {self.scene_table.scene_ids[first]!r}: {usable[first]} of its "
                f"{self.scene_table.num_frames(first)} frames are valid (finite pose), {self.num_frames} are asked "
                f"for, and so in {len(few)} of {len(numbers)} scenes: lower num_frames, or leave them out."
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        scene_number, question_numbers = self._rows[row]
        question_rows = self._questions[list(question_numbers)].to_pylist() if question_numbers else []
        scenes = self.scene_table
        num_stored = len(scenes.frame_ids(scene_number))
        usable = scenes.usable_frames(scene_number)
        sampled = _sampled_frames(scenes.scene_ids[scene_number], usable, num_stored, self.num_frames)
        scene = scenes.scene(scene_number, sampled.tolist())  # these frames and no other
        example = example_of(
            scene,
            np.arange(len(sampled)),
            question_rows,
            self.geometry_size,
            self._sample_ids[row],
            self.max_depth_metres,
        )
        return self.with_turns(example, scene, question_rows)

    def with_turns(
        self, example: SpatialExample, scene: ValidScene, question_rows: Sequence[dict[str, Any]]
    ) -> SpatialExample:
        """Writes the turns that depend on the frames that were sampled; here none do.

        Args:
            example (`SpatialExample`): The row, with the turns as they stand in the table.
            scene (`ValidScene`): Its scene with the sampled frames alone.
            question_rows (`Sequence[dict]`): Its rows of the questions table, none for a scene alone.

        Returns:
            `SpatialExample`
        """
        return example

    def example(self, row: int, draw: int) -> SpatialExample:
        """Reads a row for its `draw`-th use in a mixture: what people wrote is the same every time."""
        return self[row]

    def texts(self) -> Iterator[RowText]:
        """Every question, and the answer that is trained on, with the question's id."""
        for batch in () if self._questions is None else self._questions.iter(TEXTS_AT_ONCE):
            columns = (batch[name].to_pylist() for name in ("question_id", "scene_id", "question", "answers"))
            for question_id, scene_id, question, answers in zip(*columns, strict=True):
                where = f"Question {question_id!r} about scene {scene_id!r}"
                yield RowText(where, "question", question or "")
                for answer in (answers or [])[:1]:
                    yield RowText(where, "answer", answer or "")

    @property
    def task(self) -> str:
        """Questions that came with the scenes."""
        return "questions"

    @property
    def usage(self) -> dict[str, Any]:
        """From where on depth was no measurement, for a model that reads it; the questions are plain words."""
        return {} if math.isinf(self.max_depth_metres) else {FARTHEST_DEPTH: self.max_depth_metres}

    @property
    def scene_numbers(self) -> tuple[int, ...]:
        """The scene of each row, by its place in the table."""
        return tuple(scene_number for scene_number, _ in self._rows)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Names of the samples, in row order, without reading them."""
        return tuple(self._sample_ids)


def _interleave(
    groups: list[list[int]], questions_per_row: int, geometry_only_ratio: float, generator: np.random.Generator
) -> list[tuple[int, tuple[int, ...]]]:
    """Rows as (scene number, question numbers), scene-only rows at random places among the others."""
    asked = [
        (scene, tuple(group[start : start + questions_per_row]))
        for scene, group in enumerate(groups)
        for start in range(0, len(group), questions_per_row)
    ]
    unannotated = [scene for scene, group in enumerate(groups) if not group]
    annotated = [scene for scene, group in enumerate(groups) if group]
    order = [*generator.permutation(unannotated).tolist(), *generator.permutation(annotated).tolist()]
    num_alone = len(order)
    if asked:
        alone_per_asked = geometry_only_ratio / (1 - geometry_only_ratio)
        if geometry_only_ratio:
            # Annotations are the scarce side: all of them start again until every scene without any has its row.
            asked = asked * max(1, math.ceil(len(unannotated) / (len(asked) * alone_per_asked)))
        num_alone = round(len(asked) * alone_per_asked)
    alone = [(int(order[number % len(order)]), ()) for number in range(num_alone)]
    is_alone = np.zeros(len(asked) + num_alone, dtype=bool)
    is_alone[generator.permutation(len(is_alone))[:num_alone]] = True
    next_asked, next_alone = iter(asked), iter(alone)
    return [next(next_alone) if scene_only else next(next_asked) for scene_only in is_alone]


def _turn(scene: ValidScene, question: dict) -> tuple[str, str]:
    where = f"Question {question['question_id']!r} about scene {scene.scene_id!r}"
    if not question["question"]:
        raise SpatialDataError(f"{where}: `question` is {question['question']!r}. Write it, or remove the row.")
    if not question["answers"] or not question["answers"][0]:
        raise SpatialDataError(f"{where}: `answers` is {question['answers']}. The first is trained on: give one.")
    for box in question["referred_boxes"] or ():
        if not 0 <= box < len(scene.boxes):
            raise SpatialDataError(
                f"{where}: `referred_boxes` names box {box}, the scene has {len(scene.boxes)}: use indices from 0."
            )
    return question["question"], question["answers"][0]
