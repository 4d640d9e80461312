"""ScanQA (Azuma et al., 2022): questions about a scan with short answers, several of which are true."""

from dataclasses import dataclass, field, replace
from typing import Any

from datasets import Dataset

from igep.trainers.data.benchmark_questions import (
    BenchmarkQuestion,
    field_of,
    is_processed,
    processed_question,
    read_entries,
)
from igep.trainers.data.benchmark_tables import ScanNetBenchmarkOptions, join_questions, load_benchmark_scenes
from igep.trainers.data.scenes.spatial_example import SpatialDataError


DATASET = "scanqa"
PROMPT = "{question} Answer the question simply."  # of Video-3D LLM's `process_scanqa.py`


@dataclass
class ScanQAOptions(ScanNetBenchmarkOptions):
    """Options of `scanqa`.

    Args:
        one_answer_per_row (`bool`, *optional*, defaults to `False`): A row for each answer (`scanqa`) or each
            description (`scan2cap`), as the peers train; otherwise one row with all of them, of which the first is
            trained on.
    """

    one_answer_per_row: bool = field(
        default=False,
        metadata={
            "help": "scanqa, scan2cap: a row per answer or description, as peers train, not one with all of them."
        },
    )


def read_scanqa(path: str | None, *, one_answer_per_row: bool = False) -> list[BenchmarkQuestion]:
    """Read questions.

    Args:
        path (`str`): `ScanQA_v1.0_{train,val}.json`, or `scanqa_{train,val}_llava_style.json`, whose training split
            has a row per answer and whose ids are kept as they are.
        one_answer_per_row (`bool`, *optional*, defaults to `False`): Of the benchmark's own file: a row per answer,
            named `<question_id>_<number>`.

    Returns:
        `list[BenchmarkQuestion]`

    Raises:
        SpatialDataError: A file or entry that is malformed, or without answers (those of the test splits are not
            public).
    """
    entries = read_entries(path, DATASET)
    read = _processed if is_processed(entries) else _original
    questions = [read(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]
    if is_processed(entries) or not one_answer_per_row:
        return questions
    return [
        replace(question, question_id=f"{question.question_id}_{number}", answers=(answer,))
        for question in questions
        for number, answer in enumerate(question.answers)
    ]


def load_scanqa(options: ScanQAOptions) -> tuple[Dataset, Dataset]:
    """Scenes and questions (see `join_questions`); where scenes have boxes, `referred_boxes` are the answer's objects.

    Args:
        options (`ScanQAOptions`): Files and choices.

    Returns:
        `tuple[Dataset, Dataset]`

    Raises:
        SpatialDataError: Files that are missing or malformed, or questions that are unusable.
    """
    questions = read_scanqa(options.annotation_file, one_answer_per_row=options.one_answer_per_row)
    scenes = load_benchmark_scenes(options, questions)
    return join_questions(questions, scenes, needs_objects=False, unusable_questions=options.unusable_questions)


def scanqa_references(questions: Dataset) -> list[dict[str, Any]]:
    """What `metrics/scanqa.py` takes as references.

    Args:
        questions (`Dataset`): Questions table of `load_scanqa`.

    Returns:
        `list[dict]`: `sample_id` and `answers`.
    """
    return [{"sample_id": row["question_id"], "answers": row["answers"]} for row in questions]


def _original(entry: dict[str, Any], where: str) -> BenchmarkQuestion:
    if "answers" not in entry:
        raise SpatialDataError(f"{where}: no 'answers'. Those of the test splits are not public: give train or val.")
    return BenchmarkQuestion(
        where=where,
        question_id=field_of(entry, "question_id", str, where),
        scene_id=field_of(entry, "scene_id", str, where),
        question=PROMPT.format(question=field_of(entry, "question", str, where)),
        answers=_answers(entry, where),
        object_ids=tuple(dict.fromkeys(_whole(value, where) for value in entry.get("object_ids", ()))),
    )


def _processed(entry: dict[str, Any], where: str) -> BenchmarkQuestion:
    question = processed_question(entry, DATASET, where)
    if "answers" in entry["metadata"]:
        question = replace(question, answers=_answers(entry["metadata"], where))
    return replace(question, question_type="other")  # the files' own is a constant


def _answers(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    answers = field_of(entry, "answers", list, where)
    if not answers or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise SpatialDataError(f"{where}: 'answers' is {answers!r}, not a list of texts.")
    return tuple(answers)


def _whole(value: Any, where: str) -> int:
    return field_of({"object_ids": value}, "object_ids", int, where)
