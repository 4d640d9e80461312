"""Published tables, offline: both of them, one of them, and those that lack what the schema needs."""

import shutil
from pathlib import Path

import pytest
from datasets import Dataset
from scene_folders import question_row, scene_row

from igep.trainers.data.hub_tables import load_hub_tables
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """What `push_to_hub` leaves in a repository: Parquet per configuration, and their names in the card."""
    rows = [scene_row(2, name) for name in ("desk", "shelf")]
    for name, table in (
        ("scenes", Dataset.from_list(rows, features=SCENE_FEATURES)),
        ("questions", Dataset.from_list([question_row(1)], features=QUESTION_FEATURES)),
    ):
        (tmp_path / "hub" / name).mkdir(parents=True)
        table.to_parquet(tmp_path / "hub" / name / "train-00000-of-00001.parquet")
    card = "---\nconfigs:\n"
    for name in ("scenes", "questions"):
        card += f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n"
    (tmp_path / "hub" / "README.md").write_text(card + "---\n")
    return tmp_path / "hub"


def test_published_tables(published: Path) -> None:
    scenes, questions = load_hub_tables(str(published))
    assert scenes.features == SCENE_FEATURES
    assert questions.features == QUESTION_FEATURES
    assert SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8))[0].scene_id == "desk"


def test_folders_of_one_name_and_a_folder_written_anew_are_read_as_they_are(published: Path, tmp_path: Path) -> None:
    """`datasets` itself gives the scenes that it read first for all of them."""
    load_hub_tables(str(published))
    other = tmp_path / "elsewhere" / "hub"
    shutil.copytree(published, other)
    for folder, name in ((other, "sofa"), (published, "lamp")):
        scenes = Dataset.from_list([scene_row(2, name)], features=SCENE_FEATURES)
        scenes.to_parquet(folder / "scenes" / "train-00000-of-00001.parquet")
        assert load_hub_tables(str(folder))[0]["scene_id"] == [name]
    assert load_hub_tables(str(other))[0]["scene_id"] == ["sofa"]


def test_published_tables_without_scenes_or_questions(published: Path) -> None:
    card = published / "README.md"
    card.write_text(card.read_text().replace("config_name: questions", "config_name: riddles"))
    assert load_hub_tables(str(published))[1] is None
    card.write_text(card.read_text().replace("config_name: scenes", "config_name: rooms"))
    with pytest.raises(SpatialDataError, match="without 'scenes'"):
        load_hub_tables(str(published))


def test_published_tables_without_a_column(published: Path) -> None:
    Dataset.from_list([{"scene_id": "desk"}]).to_parquet(published / "scenes" / "train-00000-of-00001.parquet")
    with pytest.raises(SpatialDataError, match="'scenes' has no column 'frame_ids'"):
        load_hub_tables(str(published))


def test_lost_frames_are_counted(published: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [scene_row(4, name) for name in ("desk", "shelf", "sofa")]
    rows[0]["world_from_camera"][1:3] = [[[0.0] * 4] * 4] * 2
    rows[2]["world_from_camera"][0] = [[float("nan")] * 4] * 4
    table = Dataset.from_list(rows, features=SCENE_FEATURES)
    table.to_parquet(published / "scenes" / "train-00000-of-00001.parquet")
    scenes, _ = load_hub_tables(str(published))
    assert "3 frames of 2 scenes have no valid pose and are left out" in caplog.text
    assert SpatialDataset(scenes, None, num_frames=2, geometry_size=(6, 8))[0].frames


def test_published_texts_are_words_alone(published: Path) -> None:
    row = question_row(1) | {"question": "Where in <image> is it?"}
    table = Dataset.from_list([row], features=QUESTION_FEATURES)
    table.to_parquet(published / "questions" / "train-00000-of-00001.parquet")
    with pytest.raises(SpatialDataError, match="hub: table 'questions', row 1: the question .* holds '<image>'"):
        load_hub_tables(str(published))
