"""Descriptors on disk: they come back by scene, frame and transform, and what is missing is named."""

import pytest
import torch
from teacher_geometry import SIZE, make_geometry

from igep.trainers.supervision.precomputed_teacher import PrecomputedTeacher, write_descriptors
from igep.trainers.supervision.teacher import TeacherGeometry


def test_precomputed_round_trip_by_scene_frame_and_transform(tmp_path):
    geometry = make_geometry(torch.ones(2, 3, SIZE, SIZE), torch.tensor([[True] * 3, [True, True, False]]))
    geometry = TeacherGeometry(**(vars(geometry) | {"frame_ids": [["2", "0", "1"], ["1", "0"]]}))
    written = torch.randn(2, 3, 4, 5, 6)
    for sample, scene_id in enumerate(geometry.scene_ids):
        write_descriptors(tmp_path, scene_id, ["0", "1"], written[sample, :2])
        write_descriptors(tmp_path, scene_id, ["2"], written[sample, 2:])  # added to the same file
        write_descriptors(tmp_path, scene_id, ["0"], torch.zeros(1, 4, 5, 6), transform="flip")
    teacher = PrecomputedTeacher(tmp_path, open_files=1)
    assert teacher.channels == 6
    for _ in range(2):
        descriptors = teacher(None, geometry)
        assert torch.equal(descriptors[0], written[0, [2, 0, 1]])
        assert torch.equal(descriptors[1, :2], written[1, [1, 0]])
        assert (descriptors[1, 2] == 0).all()
    assert not list(tmp_path.glob("*.part"))


def test_precomputed_scene_ids_cannot_leave_the_folder(tmp_path):
    path = write_descriptors(tmp_path / "store", "../../etc/passwd", ["0"], torch.zeros(1, 2, 2, 3))
    assert path.parent == tmp_path / "store"


def test_precomputed_missing_entries_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="igep describe"):
        PrecomputedTeacher(tmp_path)
    write_descriptors(tmp_path, "scene 0", ["0"], torch.zeros(1, 2, 2, 3))
    geometry = make_geometry(torch.ones(1, 2, SIZE, SIZE))
    with pytest.raises(KeyError, match="'1/resize'.*frame '1' of scene 'scene 0'"):
        PrecomputedTeacher(tmp_path)(None, geometry)
    with pytest.raises(KeyError, match="transform 'flip'"):
        PrecomputedTeacher(tmp_path, transform="flip")(None, geometry)
    with pytest.raises(FileNotFoundError, match="scene 'other'"):
        PrecomputedTeacher(tmp_path)(None, TeacherGeometry(**(vars(geometry) | {"scene_ids": ["other"]})))


def test_bad_descriptors_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"\(2, 2, 3\) for 1 frames"):
        write_descriptors(tmp_path, "scene", ["0"], torch.zeros(2, 2, 3))
    with pytest.raises(ValueError, match="not all finite"):
        write_descriptors(tmp_path, "scene", ["0"], torch.full((1, 2, 2, 3), torch.nan))
    assert not list(tmp_path.iterdir())
