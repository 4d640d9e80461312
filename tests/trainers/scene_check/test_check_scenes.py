"""Right scenes pass; each simple mistake is found, named, and with it the error that remains without it."""

import re
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from scene_folders import COLOUR_INTRINSICS, camera_path, scene_row, write_exported

from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError
from igep.trainers.scene_check.check_picture import save_picture
from igep.trainers.scene_check.check_scenes import check_folder, check_scene, check_scenes, format_reports


NUM_FRAMES = 9
GAPS = (1, 2, 4)
OPENGL = np.diag([1.0, -1, -1, 1])
CV_FROM_ROBOT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # robot axes: forward, left, up
SIDE_BY_SIDE = np.eye(4)
SIDE_BY_SIDE[0, 3] = 0.03
DEPTH_INTRINSICS = np.array([[75.0, 0, 33.0], [0, 75.0, 24.0], [0, 0, 1]])


def with_poses(poses: np.ndarray) -> dict:
    return {**scene_row(NUM_FRAMES), "world_from_camera": poses.tolist()}


def with_translations(factor: float) -> dict:
    poses = camera_path(NUM_FRAMES)
    poses[:, :3, 3] *= factor
    return with_poses(poses)


def with_transposed_rotations() -> dict:
    poses = camera_path(NUM_FRAMES)
    poses[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1).copy()
    return with_poses(poses)


def own_depth_camera() -> dict:
    return scene_row(NUM_FRAMES, depth_intrinsics=DEPTH_INTRINSICS)


RIGHT = {
    "one camera": lambda: scene_row(NUM_FRAMES),
    "small depth": lambda: scene_row(NUM_FRAMES, depth_size=(36, 48)),
    "own depth camera": own_depth_camera,
    "cameras side by side": lambda: scene_row(
        NUM_FRAMES, depth_intrinsics=DEPTH_INTRINSICS, colour_from_depth=SIDE_BY_SIDE
    ),
    "two frames": lambda: scene_row(2, poses=camera_path(NUM_FRAMES)[3:5]),
    "a frame without depth": lambda: {**scene_row(NUM_FRAMES), "depth": [None, *scene_row(NUM_FRAMES)["depth"][1:]]},
}

MISTAKES = {
    "world-to-camera": (lambda: with_poses(np.linalg.inv(camera_path(NUM_FRAMES))), "world-to-camera: store"),
    "opengl": (lambda: with_poses(camera_path(NUM_FRAMES) @ OPENGL), "OpenGL camera axes"),
    "opengl world-to-camera": (
        lambda: with_poses(np.linalg.inv(camera_path(NUM_FRAMES) @ OPENGL)),
        "world-to-camera with OpenGL",
    ),
    "robot axes": (lambda: with_poses(camera_path(NUM_FRAMES) @ CV_FROM_ROBOT), r"\(-y, -z, x\)"),
    "transposed rotations": (with_transposed_rotations, "rotations of the poses are transposed"),
    "translations in millimetres": (lambda: with_translations(1000), "pose translations.*by 0.001.*millimetres"),
    "translations in centimetres": (lambda: with_translations(100), "pose translations.*by 0.01"),
    "millimetres read as metres": (
        lambda: {**scene_row(NUM_FRAMES), "metres_per_depth_unit": 1.0},
        "unit of the depth.*by 0.001.*millimetres",
    ),
    "depth ten times too large": (
        lambda: {**scene_row(NUM_FRAMES), "metres_per_depth_unit": 0.01},
        "`metres_per_depth_unit` by 0.1",
    ),
    "colour and depth intrinsics mixed up": (
        lambda: {
            **own_depth_camera(),
            "intrinsics": own_depth_camera()["depth_intrinsics"],
            "depth_intrinsics": own_depth_camera()["intrinsics"],
        },
        "colour camera's fit better",
    ),
    "no intrinsics of the depth camera": (
        lambda: {**own_depth_camera(), "depth_intrinsics": []},
        "focal length is wrong: about 1.25",
    ),
    "intrinsics not scaled": (
        lambda: {
            **scene_row(NUM_FRAMES),
            "intrinsics": [(COLOUR_INTRINSICS * [[0.5], [0.5], [1]]).tolist()] * NUM_FRAMES,
        },
        "image of another size.*by 2",
    ),
    "z said to be euclidean": (lambda: {**scene_row(NUM_FRAMES), "depth_kind": "euclidean"}, "say depth_kind 'z'"),
    "poses one frame late": (
        lambda: with_poses(camera_path(NUM_FRAMES)[[0, *range(NUM_FRAMES - 1)]]),
        "one frame earlier",
    ),
    "poses of nothing": (
        lambda: (
            scene_row(NUM_FRAMES)
            | {
                "depth": [scene_row(NUM_FRAMES)["depth"][0]] * NUM_FRAMES,
                "intrinsics": [COLOUR_INTRINSICS.tolist()] * NUM_FRAMES,
            }
        ),
        "no motion at all fits better",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_scenes_are_ok(name: str) -> None:
    report = check_scene(RIGHT[name](), GAPS)
    assert report.verdict == "ok", report
    assert report.reason == ""
    assert all(agreement.relative_error < 0.005 for agreement in report.gaps)
    assert all(0.1 < agreement.overlap <= 1 for agreement in report.gaps)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_with_the_error_that_remains(name: str) -> None:
    spoiled, words = MISTAKES[name]
    report = check_scene(spoiled(), GAPS)
    assert report.verdict in ("wrong", "suspicious"), report
    assert re.search(words, report.reason), report.reason
    remaining = float(re.search(r"would be ([\d.]+)%", report.reason)[1])
    assert remaining < 1


def test_drifting_poses_are_suspicious() -> None:
    """Near frames agree, far ones do not, and no simple mistake tells why."""
    poses = camera_path(NUM_FRAMES)
    poses[5:, :3, 3] += [0.15, 0.3, 0.3]
    report = check_scene(with_poses(poses), GAPS)
    assert report.verdict == "suspicious"
    assert "at gap 4" in report.reason


def test_random_poses_are_wrong() -> None:
    poses = camera_path(NUM_FRAMES)[np.random.default_rng(0).permutation(NUM_FRAMES)]
    poses[:, :3, 3] += np.random.default_rng(1).normal(size=(NUM_FRAMES, 3))
    report = check_scene(with_poses(poses), GAPS)
    assert report.verdict == "wrong"
    assert "no simple mistake" in report.reason


def test_a_common_wrong_unit_leaves_an_odd_depth() -> None:
    """Depth and translations in millimetres agree with each other; only the size of the room tells."""
    report = check_scene({**with_translations(1000), "metres_per_depth_unit": 1.0}, GAPS)
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
    report = check_scene({**scene_row(3), **changes}, GAPS)
    assert report.verdict == "suspicious"
    assert words in report.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metres_per_depth_unit": -1.0}, "metres_per_depth_unit"),
        ({"depth": [*scene_row(2)["depth"], Image.fromarray(np.ones((4, 4), np.uint16))]}, "several sizes"),
        ({"depth": [*scene_row(2)["depth"], Image.new("RGB", (64, 48))]}, r"depth\[2\]"),
        ({"frames": [*scene_row(2)["frames"], {"bytes": b"", "path": "a.jpg"}]}, r"frames\[2\].*a.jpg"),
        ({"intrinsics": [(COLOUR_INTRINSICS * [[4], [4], [1]]).tolist()] * 3}, "principal point"),
    ],
)
def test_what_cannot_be_read_is_wrong(changes: dict, words: str) -> None:
    report = check_scene({**scene_row(3), **changes}, GAPS)
    assert report.verdict == "wrong"
    assert re.search(words, report.reason)


