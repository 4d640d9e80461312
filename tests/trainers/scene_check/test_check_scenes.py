"""Right scenes pass, mistakes are named with the error that remains without them, and what cannot be told is said."""

import re
from pathlib import Path

import numpy as np
import pytest
from checked_rooms import room_row, spoiled, with_poses
from datasets import Dataset
from PIL import Image
from scene_folders import camera_path, scene_row, write_exported

from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError
from igep.trainers.experiments.check_mistakes import judged
from igep.trainers.experiments.deliberate_mistakes import DELIBERATE_MISTAKES
from igep.trainers.scene_check.check_picture import save_picture
from igep.trainers.scene_check.check_scenes import check_folder, check_scene, check_scenes
from igep.trainers.scene_check.report_table import format_reports


MISTAKES = {mistake.name: mistake for mistake in DELIBERATE_MISTAKES}
SIDE_BY_SIDE = np.eye(4)
SIDE_BY_SIDE[0, 3] = 0.03
DEPTH_INTRINSICS = np.array([[75.0, 0, 33.0], [0, 75.0, 24.0], [0, 0, 1]])
METRES_PER_DEPTH_UNIT = 0.0002  # of rendered rooms


@pytest.mark.parametrize("own_depth_camera", [True, False])
def test_a_right_room_is_ok(own_depth_camera: bool) -> None:
    report = check_scene(room_row(own_depth_camera=own_depth_camera))
    assert (report.verdict, report.reason, report.not_testable) == ("ok", "", ())
    assert report.near_error < 0.001
    assert report.far_error < 0.003
    assert report.colour_agreement > 0.4


@pytest.mark.parametrize(
    "name",
    [
        "poses inverted",
        "poses left-handed",
        "rotations transposed",
        "half inverted: translations of the inverse",
        "quaternions w x y z read as x y z w",
        "translations zero",
        "translations x 0.5",
        "poses sorted as text",
        "poses shuffled",
        "one pose the identity",
        "last third displaced by 0.5 m",
        "focal lengths x 0.7",
        "fy negative",
        "depth unit x 1000",
        "z-depth said to be euclidean",
        "depth mirrored",
        "depth reversed",
        "colour intrinsics x 0.5",
        "colour shrunk to half",
        "colour cropped to its middle",
        "colour turned to portrait",
        "colour mirrored",
        "colour reversed",
        "colour shuffled",
    ],
)
def test_a_mistake_is_named(name: str) -> None:
    report = check_scene(spoiled(name))
    assert report.verdict == "wrong"
    assert judged(MISTAKES[name], report) == "named", report.reason


def test_frames_that_share_little_cannot_show_a_single_wrong_pose() -> None:
    """Where right frames share nothing with the next but one, a frame that is elsewhere is none the worse."""
    poses = np.tile(camera_path(1), (7, 1, 1))
    poses[:, 0, 3] = np.linspace(-9, 9, 7)  # metres, along the wall
    report = check_scene(scene_row(7, poses=poses))
    assert "single frames" in report.not_testable, report.reason


def test_the_error_that_remains_is_that_of_the_right_scene() -> None:
    right = check_scene(room_row())
    report = check_scene(spoiled("quaternions x y z w read as w x y z"))
    remaining = float(re.search(r"would be ([\d.]+)%", report.reason)[1]) / 100
    assert remaining <= max(right.near_error, right.far_error) + 1e-4


@pytest.mark.parametrize(
    "row",
    [
        lambda: scene_row(9, depth_size=(36, 48)),
        lambda: scene_row(9, depth_intrinsics=DEPTH_INTRINSICS),
        lambda: scene_row(9, depth_intrinsics=DEPTH_INTRINSICS, colour_from_depth=SIDE_BY_SIDE),
        lambda: {**scene_row(9), "depth": [None, *scene_row(9)["depth"][1:]]},
    ],
)
def test_without_colours_to_compare_colour_is_not_testable(row) -> None:
    """Every frame of these has one shade: the depth agrees, and of the colour camera nothing can be said."""
    report = check_scene(row())
    assert report.verdict == "not testable"
    assert report.near_error < 0.005
    assert set(report.not_testable) <= {"colour intrinsics", "colour images", "colour order", "depth intrinsics"}
    assert {"colour images", "colour order"} <= set(report.not_testable)


def test_a_camera_that_only_turns_cannot_show_the_scale_of_translations() -> None:
    poses = camera_path(9)
    poses[:, :3, 3] = [0.2, 0.1, 0.3]
    report = check_scene(scene_row(9, poses=poses))
    assert report.verdict == "not testable"
    assert "translation scale" in report.not_testable
    assert "translation scale" in report.reason


def test_a_camera_that_does_not_move_shows_nothing_of_poses() -> None:
    report = check_scene(scene_row(5, poses=np.tile(camera_path(1), (5, 1, 1))))
    assert report.verdict == "not testable"
    assert {"pose convention", "translation scale", "depth intrinsics"} <= set(report.not_testable)


def test_two_mistakes_at_once_are_said_and_not_explained_by_one() -> None:
    poses = np.linalg.inv(np.asarray(room_row()["world_from_camera"]))
    poses[:, :3, 3] *= 3.7
    report = check_scene({**spoiled("depth mirrored"), "world_from_camera": poses.tolist()})
    assert report.verdict in ("wrong", "suspicious")
    assert "likely" not in report.reason


