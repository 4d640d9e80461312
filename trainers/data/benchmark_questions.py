"""Questions of a benchmark on ScanNet as its files hold them: its own, or those that Video-3D LLM made of it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from igep.trainers.data.json_file import read_json
from igep.trainers.data.scannet_geometry import checked_numbers
from igep.trainers.data.scenes.spatial_example import SpatialDataError


logger = logging.getLogger(__name__)

IMAGE_PLACEHOLDER = "<image>"
SCENE_PREFIX = "scannet/"


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
        shown_box (`tuple[float, ...]`, *optional*): The box that the question speaks of, where that is not the
            object's own.
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
        SpatialDataError: A field is missing, it is of another benchmark, or it does not hold one `<image>` and one
            turn.
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
        logger.warning(
            "%d of %d questions share an id with an earlier one and were numbered.", repeated, len(questions)
        )
    return numbered
