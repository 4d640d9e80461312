"""The two tables of the row schema from a dataset of the Hub, or from a folder that holds one."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, Features, config, get_dataset_config_names, load_dataset

from igep.trainers.data.dataset_options import DatasetPlace
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.special_tokens import plain_text


logger = logging.getLogger(__name__)


@dataclass
class HubOptions(DatasetPlace):
    """Options of `hub`.

    Args:
        dataset_split (`str`, *optional*, defaults to `"train"`): `hub`: split of both tables.
    """

    dataset_split: str = field(default="train", metadata={"help": "hub: split of the scenes and questions tables."})


def load_hub_tables(path: str, split: str = "train") -> tuple[Dataset, Dataset | None]:
    """Reads the configurations `scenes` and `questions` of a dataset. The log says how many frames lost their pose.

    Args:
        path (`str`): Id on the Hub, or a folder.
        split (`str`, *optional*, defaults to `"train"`): Split of both.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions; `None` without that configuration.

    Raises:
        SpatialDataError: There is no such folder, no configuration `scenes`, a table lacks a column, or a text holds a
            placeholder or a token of chat templates.
    """
    if not Path(path).exists() and (Path(path).is_absolute() or len(Path(path).parts) != 2):
        raise SpatialDataError(
            f"{path}: no such folder. Give a folder with the tables scenes and questions, or `user/name` of a Hub "
            "dataset."
        )
    names = get_dataset_config_names(path)
    if "scenes" not in names:
        raise SpatialDataError(
            f"{path}: its configurations are {names}, without 'scenes'. Write both tables with "
            "push_to_hub(..., config_name='scenes' or 'questions')."
        )
    scenes = _with_features(path, "scenes", read_table(path, "scenes", split), SCENE_FEATURES)
    _say_lost_frames(path, SceneTable(scenes))
    if "questions" not in names:
        return scenes, None
    questions = _with_features(path, "questions", read_table(path, "questions", split), QUESTION_FEATURES)
    columns = questions.select_columns(["question", "answers"]).with_format("arrow")[
        :
    ]  # row by row takes a minute a million
    for number, (question, answers) in enumerate(
        zip(columns["question"].to_pylist(), columns["answers"].to_pylist(), strict=True), 1
    ):
        where = f"{path}: table 'questions', row {number}"
        plain_text(where, "question", question or "")
        for answer in answers or ():
            plain_text(where, "answer", answer or "")
    return scenes, questions


def read_table(path: str, name: str, split: str) -> Dataset:
    """Reads one configuration of a dataset.

    `datasets` caches a folder by its last name and the patterns in its card alone: another folder of the same name, or
    the same one written anew, would silently be read as the first. So every state of a folder gets a cache of its own.

    Args:
        path (`str`): Id on the Hub, or a folder.
        name (`str`): The configuration.
        split (`str`): The split.

    Returns:
        `datasets.Dataset`
    """
    if not Path(path).is_dir():
        return load_dataset(path, name, split=split)
    files = sorted(file for file in Path(path).resolve().rglob("*") if file.is_file())
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    cache = Path(config.HF_DATASETS_CACHE) / hashlib.sha256(repr(state).encode()).hexdigest()[:16]
    return load_dataset(path, name, split=split, cache_dir=str(cache))


def _with_features(path: str, name: str, table: Dataset, features: Features) -> Dataset:
    missing = [column for column in features if column not in table.column_names]
    if missing:
        raise SpatialDataError(f"{path}: table {name!r} has no column {missing[0]!r} (it has {table.column_names}).")
    table = table.select_columns(list(features))
    return table if table.features == features else table.cast(features)


def _say_lost_frames(path: str, scenes: SceneTable) -> None:
    lost = [scenes.num_frames(number) - len(scenes.usable_frames(number)) for number in range(len(scenes))]
    if any(lost):
        logger.warning(
            "%s: %d frames of %d scenes have no valid pose and are left out.",
            *(path, sum(lost), sum(count > 0 for count in lost)),
        )
