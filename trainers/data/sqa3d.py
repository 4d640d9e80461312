"""SQA3D (Ma et al., 2023) asks someone who stands in a scan for one short answer; the benchmark is its test split."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from igep.trainers.data.benchmark_questions import (
    BenchmarkQuestion,
    field_of,
    is_processed,
    number_repeated_ids,
    processed_question,
    read_entries,
)
from igep.trainers.data.benchmark_tables import ScanNetBenchmarkOptions, join_questions, load_benchmark_scenes
from igep.trainers.data.json_file import read_json
from igep.trainers.data.scenes.spatial_example import SpatialDataError


DATASET = "sqa3d"
PROMPT = "{situation} {question} Answer the question using a single word or phrase."  # of `process_sqa3d.py`
QUESTION_TYPES = ("what", "is", "how", "can", "which")


@dataclass
class SQA3DOptions(ScanNetBenchmarkOptions):
    """Options of `sqa3d`.

    Args:
        answer_file (`str`, *optional*): Answers to the benchmark's own file of questions; by default the file beside
            it that SQA3D names alike (`v1_balanced_sqa_annotations_...`).
        alternative_situations (`bool`, *optional*, defaults to `False`): Of the benchmark's own file: a row for each
            wording of a situation, as the peers train; otherwise the original one alone.
    """

    answer_file: str | None = field(
        default=None,
        metadata={"help": "sqa3d: answers to the questions (default: SQA3D's file of that name beside them)."},
    )
    alternative_situations: bool = field(
        default=False, metadata={"help": "sqa3d: a row for each wording of a situation, as peers train."}
    )


def question_type(question: str) -> str:
    """The kind of a question, by its first letters: `is` is also that of "Isn't".

    Args:
        question (`str`): The question alone.

    Returns:
        `str`: `what`, `is`, `how`, `can`, `which` or `others`.
    """
    start = question.lstrip().lower()
    return next((name for name in QUESTION_TYPES if start.startswith(name)), "others")


def read_sqa3d(
    path: str | None, answer_file: str | None = None, *, alternative_situations: bool = False
) -> list[BenchmarkQuestion]:
    """Read questions.

    Args:
        path (`str`): `v1_balanced_questions_{train,val,test}_scannetv2.json`, or
            `sqa3d_{train,val,test}_llava_style.json`.
        answer_file (`str`, *optional*): Answers to the former; by default the file beside it that SQA3D names alike.
        alternative_situations (`bool`, *optional*, defaults to `False`): A row for each wording of a situation. Ids of
            further wordings end in `#2`, `#3`, ...; so do those of the processed training split, which repeats ids.

    Returns:
        `list[BenchmarkQuestion]`

    Raises:
        SpatialDataError: A file or entry that is malformed, a question without its one answer, or an id that comes
            twice.
    """
    if path is None:
        raise ValueError(f"dataset={DATASET!r} needs annotation_file: give the benchmark's file of questions.")
    # SQA3D's own files are objects that hold a list, the processed ones are lists.
    if Path(path).is_file() and Path(path).read_text(encoding="utf-8-sig").lstrip().startswith("["):
        entries = read_entries(path, DATASET)
        if not is_processed(entries):
            raise SpatialDataError(
                f"{path}: neither SQA3D's file of questions nor the processed one: no 'conversations'."
            )
        return number_repeated_ids(
            [processed_question(entry, DATASET, f"{path}, entry {number}") for number, entry in enumerate(entries)]
        )
    entries = read_json(path, dict).get("questions")
    if not isinstance(entries, list) or not entries:
        raise SpatialDataError(f"{path}: no list 'questions'. Give v1_balanced_questions_<split>_scannetv2.json.")
    answers = _read_answers(answer_file or _answers_beside(path))
    read: list[BenchmarkQuestion] = []
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        where = f"{path}, questions[{number}]"
        wordings = _wordings(entry, where, answers, answer_file or _answers_beside(path))
        if wordings[0].question_id in seen:
            raise SpatialDataError(f"{where}: question_id {wordings[0].question_id} was used before. Make ids unique.")
        seen.add(wordings[0].question_id)
        read += wordings if alternative_situations else wordings[:1]
    return number_repeated_ids(read)


def load_sqa3d(options: SQA3DOptions) -> tuple[Dataset, Dataset]:
    """Scenes and questions, typed as the metric takes them (see `join_questions`).

    Args:
        options (`SQA3DOptions`): Files and choices.

    Returns:
        `tuple[Dataset, Dataset]`

    Raises:
        SpatialDataError: Files that are missing or malformed, or questions that are unusable.
    """
    questions = read_sqa3d(
        options.annotation_file, options.answer_file, alternative_situations=options.alternative_situations
    )
    scenes = load_benchmark_scenes(options, questions)
    return join_questions(questions, scenes, needs_objects=False, unusable_questions=options.unusable_questions)


def sqa3d_references(questions: Dataset) -> list[dict[str, Any]]:
    """What `metrics/sqa3d.py` takes as references.

    Args:
        questions (`Dataset`): Questions table of `load_sqa3d`.

    Returns:
        `list[dict]`: `sample_id`, `answers` and `question_type`.
    """
    return [
        {"sample_id": row["question_id"], "answers": row["answers"], "question_type": row["question_type"]}
        for row in questions
    ]


def _answers_beside(path: str) -> Path:
    name = Path(path).name.replace("_questions_", "_sqa_annotations_")
    if name == Path(path).name:
        raise ValueError(f"{path}: its name is not one of SQA3D's: give answer_file as well.")
    return Path(path).with_name(name)


def _read_answers(path: str | Path) -> dict[str, str]:
    annotations = read_json(path, dict).get("annotations")
    if not isinstance(annotations, list):
        raise SpatialDataError(
            f"{path}: no list 'annotations'. Give v1_balanced_sqa_annotations_<split>_scannetv2.json."
        )
    answers: dict[str, str] = {}
    for number, annotation in enumerate(annotations):
        where = f"{path}, annotations[{number}]"
        question_id = str(field_of(annotation, "question_id", int, where))
        given = field_of(annotation, "answers", list, where)
        if len(given) != 1 or question_id in answers:
            raise SpatialDataError(
                f"{where}: question {question_id} must have one answer, here {len(given)}, in one place."
            )
        answers[question_id] = field_of(given[0], "answer", str, where)
    return answers


def _wordings(
    entry: dict[str, Any], where: str, answers: dict[str, str], answer_file: str | Path
) -> list[BenchmarkQuestion]:
    """The question under each wording of its situation, the original first."""
    if not isinstance(entry, dict):
        raise SpatialDataError(f"{where}: a {type(entry).__name__}, not an object.")
    question_id = str(field_of(entry, "question_id", int, where))
    if question_id not in answers:
        raise SpatialDataError(f"{where}: question {question_id} has no answer in {answer_file}. Give the same split.")
    asked = field_of(entry, "question", str, where)
    first = BenchmarkQuestion(
        where=where,
        question_id=question_id,
        scene_id=field_of(entry, "scene_id", str, where),
        question="",
        answers=(answers[question_id],),
        question_type=question_type(asked),
    )
    situations = [field_of(entry, "situation", str, where), *entry.get("alternative_situation", ())]
    texts = [PROMPT.format(situation=situation, question=asked) for situation in dict.fromkeys(situations)]
    return [replace(first, question=text) for text in texts]
