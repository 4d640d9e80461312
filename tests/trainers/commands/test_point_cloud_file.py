"""Point clouds are written as they are, read back by trimesh, and refused before work where they cannot be written."""

import numpy as np
import pytest
import trimesh

from igep.trainers.commands.point_cloud_file import (
    CAMERA_METRES,
    PATH_COLOUR,
    PATH_STEP_METRES,
    PointCloud,
    check_point_cloud_file,
    confident_points,
    save_point_cloud,
)


def a_cloud(frames: int = 3) -> PointCloud:
    generator = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = np.arange(frames) * 0.5
    intrinsics = np.tile([[40.0, 0, 20], [0, 40, 10], [0, 0, 1]], (frames, 1, 1))
    points = generator.normal(size=(50, 3)) + [0, 0, 3]
    return PointCloud(points, generator.integers(0, 256, (50, 3), dtype=np.uint8), poses, intrinsics, (20, 40))


def test_a_ply_holds_the_points_and_then_the_path(tmp_path):
    cloud = a_cloud()
    save_point_cloud(tmp_path / "new" / "scene.ply", cloud)
    found = trimesh.load(tmp_path / "new" / "scene.ply")
    np.testing.assert_allclose(found.vertices[:50], cloud.points_metres, atol=1e-6)
    np.testing.assert_array_equal(found.colors[:50, :3], cloud.colours)
    path = found.vertices[50:]
    assert len(path) == round(1 / PATH_STEP_METRES) + 2
    np.testing.assert_allclose(path[[0, -1]], [[0, 0, 0], [1, 0, 0]], atol=1e-6)
    assert (found.colors[50:] == PATH_COLOUR).all()
    assert not list((tmp_path / "new").glob("*.part"))


def test_a_glb_holds_points_path_and_cameras_with_y_up(tmp_path):
    cloud = a_cloud()
    save_point_cloud(tmp_path / "scene.glb", cloud)
    save_point_cloud(tmp_path / "scene.glb", cloud)  # replaced: who calls has asked
    found = trimesh.load(tmp_path / "scene.glb")
    assert set(found.geometry) == {"points", "camera_path", "cameras"}

    def in_world(name):
        transform, geometry = found.graph.get(name)
        return trimesh.transform_points(found.geometry[geometry].vertices, transform)

    turned = cloud.points_metres * [1, -1, -1]
    np.testing.assert_allclose(in_world("points"), turned, atol=1e-6)
    assert {tuple(one) for one in in_world("camera_path").round(6)} == {(0, 0, 0), (0.5, 0, 0), (1, 0, 0)}
    corners = {tuple(one) for one in in_world("cameras").round(6)}
    half = CAMERA_METRES * 20 / 40
    assert {(-half, 0.025, -CAMERA_METRES), (0, 0, 0), (1 + half, -0.025, -CAMERA_METRES)} <= corners
    share = cloud.colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(found.geometry["points"].colors[:, :3], 255 * linear, atol=0.5)


def test_one_camera_has_no_path(tmp_path):
    save_point_cloud(tmp_path / "scene.glb", a_cloud(1))
    assert set(trimesh.load(tmp_path / "scene.glb").geometry) == {"points", "cameras"}
    save_point_cloud(tmp_path / "scene.ply", a_cloud(1))
    assert len(trimesh.load(tmp_path / "scene.ply").vertices) == 50


def test_the_most_confident_points_are_kept():
    points = np.arange(30.0).reshape(2, 5, 3)
    colours = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)
    confidence = np.array([[5.0, 1, 4, 1, 3], [2, 9, np.nan, 8, 1]])
    points[0, 0] = np.inf
    kept, coloured = confident_points(points, colours, confidence, 0.5, 100)
    np.testing.assert_array_equal(kept, [points[0, 2], points[0, 4], points[1, 1], points[1, 3]])
    np.testing.assert_array_equal(coloured, [colours[0, 2], colours[0, 4], colours[1, 1], colours[1, 3]])
    kept, _ = confident_points(points, colours, confidence, 0.5, 2)
    np.testing.assert_array_equal(kept, [points[0, 2], points[1, 3]])
    assert len(confident_points(points, colours, confidence, 1, 100)[0]) == 8
    for keep, most, message in ((0, 5, "keep=0"), (1.5, 5, "keep=1.5"), (1, 0, "points=0")):
        with pytest.raises(ValueError, match=message):
            confident_points(points, colours, confidence, keep, most)
    with pytest.raises(ValueError, match="not one point is finite"):
        confident_points(points * np.nan, colours, confidence, 1, 5)


def test_files_that_cannot_be_written_are_named(tmp_path):
    there = tmp_path / "scene.GLB"
    check_point_cloud_file(tmp_path / "new" / "deep" / "scene.ply", overwrite=False)
    check_point_cloud_file(there, overwrite=False)
    there.write_bytes(b"")
    check_point_cloud_file(there, overwrite=True)
    for path, error, message in (
        (there, FileExistsError, "give --overwrite"),
        (tmp_path / "scene.obj", ValueError, r"\.glb or \.ply"),
        (tmp_path / "scene", ValueError, r"\.glb or \.ply"),
        (there / "scene.ply", NotADirectoryError, "is a file and no folder"),
    ):
        with pytest.raises(error, match=message):
            check_point_cloud_file(path, overwrite=False)
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(FileExistsError, match="is a folder"):
        check_point_cloud_file(tmp_path / "folder.ply", overwrite=True)
