"""From the questions of a benchmark on ScanNet to the questions table: options, the processed files, objects by id."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import Dataset

from igep.trainers.data.dataset_options import DatasetPlace
from igep.trainers.data.json_file import read_json
from igep.trainers.data.scannet_geometry import UNNAMED, checked_numbers
from igep.trainers.data.scannet_scenes import NO_OBJECT, ScanNetScenes, load_scannet_scenes
from igep.trainers.data.scannet_tree import box_row
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SpatialDataError


logger = logging.getLogger(__name__)

SHOWN_REASONS = 3
IMAGE_PLACEHOLDER = "<image>"
SCENE_PREFIX = "scannet/"


@dataclass
class ScanNetBenchmarkOptions(DatasetPlace):
    """Options of `scanrefer`, `multi3drefer`, `scan2cap`, `scanqa` and `sqa3d`.

    Args:
        annotation_file (`str`, *optional*): The benchmark's own file, or the processed one of Video-3D LLM, 3DRS and 3D-IDE.
        object_box_file (`str`, *optional*): Objects' boxes (`scannet_train_gt_box.json`), in place of those of the meshes.
        proposal_box_file (`str`, *optional*): Proposals' boxes (`scannet_val_pred_box.json`), in place of Mask3D's masks.
        unusable_questions (`str`, *optional*, defaults to `"error"`): What to do about questions whose scene or object is not
            there: `error`, or `leave_out`, which says how many and why.
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
            "help": "ScanNet benchmarks: questions whose scene or object is missing stop it, or are left out and counted.",
            "choices": ["error", "leave_out"],
        },
    )


