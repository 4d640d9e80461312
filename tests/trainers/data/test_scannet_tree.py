"""Scenes of a miniature download: poses and boxes in the aligned world, missing parts are noted, broken ones named."""

from pathlib import Path

import numpy as np
import pytest
from scannet_tree import ALIGNMENT, OBJECTS, write_json, write_scan
from scene_folders import camera_path, scene_row, write_exported

from igep.trainers.data.scannet_tree import ScanNetTree
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import SpatialDataError


SCAN = "scene0000_00"


def test_a_scan_with_everything(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN)
    scene = ScanNetTree(tmp_path).read(SCAN)
    assert scene.notes == []
    assert scene.object_ids == list(OBJECTS)
    validate_scene(scene.row)
    np.testing.assert_allclose(scene.row["world_from_camera"], camera_path(4), atol=1e-5)
    for entry, (label, box) in zip(scene.row["boxes"], OBJECTS.values(), strict=True):
        assert entry["label"] == label
        np.testing.assert_allclose(entry["centre_metres"] + entry["size_metres"], box, atol=1e-5)
    np.testing.assert_allclose(scene.proposals, [box for _, box in OBJECTS.values()], atol=1e-5)


def test_frames_alone_are_a_scene(tmp_path: Path) -> None:
    write_exported(tmp_path / "scans" / SCAN, scene_row(3))
    scene = ScanNetTree(tmp_path).read(SCAN)
    assert scene.row["boxes"] == []
    assert scene.object_ids == scene.proposals == []
    assert [note.split(":")[0] for note in scene.notes] == ["no axisAlignment", "no boxes of objects", "no proposals"]


def test_a_scan_that_is_not_aligned(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN, alignment=None)
    scene = ScanNetTree(tmp_path).read(SCAN)
    np.testing.assert_allclose(scene.row["world_from_camera"], camera_path(4), atol=1e-6)
    assert scene.notes[0].startswith("no axisAlignment")


@pytest.mark.parametrize("folder", ["metadata", "../metadata"])
def test_box_files_of_the_peers_stand_in_for_meshes(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "scannet"
    write_exported(root / "posed_images" / SCAN, scene_row(3))
    boxes = [[0, 0, 0, 1, 1, 1], [1, 1, 1, 2, 2, 2]]
    write_json(root / folder / "scannet_train_gt_box.json", {f"scannet/{SCAN}": boxes})
    write_json(root / folder / "scannet_val_pred_box.json", {f"scannet/{SCAN}": boxes[:1]})
    scene = ScanNetTree(root).read(SCAN)
    assert scene.object_ids == [0, 1]
    assert [entry["centre_metres"] for entry in scene.row["boxes"]] == [[0, 0, 0], [1, 1, 1]]
    assert scene.proposals == [(0, 0, 0, 1, 1, 1)]


def test_given_box_files_come_before_meshes_and_masks(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN)
    path = write_json(tmp_path / "own.json", {f"scannet/{SCAN}": [[0, 0, 0, 1, 1, 1]]})
    scene = ScanNetTree(tmp_path, path, path).read(SCAN)
    assert scene.object_ids == [0]
    assert scene.proposals == [(0, 0, 0, 1, 1, 1)]


def test_empty_proposals_are_noted(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN, masks=[[], []])
    scene = ScanNetTree(tmp_path).read(SCAN)
    assert scene.proposals == []
    assert scene.notes == ["empty masks, which propose nothing: 2", "its masks propose nothing at all"]


def test_frames_without_a_pose_are_left_out_before_alignment(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN)
    np.savetxt(tmp_path / "posed_images" / SCAN / "00001.txt", np.full((4, 4), -np.inf))
    scene = ScanNetTree(tmp_path).read(SCAN)
    assert scene.row["frame_ids"] == ["00000", "00002", "00003"]
    assert np.isfinite(scene.row["world_from_camera"]).all()


def test_names_of_scans(tmp_path: Path) -> None:
    for name in ("scene0010_00", "scene0002_00"):
        write_scan(tmp_path, name)
    write_exported(tmp_path / "scans" / "scene0003_00", scene_row(3))
    (tmp_path / "posed_images" / "notes").mkdir()
    assert ScanNetTree(tmp_path).scene_ids() == ["scene0002_00", "scene0003_00", "scene0010_00"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpatialDataError, match="no such folder"):
        ScanNetTree(tmp_path / "none")
    with pytest.raises(SpatialDataError, match="no scan with frames"):
        ScanNetTree(tmp_path).scene_ids()
    write_scan(tmp_path, SCAN)
    with pytest.raises(SpatialDataError, match="scene0009_00: no frames of this scan"):
        ScanNetTree(tmp_path).read("scene0009_00")
    (tmp_path / "scans" / SCAN / f"{SCAN}_vh_clean_2.ply").unlink()
    with pytest.raises(SpatialDataError, match=rf"{SCAN}_vh_clean_2\.ply: not readable"):
        ScanNetTree(tmp_path).read(SCAN)


def test_alignment_is_rigid_here() -> None:
    np.testing.assert_allclose(ALIGNMENT[:3, :3] @ ALIGNMENT[:3, :3].T, np.eye(3), atol=1e-12)
