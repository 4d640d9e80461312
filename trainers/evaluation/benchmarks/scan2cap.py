"""Scan2Cap: captions of objects that a box points to, which count where that box overlaps the object enough."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset

from igep.trainers.data.scan2cap import shown_box_ious
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.shown_box_dataset import question_with_box
from igep.trainers.data.training_rows import SceneTableCache
from igep.trainers.evaluation.benchmarks.benchmark import QuestionGroup
from igep.trainers.evaluation.benchmarks.benchmark_options import BenchmarkOptions
from igep.trainers.evaluation.benchmarks.scene_questions import SceneQuestions, sampling_of, scenes_and_questions
from igep.trainers.evaluation.benchmarks.text_benchmark import TextBenchmark, TextScores
from igep.trainers.metrics.caption_at_iou import caption_at_iou_scores
from igep.trainers.metrics.figure import Figure


WHOLE = 1 - 1e-6  # an IoU from which a box is the object's own
NO_SHOWN_BOX = "objects that no shown box stands for, whose captions count for nothing"
BOX_IN_WORDS = {
    "centre": "the centre of a box in metres, in the scan's aligned world",
    "frame": "a box in the camera of the frame that has most of it in its image, carried there with the true pose",
    "token": "<coord> in place of a box, for a model that reads the box of that token",
}


class CaptionQuestions(SceneQuestions):
    """Questions that show boxes, with the overlap of each box with its object.

    Args:
        scenes (`datasets.Dataset`): Table with `SCENE_FEATURES`.
        questions (`datasets.Dataset`): Table with `QUESTION_FEATURES`, `referred_boxes` as in `load_scan2cap`.
        box_in_frame (`bool`): Whether `<coord>` becomes a box in the camera of a frame.
        reference_of (`Callable[[dict], dict]`): As `SceneQuestions`; the overlap is added as `iou`.
        **sampling: `num_frames`, `questions_per_group` and `max_depth_metres` of `SceneQuestions`.

    Raises:
        SpatialDataError: As `SceneQuestions`; no object has a box that overlaps it. Reading a group raises it as well
            where a box cannot be shown in a frame.
    """

    def __init__(
        self,
        scenes: Dataset,
        questions: Dataset,
        *,
        box_in_frame: bool,
        reference_of: Callable[[dict[str, Any]], dict[str, Any]],
        **sampling: Any,
    ):
        ious = shown_box_ious(scenes, questions)
        if not any(ious.values()):
            raise SpatialDataError(
                f"None of {len(ious)} objects has a box that could be shown: are there proposals? Give mask/ or "
                "proposal_box_file (before `igep prepare`, if scenes are prepared), or --shown_boxes objects."
            )
        super().__init__(
            scenes,
            questions,
            reference_of=lambda row: reference_of(row) | {"iou": ious[row["question_id"]]},
            **sampling,
        )
        self._box_in_frame = box_in_frame

    def group(self, scene: int, rows: Sequence[dict[str, Any]]) -> QuestionGroup:
        if self._box_in_frame:
            found, cameras = self.posed_scene(scene)
            rows = [row | {"question": question_with_box(row, found.boxes, cameras)} for row in rows]
        return super().group(scene, rows)


def captions_at_iou(
    predictions: Sequence[Mapping], references: Sequence[Mapping], protocol: str, meteor: bool = False
) -> dict[str, float]:
    """`caption_at_iou_scores` of answers to questions that show boxes.

    Args:
        predictions (`Sequence[Mapping]`): `sample_id` and `answer` of each.
        references (`Sequence[Mapping]`): `sample_id`, `captions` and `iou`, that of the box that was shown, of each.
        protocol (`str`): `peer` or `standard`.
        meteor (`bool`, *optional*, defaults to `False`): Also METEOR.

    Returns:
        `dict[str, float]`
    """
    ious = {each["sample_id"]: each["iou"] for each in references}
    captions = [
        {"sample_id": each["sample_id"], "caption": each["answer"], "iou": ious[each["sample_id"]]}
        for each in predictions
    ]
    return caption_at_iou_scores(captions, references, protocol, meteor)


class Scan2Cap(TextBenchmark):
    """Captions from RGB and a question's box: a proposal unless the options or a processed file say otherwise."""

    def groups(self, options: BenchmarkOptions, tables: SceneTableCache) -> CaptionQuestions:
        options = dataclasses.replace(options, shown_boxes=_shown_boxes(options))
        return CaptionQuestions(
            *scenes_and_questions(options, tables),
            box_in_frame=options.box_prompt == "frame",
            reference_of=self._scores.reference_of,
            **sampling_of(options),
        )

    def figures(
        self, rows: Sequence[dict[str, Any]], options: BenchmarkOptions
    ) -> tuple[dict[str, Figure], dict[str, Any]]:
        figures, facts = super().figures(rows, options)
        ious = [row["reference"]["iou"] for row in rows]
        if min(ious) >= WHOLE:  # papers caption proposals, beside which these stand under names of their own
            figures = {f"{name}, true boxes": figure for name, figure in figures.items()}
        without = sum(iou == 0 for iou in ious)
        return figures, facts | {"failures": facts["failures"] | ({NO_SHOWN_BOX: without} if without else {})}

    def protocol(self, options: BenchmarkOptions, num_groups: int, num_questions: int) -> dict[str, str]:
        boxes = {
            "objects": "the objects' own",
            "proposals": "of the proposals the one that overlaps the object most, from half on, which the truth picks",
        }
        return super().protocol(options, num_groups, num_questions) | {
            "inputs": f"{options.num_frames} RGB frames, sampled evenly from each scene, and in the question "
            f"{BOX_IN_WORDS[options.box_prompt]}. Boxes: those of a processed file, or {boxes[_shown_boxes(options)]}",
            "metrics": "that of igep's trainers/metrics/caption_at_iou.py under the protocols peer, standard: a "
            "caption counts as empty where its box overlaps the object by less than .25, .5",
            "geometry_inputs": "pose" if options.box_prompt == "frame" else "none",
        }


def _shown_boxes(options: BenchmarkOptions) -> str:
    return options.shown_boxes or "proposals"


SCAN2CAP = Scan2Cap(
    "scan2cap",
    split="the validation split, 2068 objects",
    scores=TextScores(
        captions_at_iou, ("peer", "standard"), lambda row: {"captions": row["answers"]}, has_meteor=True
    ),
    max_new_tokens=128,
)