@dataclass(frozen=True)
class BenchmarkQuestion:
    """A question of a benchmark before its objects are looked up.

    Args:
        where (`str`): File and entry, for messages.
        question_id (`str`): Unique within the file.
        scene_id (`str`): The scan.
        question (`str`): What the model reads.
        answers (`tuple[str, ...]`): At least one.
        question_type (`str`): As the benchmark's metric takes it.
        object_ids (`tuple[int, ...]`): ScanNet's ids of the objects that are meant.
        boxes (`tuple[tuple[float, ...], ...]`): Their boxes of six numbers, where the file holds them.
        shown_box (`tuple[float, ...]`, *optional*): The box that the question speaks of, where that is not the object's own.
    """

    where: str
    question_id: str
    scene_id: str
    question: str
    answers: tuple[str, ...]
    question_type: str = "other"
    object_ids: tuple[int, ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()
    shown_box: tuple[float, ...] | None = None


def read_entries(path: str | None, dataset: str) -> list[dict[str, Any]]:
    """Read the entries of an annotation file.

    Args:
        path (`str`, *optional*): The file, a JSON list of objects.
        dataset (`str`): Name of the benchmark in recipes, for messages.

    Returns:
        `list[dict]`: At least one.

    Raises:
        SpatialDataError: Missing, cut off, empty, or not such a list.
    """
    if path is None:
        raise ValueError(f"dataset={dataset!r} needs annotation_file: give the benchmark's file of questions.")
    entries = read_json(path, list)
    if not entries:
        raise SpatialDataError(f"{path}: an empty list. Give the file of a split that has questions.")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise SpatialDataError(f"{path}, entry {number}: a {type(entry).__name__}, not an object.")
    return entries


def is_processed(entries: Sequence[dict[str, Any]]) -> bool:
    """Whether entries are those of Video-3D LLM's processed files rather than a benchmark's own."""
    return "conversations" in entries[0]


def field_of(entry: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """A field of an entry, checked.

    Args:
        entry (`dict`): The entry.
        name (`str`): The field.
        kind (`type`): `str` (a text that is not empty), `int` (also one in quotes) or `list`.
        where (`str`): File and entry, for the message.

    Returns:
        `Any`: Its value.

    Raises:
        SpatialDataError: It is missing or of another kind.
    """
    value = entry.get(name)
    if kind is int and isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is str and not value.strip()):
        wanted = {str: "a text", int: "a whole number", list: "a list"}[kind]
        raise SpatialDataError(
            f"{where}: {name!r} is {value!r}, not {wanted}. Is it the file of another benchmark or split?"
        )
    return value


def processed_question(entry: dict[str, Any], dataset: str, where: str) -> BenchmarkQuestion:
    """What all entries of the processed files have in common.

    Args:
        entry (`dict`): The entry: `id`, `video`, `conversations`, `metadata`.
        dataset (`str`): The name that its `metadata.dataset` must have, in small letters.
        where (`str`): File and entry, for messages.

    Returns:
        `BenchmarkQuestion`: Without objects.

    Raises:
        SpatialDataError: A field is missing, it is of another benchmark, or it does not hold one `<image>` and one turn.
    """
    metadata = entry.get("metadata")
    if not isinstance(metadata, dict) or str(metadata.get("dataset")).lower() != dataset:
        found = metadata.get("dataset") if isinstance(metadata, dict) else None
        raise SpatialDataError(
            f"{where}: `metadata.dataset` is {found!r}, not {dataset!r}. Give `dataset` of this file."
        )
    turns = field_of(entry, "conversations", list, where)
    speakers = [turn.get("from") if isinstance(turn, dict) else None for turn in turns]
    if speakers != ["human", "gpt"]:
        raise SpatialDataError(f"{where}: its turns are from {speakers}, not from 'human' and 'gpt'.")
    asked = field_of(turns[0], "value", str, where)
    if asked.count(IMAGE_PLACEHOLDER) != 1 or not asked.lstrip().startswith(IMAGE_PLACEHOLDER):
        raise SpatialDataError(
            f"{where}: {asked!r} does not begin with the only {IMAGE_PLACEHOLDER}: one video is asked about."
        )
    return BenchmarkQuestion(
        where=where,
        question_id=str(field_of({"id": str(entry.get("id", ""))}, "id", str, where)),
        scene_id=field_of(entry, "video", str, where).removeprefix(SCENE_PREFIX),
        question=asked.replace(IMAGE_PLACEHOLDER, "").strip(),
        answers=(field_of(turns[1], "value", str, where),),
        question_type=str(metadata.get("question_type") or "other"),
    )


def file_boxes(values: Any, where: str) -> tuple[tuple[float, ...], ...]:
    """Boxes of a processed entry, checked: six finite numbers each, no negative size."""
    if not isinstance(values, list):
        raise SpatialDataError(f"{where}: {values!r} is no list of boxes.")
    return tuple(checked_numbers(where, box) for box in values)


def number_repeated_ids(questions: Sequence[BenchmarkQuestion]) -> list[BenchmarkQuestion]:
    """Gives questions that share an id with an earlier one a number of their own (`id#2`), and says how many.

    Args:
        questions (`Sequence[BenchmarkQuestion]`): In order.

    Returns:
        `list[BenchmarkQuestion]`: With unique ids.
    """
    uses: Counter[str] = Counter()
    numbered = []
    for question in questions:
        uses[question.question_id] += 1
        count = uses[question.question_id]
        numbered.append(question if count == 1 else replace(question, question_id=f"{question.question_id}#{count}"))
    repeated = len(questions) - len(uses)
    if repeated:
        logger.info("%d of %d questions share an id with an earlier one and were numbered.", repeated, len(questions))
    return numbered


def load_benchmark_scenes(options: ScanNetBenchmarkOptions, questions: Sequence[BenchmarkQuestion]) -> ScanNetScenes:
    """The scenes that questions ask about, from where the options say; those missing are noted in it."""
    return load_scannet_scenes(
        str(options.dataset_path),
        [question.scene_id for question in questions],
        object_box_file=options.object_box_file,
        proposal_box_file=options.proposal_box_file,
    )


def join_questions(
    questions: Sequence[BenchmarkQuestion],
    scenes: ScanNetScenes,
    *,
    needs_objects: bool,
    unusable_questions: str = "error",
) -> tuple[Dataset, Dataset]:
    """Looks up the objects of questions by their ids and makes the two tables.

    A box that the file holds and the scene does not know is added to the scene's boxes, and so are boxes that questions
    show. `referred_boxes` are the objects that are meant; a shown box comes after them.

    Args:
        questions (`Sequence[BenchmarkQuestion]`): In order.
        scenes (`ScanNetScenes`): Their scenes.
        needs_objects (`bool`): Whether a question is worth nothing without its objects. Otherwise it only does without
            `referred_boxes`, where its scene has no boxes at all.
        unusable_questions (`str`, *optional*, defaults to `"error"`): `error` or `leave_out`.

    Returns:
        `tuple[Dataset, Dataset]`: Scenes that have questions, and questions.

    Raises:
        SpatialDataError: An id that comes twice, a question that is unusable under `error`, or none that is usable.
    """
    if unusable_questions not in ("error", "leave_out"):
        raise ValueError(f"unusable_questions={unusable_questions!r}: choose error or leave_out.")
    first_use: dict[str, str] = {}
    for question in questions:
        if question.question_id in first_use:
            raise SpatialDataError(
                f"{question.where}: the id {question.question_id!r} was used at {first_use[question.question_id]}. Make ids unique."
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
                "question": question.question,
                "answers": list(question.answers),
                "question_type": question.question_type,
                "referred_boxes": referred,
            }
        )
    if unusable:
        _report(unusable, len(questions), unusable_questions if rows else "error")
    if without_boxes:
        logger.warning(
            "%d of %d questions name objects in scenes without boxes: their `referred_boxes` are empty.",
            without_boxes,
            len(rows),
        )
    asked = {row["scene_id"] for row in rows}
    table = scenes.with_boxes()
    kept = [number for number, scene_id in enumerate(scenes.object_ids) if scene_id in asked]
    return table.select(kept), Dataset.from_list(rows, features=QUESTION_FEATURES)


