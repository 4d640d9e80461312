"""Both ScanNet layouts from real files on disk, and what is said about files that are not right."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import (
    COLOUR_INTRINSICS,
    COLOUR_SIZE,
    camera_path,
    scene_row,
    true_depth,
    write_exported,
    write_flat,
)

from igep.trainers.data.scannet import load_scannet
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset, build_example


DEPTH_INTRINSICS = np.array([[50.0, 0, 21.0], [0, 50.0, 15.0], [0, 0, 1]])


@pytest.mark.parametrize("write", [write_exported, write_flat])
def test_layouts(tmp_path: Path, write) -> None:
    folder = write(tmp_path / "scene0000_00", scene_row(4, depth_size=(24, 32)))
    scenes, questions = load_scannet(folder)
    assert questions is None
    assert scenes.features == SCENE_FEATURES
    row = scenes.with_format("arrow")[0].to_pylist()[0]
    assert row["scene_id"] == "scene0000_00"
    assert row["frame_ids"] == ["00000", "00001", "00002", "00003"]
    assert all(frame["bytes"] is None and frame["path"].endswith(".jpg") for frame in row["frames"])
    np.testing.assert_allclose(row["intrinsics"][3], COLOUR_INTRINSICS)
    assert row["depth_intrinsics"] == []
    example = build_example(row, (), 4, (24, 32), "sample")
    scale = np.array([0.5, 0.5, 1])[:, None]
    for depth, pose in zip(example.depth_metres, camera_path(4), strict=True):
        np.testing.assert_allclose(depth, true_depth(COLOUR_INTRINSICS * scale, pose, (24, 32)), atol=0.000501)


def test_the_depth_camera_has_its_own_intrinsics(tmp_path: Path) -> None:
    row = scene_row(2, depth_size=(30, 40), depth_intrinsics=DEPTH_INTRINSICS)
    scenes, _ = load_scannet(write_exported(tmp_path / "scene", row))
    np.testing.assert_allclose(scenes[0]["depth_intrinsics"], [DEPTH_INTRINSICS] * 2)
    flat = write_flat(tmp_path / "flat", row)
    np.savetxt(flat / "depth_intrinsic.txt", DEPTH_INTRINSICS)
    np.testing.assert_allclose(load_scannet(flat)[0][0]["depth_intrinsics"], [DEPTH_INTRINSICS] * 2)


def test_extrinsics_carry_depth_and_pose_into_the_colour_camera(tmp_path: Path) -> None:
    """The rig's frame is the depth camera's; the colour camera stands 10 cm beside it."""
    colour_from_depth = np.eye(4)
    colour_from_depth[0, 3] = 0.1
    row = scene_row(2, depth_size=(30, 40), depth_intrinsics=DEPTH_INTRINSICS, colour_from_depth=colour_from_depth)
    poses = camera_path(2)
    folder = write_exported(tmp_path / "scene", {**row, "world_from_camera": (poses @ colour_from_depth).tolist()})
    np.savetxt(folder / "intrinsic" / "extrinsic_color.txt", colour_from_depth)
    np.savetxt(folder / "intrinsic" / "extrinsic_depth.txt", np.eye(4))
    loaded = load_scannet(folder)[0][0]
    np.testing.assert_allclose(loaded["colour_from_depth"], colour_from_depth)
    np.testing.assert_allclose(loaded["world_from_camera"], poses, atol=1e-12)


def test_frames_without_a_valid_pose_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(4))
    np.savetxt(folder / "pose" / "00001.txt", np.full((4, 4), -np.inf))
    scenes, _ = load_scannet(folder)
    assert scenes[0]["frame_ids"] == ["00000", "00002", "00003"]
    np.testing.assert_allclose(scenes[0]["world_from_camera"], camera_path(4)[[0, 2, 3]])
    assert "1 of 4 frames have no valid pose" in caplog.text
    for name in ("00000", "00002", "00003"):
        np.savetxt(folder / "pose" / f"{name}.txt", np.full((4, 4), np.nan))
    with pytest.raises(SpatialDataError, match="none of its 4 poses is one"):
        load_scannet(folder)


@pytest.mark.parametrize("write", [write_exported, write_flat])
@pytest.mark.parametrize(
    "text",
    [
        "0 0 0 0\n" * 4,
        "0 0 0 0\n" * 3 + "0 0 0 1",
        "-1.#IND 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1",
        "-1 -1 -1 -1\n" * 4,
        "-999 -999 -999 0\n-999 -999 -999 0\n-999 -999 -999 0\n0 0 0 1",
        "nan(ind) " * 4 + "\n0 1 0 0\n0 0 1 0\n0 0 0 1",
        "",
        "\n",
    ],
)
def test_lost_frames_in_any_spelling(tmp_path: Path, caplog: pytest.LogCaptureFixture, write, text: str) -> None:
    folder = write(tmp_path / "scene", scene_row(4))
    next(folder.rglob("00001.txt")).write_text(text)
    assert load_scannet(folder)[0][0]["frame_ids"] == ["00000", "00002", "00003"]
    assert "1 of 4 frames have no valid pose" in caplog.text


def test_empty_poses_in_npy_are_lost_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(3))
    for path in (folder / "pose").iterdir():
        np.save(path.with_suffix(".npy"), np.loadtxt(path))
        path.unlink()
    (folder / "pose" / "00001.npy").write_bytes(b"")
    assert load_scannet(folder)[0][0]["frame_ids"] == ["00000", "00002"]
    assert "1 of 3 frames have no valid pose" in caplog.text


def test_folders_in_capitals(tmp_path: Path) -> None:
    row = scene_row(3, depth_intrinsics=np.array([[60.0, 0, 32.0], [0, 60.0, 24.0], [0, 0, 1]]))
    right = load_scannet(write_exported(tmp_path / "right" / "scene", row))[0][0]
    folder = write_exported(tmp_path / "scans" / "scene", row)
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).rename(folder / name.capitalize())
    read = load_scannet(tmp_path / "scans")[0][0]
    same = [name for name in read if name not in ("frames", "depth")]
    assert [read[name] for name in same] == [right[name] for name in same]
    assert len(read["depth"]) == 3


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(3))
    (folder / "Pose").mkdir()
    with pytest.raises(SpatialDataError, match="Pose/ and pose/ are two folders of one name. Remove one"):
        load_scannet(folder)


@pytest.mark.parametrize("write", [write_exported, write_flat])
def test_companion_files_are_passed_over(tmp_path: Path, write) -> None:
    folder = write(tmp_path / "scene", scene_row(3))
    plain = load_scannet(folder)[0].with_format("arrow")[0].to_pylist()
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
    for place in {path.parent for path in folder.rglob("*")}:
        (place / ".DS_Store").write_bytes(b"Bud1")
        (place / "Thumbs.db").write_bytes(b"")
    (tmp_path / "__MACOSX" / "color").mkdir(parents=True)
    assert load_scannet(tmp_path)[0].with_format("arrow")[0].to_pylist() == plain


@pytest.mark.parametrize("write", [write_exported, write_flat])
@pytest.mark.parametrize("suffix", [".PNG", ".tiff", ".TIF", ".npy", "metres.npy", "metres.tiff"])
def test_depth_of_other_suffixes(tmp_path: Path, caplog: pytest.LogCaptureFixture, write, suffix: str) -> None:
    folder = write(tmp_path / "scene", scene_row(3))
    expected = build_example(load_scannet(folder)[0].with_format("arrow")[0].to_pylist()[0], (), 3, (24, 32), "sample")
    for path in list(folder.rglob("*.png")):
        depth = np.asarray(Image.open(path))
        path.unlink()
        if "metres" in suffix:
            depth = depth.astype(np.float32) / 1000
        path = path.with_suffix(suffix.removeprefix("metres"))
        if path.suffix == ".npy":
            np.save(path, depth)
        else:
            Image.fromarray(depth).save(path)
    row = load_scannet(folder)[0].with_format("arrow")[0].to_pylist()[0]
    found = build_example(row, (), 3, (24, 32), "sample")
    np.testing.assert_allclose(found.depth_metres, expected.depth_metres, atol=1e-6)
    assert ("floating-point depth is taken for metres" in caplog.text) == ("metres" in suffix)


@pytest.mark.parametrize("write", [write_exported, write_flat])
def test_poses_and_cameras_of_other_suffixes(tmp_path: Path, write) -> None:
    folder = write(tmp_path / "scene", scene_row(3))
    plain = load_scannet(folder)[0][0]
    for number, path in enumerate(sorted(folder.rglob("*.txt"))):
        matrix = np.loadtxt(path)
        path.unlink()
        np.save(path.with_suffix(".npy"), matrix) if number < 2 else np.savetxt(path.with_suffix(".TXT"), matrix)
    if write is write_flat:  # one kind of file for all poses
        for number in range(2):
            path = folder / f"{number:05d}.npy"
            np.savetxt(path.with_suffix(".TXT"), np.load(path))
            path.unlink()
        (folder / "intrinsic.TXT").rename(folder / "intrinsic.txt")
    found = load_scannet(folder)[0][0]
    np.testing.assert_allclose(found["world_from_camera"], plain["world_from_camera"])
    np.testing.assert_allclose(found["intrinsics"], plain["intrinsics"])


def test_npy_beside_colour_is_a_pose_or_depth_by_its_shape(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "scene", scene_row(2))
    for path in list(folder.glob("0*.txt")):
        np.save(path.with_suffix(".npy"), np.loadtxt(path))
        path.unlink()
    row = load_scannet(folder)[0][0]
    np.testing.assert_allclose(row["world_from_camera"], camera_path(2))
    for path in list(folder.glob("0*.png")):
        path.unlink()
    row = load_scannet(folder)[0][0]
    np.testing.assert_allclose(row["world_from_camera"], camera_path(2))
    assert row["depth"] == []
    for path in list(folder.glob("0*.npy")):
        np.save(path, np.ones((48, 64), np.uint16))
    row = load_scannet(folder)[0].with_format("arrow")[0].to_pylist()[0]
    assert row["world_from_camera"] == []
    assert len(row["depth"]) == 2


@pytest.mark.parametrize(
    ("kind", "suffix"), [("depth", ".exr"), ("depth", ".npz"), ("pose", ".json"), ("pose", ".csv")]
)
def test_other_suffixes_are_refused_by_name(tmp_path: Path, kind: str, suffix: str) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(2))
    for path in list((folder / kind).iterdir()):
        path.rename(path.with_suffix(suffix))
    with pytest.raises(SpatialDataError, match=rf"{kind}/00000\{suffix}: {kind} in files of this type is not read"):
        load_scannet(folder)


def test_a_camera_in_npy_beside_the_frames_is_no_depth(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "scene", scene_row(2))
    for path in folder.glob("0*.png"):
        path.unlink()
    np.save(folder / "intrinsic.npy", np.loadtxt(folder / "intrinsic.txt"))
    (folder / "intrinsic.txt").unlink()
    row = load_scannet(folder)[0][0]
    assert row["depth"] == []
    np.testing.assert_allclose(row["intrinsics"], [COLOUR_INTRINSICS] * 2)


def test_whole_and_floating_point_depth_in_one_scene(tmp_path: Path) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(2))
    path = folder / "depth" / "00001.png"
    np.save(path.with_suffix(".npy"), np.asarray(Image.open(path)).astype(np.float32) / 1000)
    path.unlink()
    with pytest.raises(SpatialDataError, match="two units"):
        load_scannet(folder)


def test_missing_depth_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(3))
    (folder / "depth" / "00002.png").unlink()
    row = load_scannet(folder)[0][0]
    assert [depth is None for depth in row["depth"]] == [False, False, True]
    assert "1 of 3 frames have no depth map" in caplog.text
    for path in (folder / "depth").iterdir():
        path.unlink()
    assert load_scannet(folder)[0][0]["depth"] == []


def test_a_scene_without_poses_is_colour_and_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat, exported = write_flat(tmp_path / "flat", scene_row(2)), write_exported(tmp_path / "exported", scene_row(2))
    for path in [*flat.glob("0*.txt"), *(exported / "pose").iterdir()]:
        path.unlink()
    (exported / "pose").rmdir()
    for folder in (flat, exported):
        assert load_scannet(folder)[0][0]["world_from_camera"] == []
        assert f"{folder}: no pose files" in caplog.text


@pytest.mark.parametrize(
    ("write", "kind", "suffix"),
    [(write_exported, "pose", ".txt"), (write_exported, "depth", ".png"), (write_flat, "depth", ".png")],
)
def test_files_that_belong_to_no_frame_are_refused(tmp_path: Path, write, kind: str, suffix: str) -> None:
    """Other names than the colour images' would leave the whole scene without depth or poses."""
    folder = write(tmp_path / "scene", scene_row(2))
    kind_folder = folder / kind if write is write_exported else folder
    for path in list(kind_folder.glob(f"*{suffix}")):
        path.rename(path.with_stem(f"{path.stem}.{kind}"))
    with pytest.raises(SpatialDataError, match=f"none of the 2 {suffix} files.*00000{suffix}") as caught:
        load_scannet(folder)
    assert str(kind_folder) in str(caught.value)


