"""Converted scenes on the Hub: two tables that load back, and a card that says what they hold."""

import shutil

import numpy as np
import pytest
from datasets import load_dataset
from hub_stand_in import HubStandIn
from huggingface_hub import DatasetCard, HfApi
from PIL import Image
from scannet_tree import write_scan
from scene_folders import scene_row, write_exported

from igep.trainers import cli, publish_scenes
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scannet_scenes import load_scannet_scenes
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.publishing.published_folder import PublishError


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
    checked = card.text.split("```")[-2]
    assert "own poses" in checked
    assert checked.count("not testable: ") == 3, "two frames of a room are too few to tell"
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
    assert "geometry supervision. Where they come from was not stated by whoever published them.\n" in card.text
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


def test_objects_and_proposals_of_prepared_scenes_go_along(tmp_path, monkeypatch):
    write_scan(tmp_path / "scannet", "scene0000_00")
    prepared, again = tmp_path / "prepared", tmp_path / "again"
    assert cli.main(["prepare", "scannet", "--root", str(tmp_path / "scannet"), "--out", str(prepared)]) == 0
    options = ["--dataset", "hub", "--dataset_path", str(prepared), "--repo-id", "user/scans"]
    publish_scenes.main([*options, "--dry-run", str(again), "--publish-wrong-geometry"])
    card = DatasetCard.load(again / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["scenes", "objects"]
    assert "| `proposals` | list of list of float64 |" in card.text
    found, expected = (load_scannet_scenes(str(path), ["scene0000_00"]) for path in (again, prepared))
    assert found.object_ids == expected.object_ids == {"scene0000_00": [0, 1, 3, 7]}
    assert found.proposals == expected.proposals
    assert len(found.proposals["scene0000_00"]) == 4


def test_what_must_not_be_published_is_found_in_cards_tables_and_behind_links(tmp_path, capsys):
    row = scene_row(scene_id="scene_a")
    folder = write_exported(tmp_path / "scans" / "scene_a", row)
    options = ["--dataset", "scannet", "--dataset_path", str(tmp_path / "scans"), "--repo-id", "user/scans"]
    out = tmp_path / "out"
    for source, found in (
        ("Recorded in /home/somebody/scans", "would hold the path '/home/somebody/scans'"),
        (f"Fetched with hf_{'a' * 34}.", "would hold what looks like an access token"),
    ):
        with pytest.raises(SystemExit, match=f"README.md {found}"):
            publish_scenes.main([*options, "--dry-run", str(out), "--source", source])
        assert not out.exists(), "nothing of it is left to be uploaded"
    folder.rename(folder.with_name(f"hf_{'b' * 34}"))
    scenes, _ = load_scenes(SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scans")))
    with pytest.raises(PublishError, match="scene_id in scenes/train-.* would hold what looks like an access token"):
        publish_scenes.stage_scenes(scenes, None, "No token in the card.", out)
    assert not out.exists()
    folder = folder.with_name(f"hf_{'b' * 34}").rename(folder)
    file = min((folder / "color").iterdir())
    private = file.rename(tmp_path / f"private{file.suffix}")
    file.symlink_to(private)
    with pytest.raises(SystemExit, match=f"{file} leads out of .*: put the file itself into it"):
        publish_scenes.main([*options, "--dry-run", str(out)])
    file.unlink()
    private.rename(file)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "scans")  # the folder itself may be a link
    options[3] = str(tmp_path / "elsewhere")
    publish_scenes.main([*options, "--dry-run", str(out)])


@pytest.mark.parametrize("metres", [True, False])
def test_depth_arrays_become_images(tmp_path, metres):
    folder = write_exported(tmp_path / "scans" / "scene_a", scene_row(scene_id="scene_a"))
    for path in list((folder / "depth").iterdir()):
        depth = np.asarray(Image.open(path))
        np.save(path.with_suffix(".npy"), (depth / 1000).astype(np.float32) if metres else depth)
        path.unlink()
    options = ["--dataset", "scannet", "--dataset_path", str(tmp_path / "scans"), "--repo-id", "user/scans"]
    expected, _ = load_scenes(SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scans")))
    rows = SpatialDataset(expected, None, num_frames=3, geometry_size=(24, 32))
    publish_scenes.main([*options, "--dry-run", str(tmp_path / "out")])
    found, _ = load_scenes(SceneSource(dataset="hub", dataset_path=str(tmp_path / "out")))
    assert found[0]["depth"][0].mode == ("F" if metres else "I;16")  # as any user of `datasets` sees it
    published = SpatialDataset(found, None, num_frames=3, geometry_size=(24, 32))
    np.testing.assert_array_equal(published[0].depth_metres, rows[0].depth_metres)


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
        (["--dataset", "scannet", "--dataset_path", "nowhere", "--repo-id", "user/x", "--dry-run=none"], "nowhere"),
        (
            ["--dataset", "hub", "--dataset_path", "/nowhere", "--repo-id", "user/x", "--dry-run=none"],
            "/nowhere: no such",
        ),
        (["--dataset_path", "my/scenes", "--repo-id", "user/x"], "--dataset is not given: name scannet or hub"),
        (
            [*ROOMS, "--dataset_path", "my/scenes", "--repo-id", "user/x"],
            "--dataset_path my/scenes: --dataset synthetic",
        ),
    ],
)
def test_errors_are_one_line(options, message):
    with pytest.raises(SystemExit) as caught:
        publish_scenes.main(options)
    assert message in str(caught.value)
    assert str(caught.value).startswith("publish_scenes.py: error: ")
    assert "\n" not in str(caught.value)


