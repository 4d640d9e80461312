"""Multi3DRefer (Zhang et al., 2023): descriptions that fit no, one or several objects of a scan."""

from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset

from igep.spatial_prompts import GROUND_ANY_NUMBER, GROUND_TOKEN
from igep.trainers.data.benchmark_questions import (
    BenchmarkQuestion,
    field_of,
    file_boxes,
    is_processed,
    processed_question,
    read_entries,
)
from igep.trainers.data.benchmark_tables import (
    ScanNetBenchmarkOptions,
    join_questions,
    load_benchmark_scenes,
    referred_box_numbers,
)
from igep.trainers.data.scenes.spatial_example import SpatialDataError


DATASET = "multi3drefer"
QUESTION_TYPES = ("zt_wo_d", "zt_w_d", "st_wo_d", "st_w_d", "mt")


@dataclass
class Multi3DReferOptions(ScanNetBenchmarkOptions):
    """Options of `multi3drefer`: those of every benchmark on ScanNet."""


def read_multi3drefer(path: str | None) -> list[BenchmarkQuestion]:
    """Read descriptions as questions.

    Args:
        path (`str`): `multi3drefer_{train,val}.json`, or `multi3drefer_{train,val}_llava_style.json`. Ids are places
            in the file in both.

    Returns:
        `list[BenchmarkQuestion]`: Of type `zt_wo_d`, `zt_w_d` (no target, without and with distractors), `st_wo_d`,
        `st_w_d` (one) or `mt` (several).

    Raises:
        SpatialDataError: A file or entry that is malformed, or a type that its number of objects contradicts.
    """
    entries = read_entries(path, DATASET)
    read = _processed if is_processed(entries) else _original
    questions = [read(entry, f"{path}, entry {number}", str(number)) for number, entry in enumerate(entries)]
    for question in questions:
        kind, count = question.question_type[:2], len(question.object_ids)
        if question.question_type not in QUESTION_TYPES or {"zt": count != 0, "st": count != 1, "mt": count < 2}[kind]:
            raise SpatialDataError(
                f"{question.where}: type {question.question_type!r} with {count} objects. Types are "
                f"{', '.join(QUESTION_TYPES)}: no, one and several objects."
            )
    return questions


def load_multi3drefer(options: Multi3DReferOptions) -> tuple[Dataset, Dataset]:
    """Scenes and questions, whose `referred_boxes` hold the objects meant, none included (see `join_questions`).

    Args:
        options (`Multi3DReferOptions`): Files and choices.

    Returns:
        `tuple[Dataset, Dataset]`

    Raises:
        SpatialDataError: Files that are missing or malformed, or questions that are unusable.
    """
    questions = read_multi3drefer(options.annotation_file)
    scenes = load_benchmark_scenes(options, questions)
    return join_questions(questions, scenes, needs_objects=True, unusable_questions=options.unusable_questions)


def multi3drefer_references(scenes: Dataset, questions: Dataset) -> list[dict[str, Any]]:
    """What `metrics/multi_grounding_f1.py` takes as references.

    Args:
        scenes (`Dataset`): Scenes table of `load_multi3drefer`.
        questions (`Dataset`): Its questions table.

    Returns:
        `list[dict]`: `sample_id`, `boxes` and `question_type`.
    """
    return [
        {"sample_id": row["question_id"], "boxes": boxes, "question_type": row["question_type"]}
        for row, boxes in zip(questions, referred_box_numbers(scenes, questions), strict=True)
    ]


def _original(entry: dict[str, Any], where: str, question_id: str) -> BenchmarkQuestion:
    description = field_of(entry, "description", str, where)
    return BenchmarkQuestion(
        where=where,
        question_id=question_id,
        scene_id=field_of(entry, "scene_id", str, where),
        question=GROUND_ANY_NUMBER.format(description=description.capitalize()),
        answers=(GROUND_TOKEN,),
        question_type=field_of(entry, "eval_type", str, where),
        object_ids=_object_ids(field_of(entry, "object_ids", list, where), where),
    )


def _processed(entry: dict[str, Any], where: str, _question_id: str) -> BenchmarkQuestion:
    question = processed_question(entry, DATASET, where)
    object_ids = _object_ids(field_of(entry["metadata"], "object_id", list, where), where)
    boxes = file_boxes(entry.get("box"), where)
    if len(boxes) != len(object_ids):
        raise SpatialDataError(f"{where}: {len(boxes)} boxes for {len(object_ids)} objects. Process the file again.")
    return replace(question, object_ids=object_ids, boxes=boxes)


def _object_ids(values: list[Any], where: str) -> tuple[int, ...]:
    object_ids = tuple(field_of({"object_ids": value}, "object_ids", int, where) for value in values)
    if len(set(object_ids)) != len(object_ids):
        raise SpatialDataError(f"{where}: an object is named twice: {list(object_ids)}.")
    return object_ids