def test_depth_in_another_unit_and_of_another_kind(tmp_path: Path) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(2))
    row = load_scannet(folder, metres_per_depth_unit=0.0002, depth_kind="euclidean")[0][0]
    assert (row["metres_per_depth_unit"], row["depth_kind"]) == (0.0002, "euclidean")
    with pytest.raises(SpatialDataError, match="metres_per_depth_unit.*-1"):
        load_scannet(folder, metres_per_depth_unit=-1.0)
    with pytest.raises(SpatialDataError, match="depth_kind.*'disparity'"):
        load_scannet(folder, depth_kind="disparity")


def test_frames_come_in_natural_order_and_by_stride(tmp_path: Path) -> None:
    row = {**scene_row(3), "frame_ids": ["10", "9", "100"]}
    folder = write_exported(tmp_path / "scene", row)
    assert load_scannet(folder)[0][0]["frame_ids"] == ["9", "10", "100"]
    assert load_scannet(folder, frame_stride=2)[0][0]["frame_ids"] == ["9", "100"]


def test_a_folder_of_scenes_and_their_questions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("scene10", "scene9", "scene11"):
        write_exported(tmp_path / name, scene_row(2))
    (tmp_path / "notes").mkdir()
    lines = [{"question": "How far?", "answer": "2.0"}, {"question": "How many?", "answers": ["3"]}]
    (tmp_path / "scene10" / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    scenes, questions = load_scannet(tmp_path)
    assert scenes["scene_id"][:] == ["scene9", "scene10", "scene11"]
    assert questions.features == QUESTION_FEATURES
    assert questions["question_id"][:] == ["scene10:1", "scene10:2"]
    assert "1 folders are not scenes" in caplog.text
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8), geometry_only_ratio=0.5)
    assert [dataset[row].scene_id for row in range(4)].count("scene10") == 2
    one_file = tmp_path / "all.jsonl"
    one_file.write_text(json.dumps({"scene_id": "scene9", "question": "Where?", "answer": "left"}))
    assert load_scannet(tmp_path, one_file)[1]["scene_id"][:] == ["scene9"]