def test_a_dry_run_overwrites_nothing(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SystemExit, match="holds something"):
        publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run", str(tmp_path)])
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_dry_run_needs_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run"])
    assert (tmp_path / "outputs" / "dry_run" / "README.md").is_file()
    assert "Would be uploaded to user/rooms, now in outputs/dry_run" in capsys.readouterr().out


def test_flags_go_by_their_other_spellings(tmp_path):
    options = ["--repo_id", "user/rooms", "--license", "mit", "--dry_run", str(tmp_path / "out")]
    publish_scenes.main([*ROOMS, *options, "--publish_wrong_geometry"])
    assert DatasetCard.load(tmp_path / "out" / "README.md").data.license == "mit"


def test_the_card_names_the_types_of_the_columns(tmp_path):
    publish_scenes.main([*ROOMS, *OPTIONS, "--dry-run", str(tmp_path / "out")])
    rows = [line for line in (tmp_path / "out" / "README.md").read_text().splitlines() if line.startswith("| `")]
    matrices = "list of list of list of float64"
    box = "(label: string, centre_metres: list of float64, size_metres: list of float64, yaw_radians: float64)"
    assert rows == [
        "| `scene_id` | string |",
        "| `frame_ids` | list of string |",
        "| `frames` | list of image |",
        "| `depth` | list of image |",
        "| `metres_per_depth_unit` | float64 |",
        "| `depth_kind` | string |",
        f"| `intrinsics` | {matrices} |",
        f"| `depth_intrinsics` | {matrices} |",
        "| `colour_from_depth` | list of list of float64 |",
        f"| `world_from_camera` | {matrices} |",
        f"| `boxes` | list of {box} |",
        "| `question_id` | string |",
        "| `scene_id` | string |",
        "| `question` | string |",
        "| `answers` | list of string |",
        "| `question_type` | string |",
        "| `referred_boxes` | list of int64 |",
    ]


@pytest.mark.parametrize(("options", "warned"), [([], True), (["--private"], False), (["--licence", "mit"], False)])
def test_a_public_upload_without_a_licence_warns(tmp_path, capsys, options, warned):
    publish_scenes.main([*ROOMS, "--repo-id", "user/rooms", *options, "--dry-run", str(tmp_path / "out")])
    assert (
        "publish_scenes.py: warning: without a licence nobody may use what is public: give --licence"
        in capsys.readouterr().err
    ) == warned


def test_another_dataset_is_not_overwritten(tmp_path, monkeypatch):
    with HubStandIn() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        HfApi().create_repo("user/rooms", repo_type="dataset")
        HfApi().upload_file(
            path_or_fileobj=b"a,b", path_in_repo="train.csv", repo_id="user/rooms", repo_type="dataset"
        )
        with pytest.raises(SystemExit, match="user/rooms is another dataset already"):
            publish_scenes.main([*ROOMS, *OPTIONS])


def test_a_failing_upload_is_one_line_and_can_be_repeated(tmp_path, monkeypatch):
    with HubStandIn() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        hub.fail_next("lfs_upload", 400, "the disk is full")
        with pytest.raises(SystemExit) as caught:
            publish_scenes.main([*ROOMS, *OPTIONS])
        message = str(caught.value)
        assert message.startswith("publish_scenes.py: error: Error while uploading '")
        assert "the disk is full" in message
        assert message.endswith("Nothing was committed: run the same command again.")
        assert "\n" not in message
        publish_scenes.main([*ROOMS, *OPTIONS])
        assert "scenes/train-00000-of-00001.parquet" in hub.repos["dataset/user/rooms"].files