def test_random_poses_fit_no_better_than_those_of_other_frames() -> None:
    poses = np.asarray(room_row()["world_from_camera"])
    poses = poses[np.random.default_rng(0).permutation(len(poses))]
    poses[:, :3, 3] += np.random.default_rng(1).normal(scale=0.3, size=(len(poses), 3))
    report = check_scene(with_poses(room_row(), poses))
    assert report.verdict == "wrong"
    assert "likely" not in report.reason


def test_a_common_wrong_unit_leaves_an_odd_depth() -> None:
    """Depth and translations in millimetres agree with each other; only the size of the room tells."""
    row = spoiled("translations x 1000")
    report = check_scene({**row, "metres_per_depth_unit": row["metres_per_depth_unit"] * 1000})
    assert report.verdict == "suspicious"
    assert "median depth" in report.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"world_from_camera": []}, "no poses"),
        ({"depth": []}, "no depth"),
        ({"depth": [], "world_from_camera": []}, "no depth and no poses"),
        ({"depth": [scene_row(3)["depth"][0], None, None]}, "no two frames with depth"),
    ],
)
def test_what_cannot_be_checked_is_suspicious(changes: dict, words: str) -> None:
    report = check_scene({**scene_row(3), **changes})
    assert report.verdict == "suspicious"
    assert words in report.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metres_per_depth_unit": -1.0}, "metres_per_depth_unit"),
        ({"depth": [*scene_row(2)["depth"], Image.fromarray(np.ones((4, 4), np.uint16))]}, "several sizes"),
        ({"depth": [*scene_row(2)["depth"], Image.new("RGB", (64, 48))]}, r"depth\[2\]"),
        ({"frames": [*scene_row(2)["frames"], {"bytes": b"", "path": "a.jpg"}]}, r"frames\[2\].*a.jpg"),
        ({"intrinsics": [[[240.0, 0, 124], [0, 232, 100], [0, 0, 1]]] * 3}, "principal point"),
    ],
)
def test_what_cannot_be_read_is_wrong(changes: dict, words: str) -> None:
    report = check_scene({**scene_row(3), **changes})
    assert report.verdict == "wrong"
    assert re.search(words, report.reason)


def test_a_folder_is_read_as_training_reads_it(tmp_path: Path) -> None:
    write_exported(tmp_path / "desk", room_row())
    write_exported(tmp_path / "shelf", room_row())
    (tmp_path / "shelf" / "intrinsic" / "intrinsic_color.txt").unlink()
    desk, shelf = check_folder(tmp_path, metres_per_depth_unit=METRES_PER_DEPTH_UNIT)
    assert (desk.scene_id, desk.verdict, desk.num_frames) == ("desk", "ok", len(room_row()["frames"]))
    assert (shelf.scene_id, shelf.verdict) == ("shelf", "wrong")
    assert "intrinsic_color.txt" in shelf.reason
    table = format_reports([desk, shelf]).splitlines()
    assert [line.split()[0] for line in table[:3]] == ["scene", "desk", "shelf"]
    assert table[1].split()[-1] == "ok"
    assert table[-1].startswith("shelf: wrong: ")
    (in_millimetres,) = check_folder(tmp_path / "desk")
    assert "multiply `metres_per_depth_unit` by 0.2" in in_millimetres.reason
    (every_second,) = check_folder(tmp_path / "desk", metres_per_depth_unit=METRES_PER_DEPTH_UNIT, frame_stride=2)
    assert every_second.num_frames == len(room_row()["frames"]) // 2
    (euclidean,) = check_folder(tmp_path / "desk", metres_per_depth_unit=METRES_PER_DEPTH_UNIT, depth_kind="euclidean")
    assert "depth_kind 'z'" in euclidean.reason
    with pytest.raises(SpatialDataError, match="no such folder"):
        check_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="frame_stride"):
        check_folder(tmp_path, frame_stride=0)


def test_floating_point_depth_is_metres_as_in_training(tmp_path: Path) -> None:
    folder = write_exported(tmp_path / "desk", scene_row(5))
    for path in (folder / "depth").iterdir():
        np.save(path.with_suffix(".npy"), np.asarray(Image.open(path)).astype(np.float32) / 1000)
        path.unlink()
    (report,) = check_folder(folder)
    assert report.verdict == "not testable", report.reason
    (in_millimetres,) = check_folder(folder, metres_per_depth_unit=0.001)
    assert in_millimetres.verdict == "wrong"


def test_every_row_of_a_table_is_checked() -> None:
    rows = [scene_row(5, "right"), {**scene_row(5, "wrong"), "metres_per_depth_unit": 1.0}]
    reports = check_scenes(Dataset.from_list(rows, features=SCENE_FEATURES))
    assert [(report.scene_id, report.verdict) for report in reports] == [("right", "not testable"), ("wrong", "wrong")]


def test_the_picture_shows_every_scene(tmp_path: Path) -> None:
    reports = [check_scene(scene_row(4, "one")), check_scene({**scene_row(4, "two"), "depth": []})]
    save_picture(reports, tmp_path / "one.png")
    save_picture([reports[0]] * 3, tmp_path / "three.png")
    one, three = (Image.open(tmp_path / name) for name in ("one.png", "three.png"))
    assert three.height == 3 * one.height
    assert len(one.convert("RGB").getcolors(1 << 24)) > 50
    with pytest.raises(ValueError, match="no scene could be compared"):
        save_picture(reports[1:], tmp_path / "none.png")
