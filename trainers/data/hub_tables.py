"""The two tables of the row schema from a dataset of the Hub, or from a folder that holds one."""

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, Features, get_dataset_config_names, load_dataset

from igep.trainers.data.dataset_options import DatasetPlace
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError


@dataclass
class HubOptions(DatasetPlace):
    """Options of `hub`.

    Args:
        dataset_split (`str`, *optional*, defaults to `"train"`): `hub`: split of both tables.
    """

    dataset_split: str = field(default="train", metadata={"help": "hub: split of the scenes and questions tables."})


def load_hub_tables(path: str, split: str = "train") -> tuple[Dataset, Dataset | None]:
    """Reads the configurations `scenes` and `questions` of a dataset.

    Args:
        path (`str`): Id on the Hub, or a folder.
        split (`str`, *optional*, defaults to `"train"`): Split of both.

    Returns:
        `tuple[Dataset, Dataset | None]`: Scenes and questions; `None` without that configuration.

    Raises:
        SpatialDataError: There is no such folder, no configuration `scenes`, or a table lacks a column.
    """
    if not Path(path).exists() and (Path(path).is_absolute() or len(Path(path).parts) != 2):
        raise SpatialDataError(
            f"{path}: no such folder. Give a folder with the tables scenes and questions, or `user/name` of a Hub dataset."
        )
    names = get_dataset_config_names(path)
    if "scenes" not in names:
        raise SpatialDataError(
            f"{path}: its configurations are {names}, without 'scenes'. Write both tables with "
            "push_to_hub(..., config_name='scenes' or 'questions')."
        )
    scenes = _with_features(path, "scenes", load_dataset(path, "scenes", split=split), SCENE_FEATURES)
    if "questions" not in names:
        return scenes, None
    questions = _with_features(path, "questions", load_dataset(path, "questions", split=split), QUESTION_FEATURES)
    return scenes, questions


def _with_features(path: str, name: str, table: Dataset, features: Features) -> Dataset:
    missing = [column for column in features if column not in table.column_names]
    if missing:
        raise SpatialDataError(f"{path}: table {name!r} has no column {missing[0]!r} (it has {table.column_names}).")
    table = table.select_columns(list(features))
    return table if table.features == features else table.cast(features)