@pytest.mark.parametrize(
    ("relative", "content", "words"),
    [
        ("intrinsic/intrinsic_color.txt", None, "no such file"),
        ("intrinsic/intrinsic_color.txt", "1 2\n3 4", r"2x2 numbers, not 3x3 or 4x4.*one row of the matrix a line"),
        ("intrinsic/intrinsic_depth.txt", "1 2 x", "not a matrix of numbers"),
        ("intrinsic/extrinsic_color.txt", "0 0 0 0\n" * 4, "singular"),
        ("pose/00001.txt", None, "no such pose file.*2 of 3"),
        ("pose/00001.txt", "1 0 0\n0 1 0\n0 0 1", "3x3 numbers, not 4x4"),
        ("pose/00001.txt", "# 1 0 0 0\n", "0x0 numbers, not 4x4"),
        ("intrinsic/intrinsic_color.txt", "", "0x0 numbers, not 3x3 or 4x4"),
        ("pose/00001.txt", "1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1", "'00001'.*singular"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, relative: str, content: str | None, words: str) -> None:
    folder = write_exported(tmp_path / "scene", scene_row(3))
    if content is None:
        (folder / relative).unlink()
    else:
        (folder / relative).write_text(content)
    with pytest.raises(SpatialDataError, match=words) as caught:
        load_scannet(folder)
    assert str(folder) in str(caught.value)
    if "singular" not in words or "extrinsic" in relative:
        assert relative in str(caught.value)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(SpatialDataError, match="no such folder"):
        load_scannet(tmp_path / "nowhere")
    with pytest.raises(SpatialDataError, match="no scene here"):
        load_scannet(tmp_path)
    (tmp_path / "scene" / "color").mkdir(parents=True)
    with pytest.raises(SpatialDataError, match="no colour image"):
        load_scannet(tmp_path)
    with pytest.raises(ValueError, match="frame_stride=0"):
        load_scannet(tmp_path, frame_stride=0)


def test_colour_and_depth_of_several_resolutions(tmp_path: Path) -> None:
    assert COLOUR_SIZE != (24, 32)
    folder = write_exported(tmp_path / "scene", scene_row(2, depth_size=(12, 16)))
    row = load_scannet(folder)[0].with_format("arrow")[0].to_pylist()[0]
    assert build_example(row, (), 2, (24, 32), "sample").depth_metres.shape == (2, 24, 32)
