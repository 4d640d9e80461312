"""Boxes of scene folders: ScanNet's files in the poses' world, and a file of one's own; what is broken is named."""

import json
import shutil

import numpy as np
import pytest
from scannet_tree import ALIGNMENT, OBJECTS, corners, write_scan

from igep.trainers.data.scene_boxes import scene_boxes
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.data.vlm3.object_boxes import box_axes


def as_points(box):
    """(8, 3) corners of a box of the row schema in its scene's world."""
    return corners((0, 0, 0, *box["size_metres"])) @ box_axes(box).T + np.array(box["centre_metres"])


@pytest.fixture
def scan(tmp_path):
    objects = OBJECTS | {9: ("floor", (0.0, 0.0, 0.0, 8.0, 8.0, 0.1)), 11: ("Wall ", (4.0, 0.0, 1.0, 0.1, 8.0, 2.0))}
    write_scan(tmp_path, "scene0000_00", objects)
    return tmp_path


@pytest.mark.parametrize("beside", [True, False])
def test_scannets_files_beside_or_in_the_folder(scan, beside):
    folder = scan / "posed_images" / "scene0000_00"
    if not beside:
        shutil.copytree(scan / "scans" / "scene0000_00", folder, dirs_exist_ok=True)
        shutil.rmtree(scan / "scans")
    boxes = scene_boxes(folder)
    assert [box["label"] for box in boxes] == [label for label, _ in OBJECTS.values()], "neither floor nor wall"
    scan_from_aligned = np.linalg.inv(ALIGNMENT)
    for box, (_, numbers) in zip(boxes, OBJECTS.values(), strict=True):
        expected = corners(numbers) @ scan_from_aligned[:3, :3].T + scan_from_aligned[:3, 3]
        np.testing.assert_allclose(as_points(box), expected, atol=1e-5)


def test_a_file_of_ones_own_wins_and_trains(scan, caplog):
    folder = scan / "posed_images" / "scene0000_00"
    own = [
        {"label": "chair", "centre_metres": [0, 0, 0.5], "size_metres": [0.5, 0.5, 1]},
        {"label": "desk", "centre_metres": [1, 0, 0.4], "size_metres": [1.5, 0.8, 0.8], "yaw_radians": 0.5},
    ]
    (folder / "boxes.json").write_text(json.dumps(own))
    boxes = scene_boxes(folder)
    assert boxes[0] == {**own[0], "yaw_radians": 0.0}
    assert boxes[1]["yaw_radians"] == 0.5
    options = RowOptions(dataset="scannet", dataset_path=str(folder), task="objects", focal_pixels=None)
    assert options.scene_source().scene_boxes
    rows, _ = load_rows(options, (8, 8), 0, SceneTableCache())
    assert len(rows) == 4
    shutil.rmtree(scan / "scans")
    (folder / "boxes.json").unlink()
    assert scene_boxes(folder) == []
    assert "no boxes of objects: neither boxes.json nor scene0000_00.aggregation.json" in caplog.text


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([1], "entry 0: no `label`"),
        ([{"label": " "}], "entry 0: no `label`"),
        (
            [{"label": "a", "centre_metres": [0, 0], "size_metres": [1, 1, 1]}],
            r"`centre_metres` is \[0, 0\]: give three",
        ),
        ([{"label": "a", "centre_metres": [0, 0, 0], "size_metres": [1, -1, 1]}], "negative size"),
        ([{"label": "a", "centre_metres": [0, 0, 0], "size_metres": [1, 1, "x"]}], "no list of numbers"),
        (
            [{"label": "a", "centre_metres": [0] * 3, "size_metres": [1] * 3, "yaw_radians": None}],
            "`yaw_radians` is None",
        ),
        ({}, "not a list"),
    ],
)
def test_broken_boxes_are_named(tmp_path, entry, message):
    (tmp_path / "boxes.json").write_text(json.dumps(entry))
    with pytest.raises(SpatialDataError, match=message):
        scene_boxes(tmp_path)


def test_scannets_files_in_part_are_an_error(scan):
    (scan / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.ply").unlink()
    with pytest.raises(SpatialDataError, match="scene0000_00_vh_clean_2.ply: not readable"):
        scene_boxes(scan / "posed_images" / "scene0000_00")
