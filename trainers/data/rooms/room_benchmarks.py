"""Rooms as a ScanNet download with the annotation files of six benchmarks, each in the benchmark's own form.

ROOT/posed_images, scans, mask      see `room_scans`
ROOT/ScanQA_v1.0_{train,val}.json
ROOT/v1_balanced_{questions,sqa_annotations}_{train,val}_scannetv2.json
ROOT/ScanRefer_filtered_{train,val}.json, scannetv2-labels.combined.tsv      also Scan2Cap
ROOT/multi3drefer_{train,val}.json
ROOT/vsi_bench_{train,val}.jsonl, rooms/<scan>.mp4
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igep.trainers.data.rooms.room_multi3drefer import multi3drefer_entries
from igep.trainers.data.rooms.room_renderer import RoomSpec
from igep.trainers.data.rooms.room_scanqa import scanqa_entries
from igep.trainers.data.rooms.room_scanrefer import label_table, scanrefer_entries
from igep.trainers.data.rooms.room_scans import RoomScan, write_room_scans
from igep.trainers.data.rooms.room_sqa3d import sqa3d_entries
from igep.trainers.data.rooms.room_vsi_bench import DATASET, vsi_bench_entries, write_room_video


SPLITS = ("train", "val")
DESCRIPTIONS_PER_OBJECT = 3


@dataclass(frozen=True)
class RoomBenchmarkFiles:
    """Names of the annotation files of a split, under the root.

    Args:
        split (`str`): `train` or `val`.
    """

    split: str

    @property
    def scanqa(self) -> str:
        return f"ScanQA_v1.0_{self.split}.json"

    @property
    def sqa3d(self) -> str:
        return f"v1_balanced_questions_{self.split}_scannetv2.json"

    @property
    def sqa3d_answers(self) -> str:
        return f"v1_balanced_sqa_annotations_{self.split}_scannetv2.json"

    @property
    def scanrefer(self) -> str:
        return f"ScanRefer_filtered_{self.split}.json"

    @property
    def multi3drefer(self) -> str:
        return f"multi3drefer_{self.split}.json"

    @property
    def vsi_bench(self) -> str:
        return f"vsi_bench_{self.split}.jsonl"


def write_room_benchmarks(
    root: str | Path,
    *,
    train_rooms: int,
    held_out_rooms: int,
    seed: int,
    questions_per_room: int = 6,
    spec: RoomSpec | None = None,
    progress: Callable[[], Any] = lambda: None,
) -> dict[str, int]:
    """Write rooms and the questions of all benchmarks about them.

    Args:
        root (`str | Path`): Folder; new or empty.
        train_rooms (`int`): Rooms of the split `train`.
        held_out_rooms (`int`): Rooms of the split `val`.
        seed (`int`): The same seed gives the same files.
        questions_per_room (`int`, *optional*, defaults to `6`): Most questions of a benchmark about a room. ScanRefer
            has up to three descriptions of every object instead.
        spec (`RoomSpec`, *optional*): What kind of rooms; that of the quickstart unless given.
        progress (`Callable`, *optional*): Called after each room.

    Returns:
        `dict[str, int]`: Entries of each annotation file by its name.

    Raises:
        ValueError: A split without rooms or questions.
        FileExistsError: A room is there already.
    """
    for name, value in (("train_rooms", train_rooms), ("held_out_rooms", held_out_rooms)):
        if value < 1:
            raise ValueError(f"{name}={value}: give 1 or more.")
    if questions_per_room < 1:
        raise ValueError(f"questions_per_room={questions_per_room}: give 1 or more.")
    root = Path(root)
    (root / DATASET).mkdir(parents=True, exist_ok=True)
    scans = write_room_scans(root, train_rooms + held_out_rooms, seed=seed, spec=spec or RoomSpec())
    (root / "scannetv2-labels.combined.tsv").write_text(label_table())
    entries: dict[str, list[dict[str, Any]]] = {}
    for number, scan in enumerate(scans):
        write_room_video(root / DATASET / f"{scan.scene_id}.mp4", scan.frames)
        split = SPLITS[number >= train_rooms]
        for name, found in _entries(scan, split, number * questions_per_room, questions_per_room).items():
            entries.setdefault(name, []).extend(found)
        progress()
    for split in SPLITS:
        _write_split(root, RoomBenchmarkFiles(split), entries)
    return {name: len(found) for name, found in entries.items()}


def _entries(scan: RoomScan, split: str, first_id: int, count: int) -> dict[str, list[dict[str, Any]]]:
    """What is asked about a room, by the name of the file that holds it."""
    files = RoomBenchmarkFiles(split)
    rng = random.Random(f"benchmarks {scan.scene_id}")
    situated, answers = sqa3d_entries(scan, first_id, count, rng)
    return {
        files.scanqa: scanqa_entries(scan, split, count, rng),
        files.sqa3d: situated,
        files.sqa3d_answers: answers,
        files.scanrefer: scanrefer_entries(scan, DESCRIPTIONS_PER_OBJECT, rng),
        files.multi3drefer: multi3drefer_entries(scan, count, rng),
        files.vsi_bench: vsi_bench_entries(scan, first_id, count, rng),
    }


def _write_split(root: Path, files: RoomBenchmarkFiles, entries: dict[str, list[dict[str, Any]]]) -> None:
    for name in (files.scanqa, files.scanrefer, files.multi3drefer):
        (root / name).write_text(json.dumps(entries[name]))
    for name, column in ((files.sqa3d, "questions"), (files.sqa3d_answers, "annotations")):
        (root / name).write_text(json.dumps({"data_type": "rooms", column: entries[name]}))
    (root / files.vsi_bench).write_text("".join(f"{json.dumps(entry)}\n" for entry in entries[files.vsi_bench]))
