"""Scan2Cap (Chen et al., 2021): descriptions of an object that a box points to, from ScanRefer's sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import Dataset

from igep.trainers.data.benchmark_questions import (
    BenchmarkQuestion,
    field_of,
    file_boxes,
    is_processed,
    processed_question,
    read_entries,
)
from igep.trainers.data.benchmark_tables import join_questions, load_benchmark_scenes, referred_box_numbers
from igep.trainers.data.scannet_scenes import ScanNetScenes
from igep.trainers.data.scanqa import ScanQAOptions
from igep.trainers.data.scanrefer import ScanReferOptions, label_file_of, uniqueness
from igep.trainers.geometry.oriented_boxes import box_iou, box_ious


DATASET = "scan2cap"
COORD_TOKEN = "<coord>"
PROMPT = f"Given an object located at {COORD_TOKEN} , describe the object in detail."  # of `process_scan2cap.py`
PROPOSAL_IOU = 0.5  # a proposal stands for an object from this overlap on
SHOWN_BOXES = ("objects", "proposals")
BOX_PROMPTS = ("centre", "frame", "token")
NO_BOX = "an unknown place"


@dataclass
class Scan2CapOptions(ScanQAOptions, ScanReferOptions):
    """Options of `scan2cap` beside `one_answer_per_row` (of `ScanQAOptions`) and `label_file` (of `ScanReferOptions`).

    Args:
        shown_boxes (`str`, *optional*): Of the benchmark's own file: `objects` = the question shows the object's true
            box, as in training unless given; `proposals` = the proposal that overlaps it most, at least by half, as
            the benchmark is scored unless given. Processed files have decided it.
        box_prompt (`str`, *optional*, defaults to `"centre"`): How a question shows a box: `centre` = its centre in
            metres as text, in the scan's aligned world, which RGB does not tell; `frame` = as a box in the camera of a
            frame (see `shown_box_dataset`); `token` = `<coord>`, for a model that reads the box of that token.
    """

    shown_boxes: str | None = field(
        default=None,
        metadata={
            "help": "scan2cap: show the objects' own boxes (training unless given), or proposals (scoring unless "
            "given).",
            "choices": list(SHOWN_BOXES),
        },
    )
    box_prompt: str = field(
        default="centre",
        metadata={
            "help": "scan2cap: show a box as its centre in text, as a box in the camera of a frame, or as <coord>.",
            "choices": list(BOX_PROMPTS),
        },
    )


def read_scan2cap(
    path: str | None, label_file: Any = None, *, one_answer_per_row: bool = False
) -> list[BenchmarkQuestion]:
    """Read objects with their descriptions, `<coord>` where a box is shown.

    Args:
        path (`str`): `ScanRefer_filtered_{train,val}.json`, or `scan2cap_{train,val}_llava_style.json`. Ids are places
            of sentences in ScanRefer's file in both.
        label_file (`str | Path`, *optional*): See `ScanReferOptions`; needed for the former.
        one_answer_per_row (`bool`, *optional*, defaults to `False`): Of ScanRefer's file: a row for each sentence;
            otherwise one for each object, of the id of its first sentence.

    Returns:
        `list[BenchmarkQuestion]`: Of type `unique` or `multiple`.

    Raises:
        SpatialDataError: A file or entry that is malformed.
    """
    entries = read_entries(path, DATASET)
    if is_processed(entries):
        return [_processed(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]
    types = uniqueness(entries, str(path), label_file)
    questions: dict[Any, BenchmarkQuestion] = {}
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        scene_id, object_id = field_of(entry, "scene_id", str, where), field_of(entry, "object_id", int, where)
        description = field_of(entry, "description", str, where)
        # The name is part of what an object is: two names of one id are two rows, as the peers have it.
        key = number if one_answer_per_row else (scene_id, object_id, entry["object_name"])
        if key in questions:
            questions[key] = replace(questions[key], answers=(*questions[key].answers, description))
        else:
            questions[key] = BenchmarkQuestion(
                where, str(number), scene_id, PROMPT, (description,), types[number], (object_id,)
            )
    return list(questions.values())


def load_scan2cap(options: Scan2CapOptions) -> tuple[Dataset, Dataset]:
    """Scenes and questions (see `join_questions`).

    The first of a question's `referred_boxes` is the object, the last is the box that the question shows; where there
    is but one, no box is shown, and the caption counts for nothing.

    Args:
        options (`Scan2CapOptions`): Files and choices.

    Returns:
        `tuple[Dataset, Dataset]`

    Raises:
        SpatialDataError: Files that are missing or malformed, or questions that are unusable.
        ValueError: An option that is none.
    """
    if options.shown_boxes not in (None, *SHOWN_BOXES):
        raise ValueError(f"shown_boxes={options.shown_boxes!r}: choose {' or '.join(SHOWN_BOXES)}.")
    if options.box_prompt not in BOX_PROMPTS:
        raise ValueError(f"box_prompt={options.box_prompt!r}: choose {', '.join(BOX_PROMPTS)}.")
    questions = read_scan2cap(
        options.annotation_file, label_file_of(options), one_answer_per_row=options.one_answer_per_row
    )
    scenes = load_benchmark_scenes(options, questions)
    if not questions[0].boxes:
        questions = _with_shown_boxes(questions, scenes, options.shown_boxes or "objects")
    if options.box_prompt != "token":
        questions = [
            replace(question, question=_in_words(question, options.box_prompt == "centre")) for question in questions
        ]
    return join_questions(questions, scenes, needs_objects=True, unusable_questions=options.unusable_questions)


def scan2cap_references(questions: Dataset) -> list[dict[str, Any]]:
    """What `metrics/caption_at_iou.py` takes as references.

    Args:
        questions (`Dataset`): Questions table of `load_scan2cap`.

    Returns:
        `list[dict]`: `sample_id` and `captions`.
    """
    return [{"sample_id": row["question_id"], "captions": row["answers"]} for row in questions]


def shown_box_ious(scenes: Dataset, questions: Dataset) -> dict[str, float]:
    """Each prediction's `iou` for `metrics/caption_at_iou.py`: of the box that a question shows with its object's.

    Args:
        scenes (`Dataset`): Scenes table of `load_scan2cap`.
        questions (`Dataset`): Its questions table.

    Returns:
        `dict[str, float]`: By question id, from 0 (no box was shown) to 1.
    """
    boxes = referred_box_numbers(scenes, questions)
    return {
        question_id: box_iou(own[0], own[-1]) if len(own) > 1 else 0.0
        for question_id, own in zip(questions["question_id"], boxes, strict=True)
    }


def _with_shown_boxes(
    questions: Sequence[BenchmarkQuestion], scenes: ScanNetScenes, shown_boxes: str
) -> list[BenchmarkQuestion]:
    """Questions with the box that each shows; those of unknown objects are unchanged, for `join_questions` to tell."""
    shown = []
    for question in questions:
        ids = scenes.object_ids.get(question.scene_id, [])
        if question.object_ids[0] in ids:
            own = scenes.boxes[question.scene_id][ids.index(question.object_ids[0])]
            box = (*own["centre_metres"], *own["size_metres"])
            if shown_boxes == "proposals":
                box = _best_proposal(box, scenes.proposals[question.scene_id])
            question = replace(question, shown_box=box)
        shown.append(question)
    return shown


def _best_proposal(box: Sequence[float], proposals: Sequence[Sequence[float]]) -> tuple[float, ...] | None:
    """The proposal that overlaps a box most, if by `PROPOSAL_IOU` at least."""
    if not proposals:
        return None
    ious = box_ious([list(box)], [list(proposal) for proposal in proposals])[0]
    return tuple(proposals[ious.argmax()]) if ious.max() >= PROPOSAL_IOU else None


def _in_words(question: BenchmarkQuestion, centres: bool) -> str:
    """The question with words for `<coord>` where no box is shown, and otherwise with its box's centre if wanted."""
    if question.shown_box is None:
        return question.question.replace(COORD_TOKEN, NO_BOX)
    if not centres:
        return question.question
    return question.question.replace(COORD_TOKEN, f"[{', '.join(f'{value:.2f}' for value in question.shown_box[:3])}]")


def _processed(entry: dict[str, Any], where: str) -> BenchmarkQuestion:
    question = processed_question(entry, DATASET, where)
    shown = entry.get("box_input")
    if "annotations" in entry:
        captions = field_of(entry, "annotations", list, where)
        question = replace(
            question, answers=tuple(field_of({"annotations": c}, "annotations", str, where) for c in captions)
        )
    return replace(
        question,
        object_ids=(field_of(entry["metadata"], "object_id", int, where),),
        boxes=file_boxes([entry.get("gt_box")], where),
        shown_box=None if shown is None else file_boxes([shown], where)[0],
    )