def _problem(question: BenchmarkQuestion, scenes: ScanNetScenes, needs_objects: bool) -> str | None:
    if question.scene_id in scenes.missing:
        return f"scene {question.scene_id!r} cannot be read: {scenes.missing[question.scene_id]}"
    known = scenes.object_ids[question.scene_id]
    unknown = [] if question.boxes else [object_id for object_id in question.object_ids if object_id not in known]
    if unknown and (needs_objects or known):
        return (
            f"scene {question.scene_id!r} has no box of object {unknown[0]} (it has {len(known)} boxes"
            f"{', of the ids ' + ', '.join(map(str, known[:5])) + ' ...' if known else ''}): give its mesh with aggregation in "
            "scans/, or object_box_file"
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
    """The place of a shown box among a scene's: that of the object itself if it is its box, or of a box that is added."""
    for place in (*own, *(number for number, object_id in enumerate(ids) if object_id == NO_OBJECT)):
        if (*boxes[place]["centre_metres"], *boxes[place]["size_metres"]) == shown:
            return place
    ids.append(NO_OBJECT)
    boxes.append(box_row("proposal", shown))
    return len(boxes) - 1


def _report(unusable: list[tuple[BenchmarkQuestion, str]], total: int, policy: str) -> None:
    question, reason = unusable[0]
    told = f"{len(unusable)} of {total} questions cannot be used. The first, {question.question_id!r} ({question.where}): {reason}"
    if policy == "error":
        raise SpatialDataError(f"{told}. Mend it, or set unusable_questions: leave_out.")
    reasons = Counter(reason for _, reason in unusable)
    shown = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(SHOWN_REASONS))
    more = len(reasons) - SHOWN_REASONS
    logger.warning("%s. Reasons: %s%s", told, shown, f"; and {more} more reasons" if more > 0 else "")


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
