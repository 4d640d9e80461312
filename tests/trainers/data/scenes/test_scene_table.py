"""Reading some frames of a scene gives the row with these frames, whatever else the row holds."""

import numpy as np
import pytest
from datasets import Dataset
from scene_folders import camera_path, scene_row

from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError


def table(*rows):
    return SceneTable(Dataset.from_list(list(rows), features=SCENE_FEATURES))


def test_frames_are_taken_in_the_order_asked_for():
    rows = [scene_row(3, "a"), scene_row(5, "b")]
    scene = validate_scene(table(*rows).row(1, [4, 0]))
    assert scene.scene_id == "b"
    assert scene.frame_ids == ["00004", "00000"]
    np.testing.assert_array_equal(scene.world_from_camera, camera_path(5)[[4, 0]])
    assert len(scene.frames) == len(scene.depth) == len(scene.intrinsics) == 2
    assert scene.boxes == rows[1]["boxes"]
    assert table(*rows).frame_ids(0) == ["00000", "00001", "00002"]


def test_rows_of_a_selection_are_its_own():
    scenes = Dataset.from_list([scene_row(2, name) for name in "abc"], features=SCENE_FEATURES).select([2, 0])
    read = SceneTable(scenes)
    assert read.scene_ids == ["c", "a"]
    assert read.row(0, [1])["scene_id"] == "c"


def test_empty_lists_stay_empty():
    row = table(scene_row(3) | {"depth": [], "world_from_camera": [], "depth_intrinsics": []}).row(0, [1])
    assert row["depth"] == row["world_from_camera"] == row["depth_intrinsics"] == []


def test_usable_frames_have_poses_that_are_not_lost():
    poses = camera_path(5)
    poses[[0, 2], 0, 3] = np.nan, np.inf
    poses[4] = 0
    rows = [scene_row(5, "a") | {"world_from_camera": poses.tolist()}, scene_row(3, "b") | {"world_from_camera": []}]
    read = table(*rows)
    assert read.usable_frames(0).tolist() == [1, 3]
    assert read.usable_frames(1).tolist() == [0, 1, 2]


def test_scenes_whose_only_geometry_is_depth_are_named():
    posed, flat = scene_row(2, "posed"), scene_row(2, "flat") | {"depth": [], "world_from_camera": []}
    unmeasured = scene_row(2, "unmeasured") | {"depth": [None, None], "world_from_camera": []}
    alone = [scene_row(2, name) | {"world_from_camera": []} for name in ("first", "last")]
    partly, broken = ({**alone[0], "scene_id": name} for name in ("partly", "broken"))
    partly["depth"] = [None, partly["depth"][1]]
    broken["depth"] = broken["depth"][:1]
    assert table(alone[0], posed, flat, unmeasured, partly, broken, alone[1]).with_depth_alone() == [0, 6]
    assert table(*[posed | {"scene_id": str(k)} for k in range(300)], alone[1]).with_depth_alone() == [300]


def test_lists_of_different_lengths_are_named():
    broken = scene_row(3)
    broken["frame_ids"] = broken["frame_ids"][:2]
    with pytest.raises(SpatialDataError, match="'desk': 2 `frame_ids` for 3 `frames`"):
        table(broken).row(0, [0])


def test_messages_name_the_places_in_the_stored_scene():
    broken = scene_row(4)
    broken["intrinsics"][3] = np.diag([-5.0, 5, 1]).tolist()
    read = table(broken)
    assert read.scene(0, [0, 2]).frame_numbers == [0, 2]
    with pytest.raises(SpatialDataError, match=r"`intrinsics\[3\]` has focal lengths -5.0"):
        read.scene(0, [2, 3])


def test_fy_of_zero_is_fx_in_stored_rows_as_in_lines_and_flags():
    row = scene_row(2)
    row["depth_intrinsics"] = [[[50.0, 0, 32], [0, 0.0, 24], [0, 0, 1]]] * 2
    row["intrinsics"] = [[[60.0, 0, 31], [0, 0.0, 25], [0, 0, 1]]] * 2
    scene = table(row).scene(0, [0, 1])
    assert scene.intrinsics[:, [0, 1], [0, 1]].tolist() == [[60.0, 60.0]] * 2
    assert scene.depth_intrinsics[:, [0, 1], [0, 1]].tolist() == [[50.0, 50.0]] * 2
    row["intrinsics"] = [[[0.0, 0, 31], [0, 60.0, 25], [0, 0, 1]]] * 2
    with pytest.raises(SpatialDataError, match="focal lengths 0.0 and 60.0"):
        table(row).scene(0, [0])


def test_names_of_frames_that_come_twice_are_refused():
    broken = scene_row(3)
    broken["frame_ids"] = ["a", "b", "a"]
    with pytest.raises(SpatialDataError, match="'desk': `frame_ids` has 'a' twice"):
        table(broken).frame_ids(0)