def test_a_folder_with_a_scene_that_cannot_be_read(tmp_path: Path) -> None:
    write_exported(tmp_path / "desk", scene_row(3))
    write_exported(tmp_path / "shelf", scene_row(3))
    (tmp_path / "shelf" / "intrinsic" / "intrinsic_color.txt").unlink()
    desk, shelf = check_folder(tmp_path, GAPS)
    assert (desk.scene_id, desk.verdict) == ("desk", "ok")
    assert (shelf.scene_id, shelf.verdict) == ("shelf", "wrong")
    assert "intrinsic_color.txt" in shelf.reason
    table = format_reports([desk, shelf], GAPS).splitlines()
    assert [line.split()[0] for line in table[:3]] == ["scene", "desk", "shelf"]
    assert table[1].split()[-1] == "ok"
    assert "-" in table[1]  # the scene is too short for the largest gap
    assert table[-1].startswith("shelf: wrong: ")
    with pytest.raises(SpatialDataError, match="no such folder"):
        check_folder(tmp_path / "nowhere", GAPS)
    with pytest.raises(ValueError, match="gaps"):
        check_folder(tmp_path, (0, 1))


def test_depth_in_whole_metres_is_odd() -> None:
    """Rounding leaves nothing that a factor could repair, yet the size tells."""
    depth = [Image.fromarray((np.asarray(image) // 1000).astype(np.uint16)) for image in scene_row(5)["depth"]]
    report = check_scene({**scene_row(5), "depth": depth}, GAPS)
    assert report.verdict == "wrong"
    assert "median depth" in report.reason or "unit of the depth" in report.reason


def test_turned_cameras_that_near_frames_hide() -> None:
    """Small steps agree by a hair whatever the axes; far frames do not, and the axes are named."""
    poses = camera_path(33)[10:23] @ np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    row = {**scene_row(13, poses=camera_path(33)[10:23]), "world_from_camera": poses.tolist()}
    report = check_scene(row, (1, 12))
    assert "(y, -x, z)" in report.reason, report


def test_every_row_of_a_table_is_checked() -> None:
    rows = [scene_row(3, "right"), {**scene_row(3, "wrong"), "metres_per_depth_unit": 1.0}]
    reports = check_scenes(Dataset.from_list(rows, features=SCENE_FEATURES), (1,))
    assert [(report.scene_id, report.verdict) for report in reports] == [("right", "ok"), ("wrong", "wrong")]


def test_the_picture_shows_every_scene(tmp_path: Path) -> None:
    reports = [check_scene(scene_row(4, "one"), (1,)), check_scene({**scene_row(4, "two"), "depth": []}, (1,))]
    save_picture(reports, tmp_path / "one.png")
    save_picture([reports[0]] * 3, tmp_path / "three.png")
    one, three = (Image.open(tmp_path / name) for name in ("one.png", "three.png"))
    assert three.height == 3 * one.height
    assert len(one.convert("RGB").getcolors(1 << 24)) > 50
    with pytest.raises(ValueError, match="no scene could be compared"):
        save_picture(reports[1:], tmp_path / "none.png")
