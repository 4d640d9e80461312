"""Converted scenes on the Hub: two tables that load back, and a card that says what they hold."""

import shutil

import numpy as np
import pytest
from datasets import load_dataset
from hub_stand_in import HubStandIn
from huggingface_hub import DatasetCard
from scene_folders import scene_row, write_exported

from igep.trainers import publish_scenes
from igep.trainers.data.load_scenes import SceneSource, load_scenes


pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning:httpx2")  # huggingface_hub 2.4 itself
ROOMS = ["--dataset", "synthetic_rooms", "--num_rooms", "3", "--room_image_size", "32", "--room_seed", "5"]
OPTIONS = ["--repo-id", "user/rooms", "--licence", "apache-2.0", "--source", "Rendered."]


def test_dry_run_holds_tables_that_train(tmp_path, capsys):
    folder = tmp_path / "rooms"
    publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run", str(folder)])
    assert "scenes/train-00000-of-00001.parquet" in capsys.readouterr().out
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert [config["config_name"] for config in card.data.configs] == ["scenes", "questions"]
    for line in ("| scenes | 3 |", "| frames | 6 |", "| frames with depth | 6 |", "| questions | 6 |", "Rendered."):
        assert line in card.text
    assert "ok" in card.text.split("```")[-2], "the check of the geometry"
    scenes, questions = load_scenes(SceneSource(dataset="hub", dataset_path=str(folder)))
    assert (len(scenes), len(questions)) == (3, 6)
    expected, _ = load_scenes(SceneSource(num_rooms=3, room_image_size=32, room_seed=5))
    assert scenes[0]["intrinsics"] == expected[0]["intrinsics"]
    assert load_dataset(str(folder), "questions", split="train")[0] == questions[0]


def test_upload_is_what_the_dry_run_wrote(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "rooms"
    publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run", str(folder)])
    with HubStandIn() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        publish_scenes.main([*ROOMS, *OPTIONS, "--private"])
        repo = hub.repos["dataset/user/rooms"]
    written = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {name: content for name, content in repo.files.items() if name != ".gitattributes"} == written
    assert repo.private
    assert "Published" in capsys.readouterr().out


def test_an_exported_folder_without_questions(tmp_path):
    write_exported(tmp_path / "scans" / "scene_a", scene_row(scene_id="scene_a"))
    options = ["--dataset", "scannet", "--dataset_path", str(tmp_path / "scans"), "--repo-id", "user/scans"]
    publish_scenes.main([*options, "--dry-run", str(tmp_path / "out")])
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["scenes"]
    assert "Not stated by whoever published it." in card.text
    assert str(tmp_path) not in card.content
    assert not (tmp_path / "out" / "questions").exists()


def test_images_are_in_the_tables_and_paths_are_not(tmp_path):
    write_exported(tmp_path / "scans" / "scene_a", scene_row(scene_id="scene_a"))
    options = ["--dataset", "scannet", "--dataset_path", str(tmp_path / "scans"), "--repo-id", "user/scans"]
    expected, _ = load_scenes(SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scans")))
    expected = expected[0]
    frames = [np.asarray(frame) for frame in expected["frames"]]
    publish_scenes.main([*options, "--dry-run", str(tmp_path / "out")])
    shutil.rmtree(tmp_path / "scans")
    found = load_scenes(SceneSource(dataset="hub", dataset_path=str(tmp_path / "out")))[0][0]
    for ours, theirs in zip(found["frames"], frames, strict=True):
        assert np.array_equal(np.asarray(ours), theirs)
    assert found["world_from_camera"] == expected["world_from_camera"]
    (file,) = (tmp_path / "out" / "scenes").iterdir()
    assert str(tmp_path).encode() not in file.read_bytes()


def test_wrong_geometry_is_not_published(tmp_path, capsys):
    row = scene_row(scene_id="scene_a")
    row["world_from_camera"] = [np.linalg.inv(np.array(pose)).tolist() for pose in row["world_from_camera"]]
    write_exported(tmp_path / "scans" / "scene_a", row)
    options = ["--dataset", "scannet", "--dataset_path", str(tmp_path / "scans"), "--repo-id", "user/scans"]
    with pytest.raises(SystemExit, match="the geometry of scene_a is wrong"):
        publish_scenes.main([*options, "--dry-run", str(tmp_path / "out")])
    assert "wrong" in capsys.readouterr().out
    publish_scenes.main([*options, "--dry-run", str(tmp_path / "out"), "--publish-wrong-geometry"])
    assert "wrong" in (tmp_path / "out" / "README.md").read_text()


def test_what_is_public_does_not_become_private(tmp_path, monkeypatch):
    with HubStandIn() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        publish_scenes.main([*ROOMS, *OPTIONS])
        with pytest.raises(SystemExit, match="user/rooms is public already"):
            publish_scenes.main([*ROOMS, *OPTIONS, "--private"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*ROOMS, "--repo-id", "rooms"], "give user/name"),
        ([*ROOMS, "--repo-id", "user/ro oms"], "--repo-id user/ro oms"),
        ([*ROOMS, "--repo-id", "user/rooms", "--licence", "MIT Licence"], "is no name of a licence"),
        (["--dataset", "scannet", "--dataset_path", "nowhere", "--repo-id", "user/x"], "nowhere"),
    ],
)
def test_errors_are_one_line(options, message):
    with pytest.raises(SystemExit) as caught:
        publish_scenes.main(options)
    assert message in str(caught.value)
    assert str(caught.value).startswith("publish_scenes.py: error: ")


def test_a_dry_run_overwrites_nothing(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SystemExit, match="holds something"):
        publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run", str(tmp_path)])
    assert (tmp_path / "kept").read_text() == "mine"
