"""The two tables of the row schema from a dataset of the Hub, or from a folder that holds one."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, Features, config, get_dataset_config_names, load_dataset

from igep.trainers.data.dataset_options import DatasetPlace
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError


logger = logging.getLogger(__name__)


@dataclass
class HubOptions(DatasetPlace):
    """Options of `hub`.

    Args:
        dataset_split (`str`, *optional*, defaults to `"train"`): `hub`: split of both tables.
    """

    dataset_split: str = field(default="train", metadata={"help": "hub: split of the scenes and questions tables."})


def load_hub_tables(path: str, split: str = "train") -> tuple[Dataset, Dataset | None]:
    """Reads the configurations `scenes` and `questions` of a dataset. The log says how many frames have lost their pose.

    Args:
        path (`str`): Id on the Hub, or a folder.
        split (`str`, *optional*, defaults to `"train"`): Split of both.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions; `None` without that configuration.

    Raises:
        SpatialDataError: There is no configuration `scenes`, or a table lacks a column.
    """
    names = get_dataset_config_names(path)
    cache = cache_of_folder(path)
    if "scenes" not in names:
        raise SpatialDataError(
            f"{path}: its configurations are {names}, without 'scenes'. Write both tables with "
            "push_to_hub(..., config_name='scenes' or 'questions')."
        )
    scenes = _with_features(path, "scenes", load_dataset(path, "scenes", split=split, cache_dir=cache), SCENE_FEATURES)
    _say_lost_frames(path, SceneTable(scenes))
    if "questions" not in names:
        return scenes, None
    questions = _with_features(
        path, "questions", load_dataset(path, "questions", split=split, cache_dir=cache), QUESTION_FEATURES
    )
    return scenes, questions


def _with_features(path: str, name: str, table: Dataset, features: Features) -> Dataset:
    missing = [column for column in features if column not in table.column_names]
    if missing:
        raise SpatialDataError(f"{path}: table {name!r} has no column {missing[0]!r} (it has {table.column_names}).")
    table = table.select_columns(list(features))
    return table if table.features == features else table.cast(features)


def cache_of_folder(path: str) -> str | None:
    """Where `datasets` may keep what it reads of a folder.

    By itself it knows folders by their last name alone, and gives the tables of another one, or those of yesterday.

    Args:
        path (`str`): Id on the Hub, or a folder.

    Returns:
        `str` or `None`: `None`, its own place, for a dataset of the Hub.
    """
    folder = Path(path)
    if not folder.is_dir():
        return None
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (folder.absolute(), *files)]
    return str(Path(config.HF_DATASETS_CACHE) / f"igep-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}")


def _say_lost_frames(path: str, scenes: SceneTable) -> None:
    lost = [scenes.num_frames(number) - len(scenes.usable_frames(number)) for number in range(len(scenes))]
    if any(lost):
        logger.warning(
            "%s: %d frames of %d scenes have no valid pose and are left out.",
            *(path, sum(lost), sum(count > 0 for count in lost)),
        )
