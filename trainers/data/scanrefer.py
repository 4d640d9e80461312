"""ScanRefer (Chen et al., 2020): descriptions that each mean one object of a scan."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from igep.spatial_prompts import GROUND_ONE, GROUND_TOKEN
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


DATASET = "scanrefer"
LABEL_FILE = "scannetv2-labels.combined.tsv"
# Of NYU40, the classes that ScanNet evaluates; every other object counts as "other furniture".
CLASSES = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39))
OTHER_FURNITURE = 39


@dataclass
class ScanReferOptions(ScanNetBenchmarkOptions):
    """Options of `scanrefer`.

    Args:
        label_file (`str`, *optional*): ScanNet's `scannetv2-labels.combined.tsv`, from which "unique" and "multiple"
            follow; by default that beside the annotation file or in `dataset_path`. Processed files need none.
    """

    label_file: str | None = field(
        default=None,
        metadata={"help": "scanrefer, scan2cap: scannetv2-labels.combined.tsv (default: beside the annotation_file)."},
    )


def read_scanrefer(path: str | None, label_file: str | Path | None = None) -> list[BenchmarkQuestion]:
    """Read descriptions as questions.

    Args:
        path (`str`): `ScanRefer_filtered_{train,val}.json`, or `scanrefer_vg_{train,val}_llava_style.json`. Ids are
            places in the file in both.
        label_file (`str | Path`, *optional*): See `ScanReferOptions`; needed for the former.

    Returns:
        `list[BenchmarkQuestion]`: Of type `unique` or `multiple`.

    Raises:
        SpatialDataError: A file or entry that is malformed.
    """
    entries = read_entries(path, DATASET)
    if is_processed(entries):
        return [_processed(entry, f"{path}, entry {number}") for number, entry in enumerate(entries)]
    types = uniqueness(entries, str(path), label_file)
    questions = []
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        description = field_of(entry, "description", str, where)
        questions.append(
            BenchmarkQuestion(
                where=where,
                question_id=str(number),
                scene_id=field_of(entry, "scene_id", str, where),
                # `capitalize` makes all letters but the first small: so do the peers.
                question=GROUND_ONE.format(description=description.capitalize()),
                answers=(GROUND_TOKEN,),
                question_type=types[number],
                object_ids=(field_of(entry, "object_id", int, where),),
            )
        )
    return questions


def load_scanrefer(options: ScanReferOptions) -> tuple[Dataset, Dataset]:
    """Scenes and questions, whose `referred_boxes` hold the object that is meant (see `join_questions`).

    Args:
        options (`ScanReferOptions`): Files and choices.

    Returns:
        `tuple[Dataset, Dataset]`

    Raises:
        SpatialDataError: Files that are missing or malformed, or questions that are unusable.
    """
    questions = read_scanrefer(options.annotation_file, label_file_of(options))
    scenes = load_benchmark_scenes(options, questions)
    return join_questions(questions, scenes, needs_objects=True, unusable_questions=options.unusable_questions)


def scanrefer_references(scenes: Dataset, questions: Dataset) -> list[dict[str, Any]]:
    """What `metrics/grounding_accuracy.py` takes as references.

    Args:
        scenes (`Dataset`): Scenes table of `load_scanrefer`.
        questions (`Dataset`): Its questions table.

    Returns:
        `list[dict]`: `sample_id`, `box` and `question_type`.
    """
    return [
        {"sample_id": row["question_id"], "box": boxes[0], "question_type": row["question_type"]}
        for row, boxes in zip(questions, referred_box_numbers(scenes, questions), strict=True)
    ]


def uniqueness(entries: Sequence[dict[str, Any]], path: str, label_file: str | Path | None) -> list[str]:
    """Whether each described object is the only one of its class, as Video-3D LLM's `process_scanrefer.py` counts.

    Counted are the objects of a scan that the file describes, by NYU40 class. (The benchmark's own server counts all
    of the scan's objects, so that its shares differ.)

    Args:
        entries (`Sequence[dict]`): Of ScanRefer's own file: `scene_id`, `object_id`, `object_name`.
        path (`str`): That file, for messages.
        label_file (`str | Path`, *optional*): `scannetv2-labels.combined.tsv`.

    Returns:
        `list[str]`: `unique` or `multiple` for each entry.

    Raises:
        SpatialDataError: No label file, one that is malformed, or an entry without these fields.
    """
    class_of_name = _nyu40_classes(label_file)
    objects: dict[tuple[str, int], set[int]] = defaultdict(set)
    keys = []
    for number, entry in enumerate(entries):
        where = f"{path}, entry {number}"
        name = field_of(entry, "object_name", str, where).replace("_", " ")
        nyu40 = class_of_name.get(name, OTHER_FURNITURE)
        key = field_of(entry, "scene_id", str, where), nyu40 if nyu40 in CLASSES else OTHER_FURNITURE
        objects[key].add(field_of(entry, "object_id", int, where))
        keys.append(key)
    return ["unique" if len(objects[key]) == 1 else "multiple" for key in keys]


def label_file_of(options: ScanReferOptions) -> str | Path | None:
    """The label file that options name, or the one beside the annotation file or in the folder of the scenes."""
    if options.label_file is not None or options.annotation_file is None:
        return options.label_file
    places = (Path(options.annotation_file).with_name(LABEL_FILE), Path(str(options.dataset_path)) / LABEL_FILE)
    return next((path for path in places if path.is_file()), None)


def _processed(entry: dict[str, Any], where: str) -> BenchmarkQuestion:
    question = processed_question(entry, DATASET, where)
    return replace(
        question,
        object_ids=(field_of(entry["metadata"], "object_id", int, where),),
        boxes=file_boxes([entry.get("box")], where),
    )


def _nyu40_classes(path: str | Path | None) -> dict[str, int]:
    """NYU40 class by ScanNet's raw category."""
    if path is None:
        raise SpatialDataError(
            f"ScanRefer's own file does not say which objects are unique: give label_file, ScanNet's {LABEL_FILE}, or "
            "put it beside the annotation file."
        )
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpatialDataError(f"{path}: not readable ({error}). Give ScanNet's {LABEL_FILE}.") from error
    try:
        return {row["raw_category"]: int(row["nyu40id"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise SpatialDataError(
            f"{path}: no columns raw_category and nyu40id ({error!r}). Give ScanNet's {LABEL_FILE}."
        ) from error
