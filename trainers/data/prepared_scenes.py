"""A ScanNet download written as Parquet shards, one after the other, so an interrupted run goes on where it stopped.

OUT/scenes/train-00000-of-00379.parquet   `SCENE_FEATURES`, images inside
OUT/objects/train-00000-of-00379.parquet  `OBJECT_FEATURES`
OUT/README.md                             names both tables to `datasets`; written last
OUT/report.json                           every scene: what it holds, or why it was left out
OUT/.prepare/                             the plan and a record of each finished shard
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features

from igep.trainers.data.json_file import read_json
from igep.trainers.data.scannet_scenes import OBJECT_FEATURES, PREPARE_FOLDER
from igep.trainers.data.scannet_tree import ScannedScene, ScanNetTree
from igep.trainers.data.scenes.camera_arrays import resize_intrinsics
from igep.trainers.data.scenes.frame_coverage import coverage_frame_indices, voxels_seen
from igep.trainers.data.scenes.frame_sampling import uniform_frame_indices
from igep.trainers.data.scenes.scene_frames import take_frames
from igep.trainers.data.scenes.scene_validation import decode_depth, decode_frame
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


FRAME_SAMPLINGS = ("uniform", "coverage")
COVERAGE_PIXEL_STRIDE = 4  # 160 x 120 points of a 640 x 480 map are enough for voxels of 0.1 m
TABLES = {"scenes": SCENE_FEATURES, "objects": OBJECT_FEATURES}


@dataclass(frozen=True)
class PreparePlan:
    """What is written; a run goes on only with an equal plan.

    Args:
        root (`str`): Root of the download (see `scannet_tree`).
        scene_ids (`list[str]`): Scenes in order.
        object_box_file (`str`, *optional*): See `ScanNetTree`.
        proposal_box_file (`str`, *optional*): See `ScanNetTree`.
        num_frames (`int`, *optional*): Frames to keep of each scene; all by default.
        frame_sampling (`str`, *optional*, defaults to `"uniform"`): `uniform` = evenly by count; `coverage` = those
            that together see most surfaces.
        scenes_per_shard (`int`, *optional*, defaults to `4`): Scenes of a file; as many are held in memory.

    Raises:
        ValueError: A value is out of range.
    """

    root: str
    scene_ids: list[str]
    object_box_file: str | None = None
    proposal_box_file: str | None = None
    num_frames: int | None = None
    frame_sampling: str = "uniform"
    scenes_per_shard: int = 4

    def __post_init__(self):
        if self.frame_sampling not in FRAME_SAMPLINGS:
            raise ValueError(f"frame_sampling={self.frame_sampling!r}: choose {' or '.join(FRAME_SAMPLINGS)}.")
        if self.num_frames is None and self.frame_sampling != "uniform":
            raise ValueError(f"frame_sampling={self.frame_sampling!r} chooses among frames: give num_frames.")
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"num_frames={self.num_frames}: give 1 or more, or leave it out to keep all frames.")
        if self.scenes_per_shard < 1:
            raise ValueError(f"scenes_per_shard={self.scenes_per_shard}: give 1 or more.")
        if not self.scene_ids or len(set(self.scene_ids)) != len(self.scene_ids):
            raise ValueError(f"scene_ids holds {len(self.scene_ids)} scenes: give at least one, each once.")

    @property
    def num_shards(self) -> int:
        """Files of each table."""
        return math.ceil(len(self.scene_ids) / self.scenes_per_shard)

    def scenes_of(self, shard: int) -> list[str]:
        """Scenes of a shard, by its number from 0."""
        return self.scene_ids[shard * self.scenes_per_shard : (shard + 1) * self.scenes_per_shard]


@dataclass(frozen=True)
class SceneReport:
    """What became of a scene.

    Args:
        scene_id (`str`): The scene.
        left_out_because (`str`): Why it was left out; empty for a scene that was written.
        frames (`int`): Frames that were written.
        objects (`int`): Boxes of objects.
        proposals (`int`): Boxes of proposals.
        notes (`list[str]`): What it lacks.
        frames_without_pose (`int`): Frames that were left out, for their pose is none (tracking failed).
    """

    scene_id: str
    left_out_because: str = ""
    frames: int = 0
    objects: int = 0
    proposals: int = 0
    notes: list[str] = field(default_factory=list)
    frames_without_pose: int = 0


def prepare_scannet(
    plan: PreparePlan, out: str | Path, *, retry_left_out: bool = False
) -> Iterator[list[SceneReport]]:
    """Write the shards that are not there yet. Nothing is done before the first report is asked for.

    A shard appears under its name only whole; its record is written after it, and a shard without a record is written
    again. A scene that cannot be read is left out and reported.

    Args:
        plan (`PreparePlan`): What to write.
        out (`str | Path`): Folder; new, empty, or that of an earlier run of the same plan.
        retry_left_out (`bool`, *optional*, defaults to `False`): Write shards again in which a scene was left out.

    Yields:
        `list[SceneReport]`: The scenes of each shard in turn, those of finished shards as well.

    Raises:
        SpatialDataError: The folder holds something else, the download is not there, or not one scene could be read.
        OSError: The folder cannot be written to.
    """
    out = Path(out)
    _check_folder(plan, out)
    tree = ScanNetTree(plan.root, plan.object_box_file, plan.proposal_box_file)
    state = out / PREPARE_FOLDER
    with _writing(out):
        for name in (PREPARE_FOLDER, *TABLES):
            (out / name).mkdir(parents=True, exist_ok=True)
    _write_text(state / "plan.json", json.dumps(asdict(plan)), state)
    reports: list[SceneReport] = []
    for shard in range(plan.num_shards):
        record = state / f"shard-{shard:05d}.json"
        done = [SceneReport(**scene) for scene in read_json(record, list)] if record.is_file() else None
        if done is None or (retry_left_out and any(scene.left_out_because for scene in done)):
            done = _write_shard(plan, tree, shard, out)
            _write_text(record, json.dumps([asdict(scene) for scene in done]), state)
        reports += done
        yield done
    _write_text(out / "report.json", json.dumps([asdict(scene) for scene in reports], indent=1), state)
    if all(scene.left_out_because for scene in reports):
        raise SpatialDataError(
            f"{plan.root}: not one of {len(reports)} scenes could be read. The first, {reports[0].scene_id!r}: "
            f"{reports[0].left_out_because}"
        )
    _write_text(out / "README.md", _card(), state)


def _check_folder(plan: PreparePlan, out: Path) -> None:
    plan_file = out / PREPARE_FOLDER / "plan.json"
    if plan_file.is_file():
        earlier = read_json(plan_file, dict)
        changed = [name for name, value in asdict(plan).items() if earlier.get(name) != value]
        if changed:
            raise SpatialDataError(
                f"{out}: an earlier run wrote here with another {', '.join(changed)}. Give the same options to go on "
                "with it, or another folder."
            )
    elif out.exists() and not out.is_dir():
        raise SpatialDataError(f"{out}: a file. Give a new or empty folder.")
    elif out.exists() and any(path.name != PREPARE_FOLDER for path in out.iterdir()):
        raise SpatialDataError(f"{out}: holds something else. Give a new or empty folder.")


def _write_shard(plan: PreparePlan, tree: ScanNetTree, shard: int, out: Path) -> list[SceneReport]:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    reports = []
    for scene_id in plan.scenes_of(shard):
        try:
            scene = tree.read(scene_id)
            row = _with_images(take_frames(scene.row, _frames_to_keep(plan, scene)))
        except SpatialDataError as error:
            reports.append(SceneReport(scene_id, str(error)))
            continue
        notes = list(scene.notes)
        if plan.num_frames is not None and len(row["frames"]) < plan.num_frames:
            notes.append(f"{len(row['frames'])} frames, fewer than the {plan.num_frames} that are asked for")
        rows["scenes"].append(row)
        rows["objects"].append(
            {
                "scene_id": scene_id,
                "object_ids": scene.object_ids,
                "proposals": [list(box) for box in scene.proposals],
                "notes": notes,
            }
        )
        reports.append(
            SceneReport(
                scene_id,
                "",
                len(row["frames"]),
                len(scene.object_ids),
                len(scene.proposals),
                notes,
                scene.frames_without_pose,
            )
        )
    for name, features in TABLES.items():
        target = out / name / f"train-{shard:05d}-of-{plan.num_shards:05d}.parquet"
        if rows[name]:
            _write_table(target, rows[name], features, out / PREPARE_FOLDER)
        else:
            target.unlink(missing_ok=True)
    return reports


def _frames_to_keep(plan: PreparePlan, scene: ScannedScene) -> list[int]:
    available = len(scene.row["frames"])
    if plan.num_frames is None or available <= plan.num_frames:
        return list(range(available))
    if plan.frame_sampling == "uniform":
        return uniform_frame_indices(available, plan.num_frames).tolist()
    return coverage_frame_indices(_voxels(scene.row), plan.num_frames).tolist()


def _voxels(row: dict[str, Any]) -> list[np.ndarray]:
    """Voxels that each frame sees; none where it has no depth."""
    if not row["depth"] or not row["world_from_camera"]:
        raise SpatialDataError(
            f"Scene {row['scene_id']!r} has no {'poses' if row['depth'] else 'depth'}, from which coverage follows. "
            "Export them, or sample its frames uniformly."
        )
    colour_from_depth = np.array(row["colour_from_depth"]) if row["colour_from_depth"] else np.eye(4)
    seen = []
    for number, entry in enumerate(row["depth"]):
        if entry is None:
            seen.append(np.empty((0, 3), dtype=np.int64))
            continue
        depth = decode_depth(row["scene_id"], number, entry) * row["metres_per_depth_unit"]
        if row["depth_intrinsics"]:
            intrinsics = np.array(row["depth_intrinsics"][number])
        else:
            width, height = decode_frame(row["scene_id"], number, row["frames"][number]).size
            intrinsics = resize_intrinsics(np.array([row["intrinsics"][number]]), (height, width), depth.shape)[0]
        pose = np.array(row["world_from_camera"][number]) @ colour_from_depth
        seen.append(voxels_seen(depth, intrinsics, pose, pixel_stride=COVERAGE_PIXEL_STRIDE))
    return seen


def _with_images(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose images are inside it; each is decoded once, so that none is written that cannot be read."""
    for name, decode in (("frames", decode_frame), ("depth", decode_depth)):
        for number, path in enumerate(row[name]):
            if path is not None:
                decode(row["scene_id"], number, path)
                row[name][number] = {"bytes": Path(path).read_bytes(), "path": Path(path).name}
    return row


def _write_table(target: Path, rows: Sequence[dict[str, Any]], features: Features, state: Path) -> None:
    unfinished = state / f"{target.parent.name}-{target.name}"
    with _writing(state.parent):
        # One scene per row group: a reader of one does not read the others.
        Dataset.from_list(list(rows), features=features).to_parquet(unfinished, batch_size=1)
        os.replace(unfinished, target)


def _write_text(target: Path, text: str, state: Path) -> None:
    unfinished = state / f"{target.name}.unfinished"
    with _writing(state.parent):
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, target)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Says which folder cannot be written to, as on a full disk: what writes Parquet does not."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{out}: cannot be written to ({error}). Make room or give another folder; what is whole there is kept, "
            "and the same command goes on after it."
        ) from error


def _card() -> str:
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n" for name in TABLES
    )
    return (
        f"---\nconfigs:\n{configs}---\n\nScenes of ScanNet, written by `igep prepare scannet`. ScanNet's terms of use "
        "hold: do not pass them on.\n"
    )
