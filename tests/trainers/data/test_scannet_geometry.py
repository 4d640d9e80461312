"""Alignment, objects' boxes and proposals from files in ScanNet's formats, against the boxes that were written."""

import json
from pathlib import Path

import numpy as np
import pytest
from scannet_tree import ALIGNMENT, OBJECTS, corners, write_json, write_scan
from scipy import sparse

from igep.trainers.data.ply_vertices import read_ply_vertices
from igep.trainers.data.scannet_geometry import (
    SceneBoxFile,
    align_points,
    box_of_points,
    mask_proposals,
    object_boxes,
    read_axis_alignment,
)
from igep.trainers.data.scenes.spatial_example import SpatialDataError


SCAN = "scene0000_00"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_scan(tmp_path, SCAN)
    return tmp_path / "scans" / SCAN


def files(scan: Path) -> tuple[np.ndarray, Path, Path]:
    vertices = align_points(read_ply_vertices(scan / f"{SCAN}_vh_clean_2.ply"), ALIGNMENT)
    return vertices, scan / f"{SCAN}_vh_clean_2.0.010000.segs.json", scan / f"{SCAN}.aggregation.json"


def test_objects_are_known_by_their_ids(scan: Path) -> None:
    boxes, without_vertex = object_boxes(*files(scan))
    assert [box.object_id for box in boxes] == [0, 1, 3, 7]
    assert without_vertex == []
    for box in boxes:
        label, numbers = OBJECTS[box.object_id]
        assert box.label == label
        np.testing.assert_allclose(box.box, numbers, atol=1e-5)


def test_alignment(scan: Path) -> None:
    np.testing.assert_allclose(read_axis_alignment(scan / f"{SCAN}.txt"), ALIGNMENT)
    (scan / "test.txt").write_text("sceneType = Office\n")
    assert read_axis_alignment(scan / "test.txt") is None
    for values, words in (("1 2 3", "3 numbers"), (" ".join(["nan"] * 16), "0 are finite"), ("one", "not numbers")):
        (scan / "test.txt").write_text(f"axisAlignment = {values}\n")
        with pytest.raises(SpatialDataError, match=words):
            read_axis_alignment(scan / "test.txt")
    with pytest.raises(SpatialDataError, match="no.txt: not readable"):
        read_axis_alignment(scan / "no.txt")


def test_objects_without_a_vertex_are_told(scan: Path) -> None:
    vertices, segments, aggregation = files(scan)
    content = json.loads(aggregation.read_text())
    content["segGroups"][0]["segments"] = [999]
    write_json(aggregation, content)
    boxes, without_vertex = object_boxes(vertices, segments, aggregation)
    assert len(boxes) == 3
    assert without_vertex == [7]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["segGroups"].append(content["segGroups"][0]), "objectId 7 was used before"),
        (lambda content: content["segGroups"][1].pop("label"), r"segGroups\[1\]: lacks"),
        (lambda content: content.pop("segGroups"), "no list `segGroups`"),
    ],
)
def test_bad_aggregation(scan: Path, change, words: str) -> None:
    vertices, segments, aggregation = files(scan)
    content = json.loads(aggregation.read_text())
    change(content)
    write_json(aggregation, content)
    with pytest.raises(SpatialDataError, match=words):
        object_boxes(vertices, segments, aggregation)


def test_segments_of_another_mesh_and_a_file_cut_off(scan: Path) -> None:
    vertices, segments, aggregation = files(scan)
    with pytest.raises(SpatialDataError, match="37 `segIndices` for the 36 vertices"):
        object_boxes(vertices[1:], segments, aggregation)
    segments.write_text(segments.read_text()[:-20])
    with pytest.raises(SpatialDataError, match="cut off"):
        object_boxes(vertices, segments, aggregation)


def test_proposals_in_order_and_empty_masks_counted(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN, masks=[[3], [], [0, 1]])
    vertices = files(tmp_path / "scans" / SCAN)[0]
    mask = tmp_path / "mask" / f"{SCAN}.mask.npz"
    boxes, num_empty = mask_proposals(mask, vertices)
    assert num_empty == 1
    np.testing.assert_allclose(boxes[0], OBJECTS[3][1], atol=1e-5)
    both = box_of_points(np.concatenate([corners(OBJECTS[0][1]), corners(OBJECTS[1][1])]))
    np.testing.assert_allclose(boxes[1], both, atol=1e-5)
    assert len(mask_proposals(mask, vertices, max_proposals=1)[0]) == 1
    with pytest.raises(SpatialDataError, match="masks over 37 vertices, the mesh has 36"):
        mask_proposals(mask, vertices[1:])
    mask.write_bytes(b"not a zip")
    with pytest.raises(SpatialDataError, match="not a sparse matrix"):
        mask_proposals(mask, vertices)


def test_the_first_fifty_masks_propose(tmp_path: Path) -> None:
    write_scan(tmp_path, SCAN, masks=[[3]] * 49 + [[0]] + [[1]] * 10)
    boxes, _ = mask_proposals(tmp_path / "mask" / f"{SCAN}.mask.npz", files(tmp_path / "scans" / SCAN)[0])
    assert len(boxes) == 50
    np.testing.assert_allclose(boxes[-1], OBJECTS[0][1], atol=1e-5)


def test_zeros_that_a_sparse_file_stores_are_not_in_the_mask(tmp_path: Path) -> None:
    vertices = np.array([[0.0, 0, 0], [1, 1, 1], [9, 9, 9]])
    stored = sparse.csr_matrix((np.array([1, 1, 0]), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3))
    sparse.save_npz(tmp_path / "a.npz", stored)
    assert mask_proposals(tmp_path / "a.npz", vertices)[0] == [(0.5, 0.5, 0.5, 1.0, 1.0, 1.0)]


def test_box_files(tmp_path: Path) -> None:
    good = [0, 0, 0, 1, 1, 1]
    path = write_json(tmp_path / "boxes.json", {"scannet/scene0000_00": [good], "scannet/b": []})
    boxes = SceneBoxFile(path)
    assert boxes.boxes("scene0000_00") == [(0, 0, 0, 1, 1, 1)]
    assert boxes.boxes("b") == []
    assert boxes.boxes("scene0001_00") is None
    for bad, words in (
        ([0, 0, float("nan"), 1, 1, 1], "not finite"),
        ([0, 0, 0, 1, -1, 1], "negative size"),
        ([0, 0, 0], "3 numbers"),
        ("box", "no list of numbers"),
    ):
        write_json(tmp_path / "boxes.json", {"scannet/a": [good, bad]})
        with pytest.raises(SpatialDataError, match=rf"boxes\.json, a, box 1.*{words}"):
            SceneBoxFile(path).boxes("a")
