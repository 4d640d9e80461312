"""From the questions of a benchmark on ScanNet to the scenes and questions tables: its objects are looked up by id."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from igep.trainers.data.benchmark_questions import BenchmarkQuestion
from igep.trainers.data.dataset_options import DatasetPlace
from igep.trainers.data.left_out_questions import LeftOutQuestions, note_left_out
from igep.trainers.data.scannet_geometry import UNNAMED
from igep.trainers.data.scannet_scenes import NO_OBJECT, ScanNetScenes, load_scannet_scenes
from igep.trainers.data.scannet_tree import box_row
from igep.trainers.data.scenes.spatial_example import PROPOSAL_LABEL, QUESTION_FEATURES, SpatialDataError
from igep.trainers.data.special_tokens import plain_question, plain_text


logger = logging.getLogger(__name__)

GROUND_PROPOSALS = ("objects", "detected")


@dataclass
class ScanNetBenchmarkOptions(DatasetPlace):
    """Options of `scanrefer`, `multi3drefer`, `scan2cap`, `scanqa` and `sqa3d`.

    Args:
        annotation_file (`str`, *optional*): The benchmark's own file, or the processed one of Video-3D LLM, 3DRS and
            3D-IDE.
        object_box_file (`str`, *optional*): Objects' boxes (`scannet_train_gt_box.json`), in place of those of the
            meshes.
        proposal_box_file (`str`, *optional*): Proposals' boxes (`scannet_val_pred_box.json`), in place of Mask3D's
            masks.
        unusable_questions (`str`, *optional*, defaults to `"error"`): What to do about questions whose scene or object
            is not there: `error`, or `leave_out`, which says how many and why, as scores do.
        ground_proposals (`str`, *optional*): Boxes among which the scorer's `scanrefer` and `multi3drefer` choose:
            `detected` = proposals, which are added to the boxes of scenes under the label `proposal`, the scorer's
            choice for datasets that have them unless given; `objects` = the objects' own boxes, among which training
            always chooses.
    """

    annotation_file: str | None = field(
        default=None,
        metadata={"help": "ScanNet benchmarks: the benchmark's file, or the processed one of Video-3D LLM."},
    )
    object_box_file: str | None = field(
        default=None, metadata={"help": "ScanNet benchmarks: boxes of objects (default: those of the meshes)."}
    )
    proposal_box_file: str | None = field(
        default=None, metadata={"help": "ScanNet benchmarks: boxes of proposals (default: those of Mask3D's masks)."}
    )
    unusable_questions: str = field(
        default="error",
        metadata={
            "help": "ScanNet benchmarks: questions whose scene or object is missing stop it, or are left out and "
            "counted.",
            "choices": ["error", "leave_out"],
        },
    )
    ground_proposals: str | None = field(
        default=None,
        metadata={
            "help": "scanrefer, multi3drefer, scoring: choose among detected proposals or the objects' own boxes.",
            "choices": list(GROUND_PROPOSALS),
        },
    )


def load_benchmark_scenes(options: ScanNetBenchmarkOptions, questions: Sequence[BenchmarkQuestion]) -> ScanNetScenes:
    """The scenes that questions ask about, from where the options say; those missing are noted in it.

    Args:
        options (`ScanNetBenchmarkOptions`): Where they lie, and whether proposals are to be among their boxes.
        questions (`Sequence[BenchmarkQuestion]`): The questions.

    Returns:
        `ScanNetScenes`

    Raises:
        SpatialDataError: Not one of the scenes is there.
        ValueError: `ground_proposals` is none of those that are.
    """
    if options.ground_proposals not in (None, *GROUND_PROPOSALS):
        raise ValueError(f"ground_proposals={options.ground_proposals!r}: choose {' or '.join(GROUND_PROPOSALS)}.")
    scenes = load_scannet_scenes(
        str(options.dataset_path),
        [question.scene_id for question in questions],
        object_box_file=options.object_box_file,
        proposal_box_file=options.proposal_box_file,
    )
    if options.ground_proposals == "detected":
        for scene_id, proposals in scenes.proposals.items():
            scenes.object_ids[scene_id] += [NO_OBJECT] * len(proposals)
            scenes.boxes[scene_id] += [box_row(PROPOSAL_LABEL, box) for box in proposals]
    return scenes


def join_questions(
    questions: Sequence[BenchmarkQuestion],
    scenes: ScanNetScenes,
    *,
    needs_objects: bool,
    unusable_questions: str = "error",
) -> tuple[Dataset, Dataset]:
    """Looks up the objects of questions by their ids and makes the two tables.

    A box that the file holds and the scene does not know is added to the scene's boxes, and so are boxes that
    questions show. `referred_boxes` are the objects that are meant; a shown box comes after them.

    Args:
        questions (`Sequence[BenchmarkQuestion]`): In order.
        scenes (`ScanNetScenes`): Their scenes.
        needs_objects (`bool`): Whether a question is worth nothing without its objects. Otherwise it only does without
            `referred_boxes`, where its scene has no boxes at all.
        unusable_questions (`str`, *optional*, defaults to `"error"`): `error` or `leave_out`.

    Returns:
        `tuple[Dataset, Dataset]`: Scenes that have questions, and questions, which know what was left out (see
        `left_out_of`).

    Raises:
        SpatialDataError: An id that comes twice, a token that is no word in a text, a question that is unusable under
            `error`, or none that is usable.
    """
    if unusable_questions not in ("error", "leave_out"):
        raise ValueError(f"unusable_questions={unusable_questions!r}: choose error or leave_out.")
    first_use: dict[str, str] = {}
    for question in questions:
        if question.question_id in first_use:
            raise SpatialDataError(
                f"{question.where}: the id {question.question_id!r} was used at {first_use[question.question_id]}. "
                "Make ids unique."
            )
        first_use[question.question_id] = question.where
    rows, unusable, without_boxes = [], [], 0
    for question in questions:
        problem = _problem(question, scenes, needs_objects)
        if problem:
            unusable.append((question, problem))
            continue
        referred = _referred_boxes(question, scenes)
        without_boxes += bool(question.object_ids) and not referred
        rows.append(
            {
                "question_id": question.question_id,
                "scene_id": question.scene_id,
                "question": plain_question(question.where, question.question),
                "answers": [plain_text(question.where, "answer", answer) for answer in question.answers],
                "question_type": question.question_type,
                "referred_boxes": referred,
            }
        )
    left_out = _left_out(unusable, len(questions), unusable_questions if rows else "error") if unusable else None
    if without_boxes:
        logger.warning(
            "%d of %d questions name objects in scenes without boxes: their `referred_boxes` are empty.",
            without_boxes,
            len(rows),
        )
    asked = {row["scene_id"] for row in rows}
    table = scenes.with_boxes()
    kept = [number for number, scene_id in enumerate(scenes.object_ids) if scene_id in asked]
    asked_questions = Dataset.from_list(rows, features=QUESTION_FEATURES)
    if left_out is not None:
        note_left_out(asked_questions, left_out)
    return table.select(kept), asked_questions


def _problem(question: BenchmarkQuestion, scenes: ScanNetScenes, needs_objects: bool) -> str | None:
    if question.scene_id in scenes.missing:
        return f"scene {question.scene_id!r} cannot be read: {scenes.missing[question.scene_id].rstrip('.')}"
    known = scenes.object_ids[question.scene_id]
    unknown = []
    if not question.boxes:
        unknown = [each for each in question.object_ids if each == NO_OBJECT or each not in known]
    if unknown and (needs_objects or known):
        return (
            f"scene {question.scene_id!r} has no box of object {unknown[0]} (it has {len(known)} boxes"
            f"{', of the ids ' + ', '.join(map(str, known[:5])) + ' ...' if known else ''}): give its mesh with "
            "aggregation in scans/, or object_box_file"
        )
    return None


def _referred_boxes(question: BenchmarkQuestion, scenes: ScanNetScenes) -> list[int]:
    """Places of the question's objects among its scene's boxes, to which those are added that only the file knows."""
    ids, boxes = scenes.object_ids[question.scene_id], scenes.boxes[question.scene_id]
    for object_id, box in zip(question.object_ids, question.boxes, strict=bool(question.boxes)):
        if object_id not in ids:
            ids.append(object_id)
            boxes.append(box_row(UNNAMED, box))
    referred = [ids.index(object_id) for object_id in question.object_ids if object_id in ids]
    if question.shown_box is not None:
        referred.append(_place_of(question.shown_box, referred, ids, boxes))
    return referred


def _place_of(shown: tuple[float, ...], own: list[int], ids: list[int], boxes: list[dict[str, Any]]) -> int:
    """The place of a shown box among a scene's: that of the object itself if it is its box, or of an added box."""
    for place in (*own, *(number for number, object_id in enumerate(ids) if object_id == NO_OBJECT)):
        if (*boxes[place]["centre_metres"], *boxes[place]["size_metres"]) == shown:
            return place
    ids.append(NO_OBJECT)
    boxes.append(box_row(PROPOSAL_LABEL, shown))
    return len(boxes) - 1


