"""The scenes that a benchmark on ScanNet asks about, from a ScanNet download or what `igep prepare scannet` wrote."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, Features, List, Value, concatenate_datasets, get_dataset_config_names

from igep.trainers.data.hub_tables import load_hub_tables, read_table
from igep.trainers.data.scannet_tree import ScanNetTree
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


logger = logging.getLogger(__name__)

PREPARE_FOLDER = ".prepare"  # in a folder that `igep prepare` writes
NO_OBJECT = -1  # in place of ScanNet's id, for a box that is no annotated object's

# Beside the scenes table: what benchmarks need of a scene and training does not.
OBJECT_FEATURES = Features(
    {
        "scene_id": Value("string"),
        "object_ids": List(Value("int64")),  # ScanNet's ids of the scene's boxes, in their order
        "proposals": List(List(Value("float64"))),  # centre and size in metres, in the scene's world
        "notes": List(Value("string")),  # what the scene lacks
    }
)


@dataclass
class ScanNetScenes:
    """Scenes with objects and proposals.

    Args:
        scenes (`Dataset`): Table with `SCENE_FEATURES`.
        object_ids (`dict[str, list[int]]`): By scene, ScanNet's ids of its boxes in their order.
        boxes (`dict[str, list[dict]]`): By scene, its boxes.
        proposals (`dict[str, list[list[float]]]`): By scene, proposed boxes of six numbers.
        missing (`dict[str, str]`): Scenes that were asked for and cannot be had, and why.
    """

    scenes: Dataset
    object_ids: dict[str, list[int]]
    boxes: dict[str, list[dict]]
    proposals: dict[str, list[list[float]]]
    missing: dict[str, str] = field(default_factory=dict)

    def with_boxes(self) -> Dataset:
        """The scenes table with `boxes` as they are now; no image is copied."""
        boxes = [{"boxes": self.boxes[scene_id]} for scene_id in self.object_ids]
        column = Dataset.from_list(boxes, features=Features({"boxes": SCENE_FEATURES["boxes"]}))
        table = concatenate_datasets([self.scenes.remove_columns("boxes"), column], axis=1)
        return table.select_columns(list(SCENE_FEATURES))


def load_scannet_scenes(
    path: str,
    scene_ids: Sequence[str],
    *,
    split: str = "train",
    object_box_file: str | None = None,
    proposal_box_file: str | None = None,
) -> ScanNetScenes:
    """Read some scenes.

    Args:
        path (`str`): Root of a ScanNet download (see `scannet_tree`), or a folder or Hub dataset that
            `igep prepare scannet` made.
        scene_ids (`Sequence[str]`): Scenes that are wanted.
        split (`str`, *optional*, defaults to `"train"`): Of a prepared dataset.
        object_box_file (`str`, *optional*): See `ScanNetTree`.
        proposal_box_file (`str`, *optional*): See `ScanNetTree`.

    Returns:
        `ScanNetScenes`: In the order of `scene_ids`. Scenes that cannot be read are in `missing`.

    Raises:
        SpatialDataError: Not one of the scenes is there; or box files beside prepared scenes, which have their boxes.
    """
    if not Path(path).exists() and (Path(path).is_absolute() or len(Path(path).parts) != 2):
        raise SpatialDataError(
            f"{path}: no such folder. Give the root of a ScanNet download, a prepared folder, or `user/name` of a Hub "
            "dataset."
        )
    wanted = list(dict.fromkeys(scene_ids))
    if (Path(path) / PREPARE_FOLDER).is_dir() and not (Path(path) / "README.md").is_file():
        raise SpatialDataError(f"{path}: `igep prepare` was interrupted here. The same command again finishes it.")
    if Path(path).is_dir() and not (Path(path) / "scenes").is_dir():
        loaded = _from_download(ScanNetTree(path, object_box_file, proposal_box_file), wanted)
    else:
        if object_box_file is not None or proposal_box_file is not None:
            raise SpatialDataError(
                f"{path} holds prepared scenes, whose boxes are in their tables: give object_box_file and "
                "proposal_box_file to `igep prepare scannet`, or dataset_path: the ScanNet download."
            )
        loaded = _from_tables(path, split, wanted)
    if not loaded.object_ids:
        raise SpatialDataError(
            f"{path}: none of the {len(wanted)} scenes of the questions is there. The first, {wanted[0]!r}: "
            f"{loaded.missing[wanted[0]]}"
        )
    return loaded


def load_object_table(path: str, split: str = "train") -> Dataset | None:
    """Reads what stands beside the scenes of a dataset that `igep prepare scannet` made.

    Args:
        path (`str`): Id on the Hub, or a folder.
        split (`str`, *optional*, defaults to `"train"`): Its split.

    Returns:
        `Dataset` or `None`: Table with `OBJECT_FEATURES`; `None` without the configuration `objects`.
    """
    if "objects" not in get_dataset_config_names(path):
        return None
    return read_table(path, "objects", split)


def _from_download(tree: ScanNetTree, wanted: list[str]) -> ScanNetScenes:
    read, missing = [], {}
    for scene_id in wanted:
        try:
            read.append(tree.read(scene_id))
        except SpatialDataError as error:
            missing[scene_id] = str(error)
    for scene in read:
        if scene.notes:
            logger.info("Scene %s: %s.", scene.row["scene_id"], "; ".join(scene.notes))
    return ScanNetScenes(
        Dataset.from_list([scene.row for scene in read], features=SCENE_FEATURES) if read else Dataset.from_list([]),
        {scene.row["scene_id"]: list(scene.object_ids) for scene in read},
        {scene.row["scene_id"]: list(scene.row["boxes"]) for scene in read},
        {scene.row["scene_id"]: [list(box) for box in scene.proposals] for scene in read},
        missing,
    )


def _from_tables(path: str, split: str, wanted: list[str]) -> ScanNetScenes:
    table, _ = load_hub_tables(path, split)
    row_of = {scene_id: row for row, scene_id in enumerate(table["scene_id"])}
    present = [scene_id for scene_id in wanted if scene_id in row_of]
    missing = {
        scene_id: f"{path} does not hold it; its report says which scans were left out, and why."
        for scene_id in wanted
        if scene_id not in row_of
    }
    scenes = table.select([row_of[scene_id] for scene_id in present])
    boxes = dict(zip(present, scenes.select_columns(["boxes"])[:]["boxes"] if present else [], strict=True))
    objects = {}
    if (object_table := load_object_table(path, split)) is not None:
        objects = {row["scene_id"]: row for row in object_table}
    else:
        logger.warning("%s: no table 'objects', so its boxes have no ids of ScanNet.", path)
    ids = {scene_id: objects[scene_id]["object_ids"] if scene_id in objects else [] for scene_id in present}
    for scene_id in present:
        if scene_id in objects and len(ids[scene_id]) != len(boxes[scene_id]):
            raise SpatialDataError(
                f"{path}: scene {scene_id!r} has {len(boxes[scene_id])} boxes and {len(ids[scene_id])} object ids. "
                "Prepare it again."
            )
        # Boxes that have no id keep their places, and no question can mean them.
        ids[scene_id] = list(ids[scene_id]) or [NO_OBJECT] * len(boxes[scene_id])
    proposals = {scene_id: objects[scene_id]["proposals"] if scene_id in objects else [] for scene_id in present}
    return ScanNetScenes(scenes, ids, boxes, proposals, missing)