def _left_out(unusable: list[tuple[BenchmarkQuestion, str]], total: int, policy: str) -> LeftOutQuestions:
    """Questions that cannot be used, said in the log; `SpatialDataError` where they may not be left out."""
    question, reason = unusable[0]
    first = f"{question.question_id!r} ({question.where}): {reason}"
    told = f"{len(unusable)} of {total} questions cannot be used. The first, {first}"
    if policy == "error":
        raise SpatialDataError(f"{told}. Mend it, or set unusable_questions: leave_out.")
    found = LeftOutQuestions.counted((reason for _, reason in unusable), total)
    logger.warning("%s. %s.", told, found.in_words())
    return found


def referred_box_numbers(scenes: Dataset, questions: Dataset) -> list[list[list[float]]]:
    """The boxes that each question means, as benchmarks' metrics take them.

    Args:
        scenes (`Dataset`): Table with `SCENE_FEATURES`.
        questions (`Dataset`): Table with `QUESTION_FEATURES`.

    Returns:
        `list[list[list[float]]]`: For each question, for each of its `referred_boxes`, centre and size in metres.
    """
    columns = scenes.select_columns(["scene_id", "boxes"])
    boxes = dict(zip(columns["scene_id"], columns["boxes"], strict=True))
    found = []
    for question in questions:
        own = boxes[question["scene_id"]]
        found.append([own[box]["centre_metres"] + own[box]["size_metres"] for box in question["referred_boxes"]])
    return found
