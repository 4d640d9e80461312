"""Scenes without intrinsics train once a calibrator tells their field of view."""

import shutil

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from scene_folders import scene_row, write_exported, write_flat
from tiny_depth_pro import save_tiny_depth_pro

from igep.calibrator import load_calibrator
from igep.focal_unification import intrinsics_from_field_of_view
from igep.trainers.data.calibrated_scenes import CALIBRATION_FRAMES, calibrated_scenes
from igep.trainers.data.load_scenes import SceneSource, load_scenes
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows


def test_the_median_of_some_frames_for_all_and_the_rest_as_it_was(caplog):
    unknown = scene_row(9, "unknown") | {"intrinsics": []}
    scenes = Dataset.from_list([scene_row(2, "known"), unknown], features=SCENE_FEATURES)
    answers = iter([50.0, 90.0, 170.0, 90.0, 20.0])
    found = calibrated_scenes(scenes, lambda frame: next(answers))
    assert next(answers, None) is None
    assert CALIBRATION_FRAMES == 5
    assert found.features == scenes.features
    expected = intrinsics_from_field_of_view((48, 64), 90.0)
    np.testing.assert_allclose(np.array(found[1]["intrinsics"]), np.broadcast_to(expected, (9, 3, 3)))
    assert found[0]["intrinsics"] == scenes[0]["intrinsics"]
    assert found["scene_id"][:] == ["known", "unknown"]
    assert (
        "1 of 2 scenes have no intrinsics: the calibrator estimates a horizontal field of view of 90.0" in caplog.text
    )
    known = Dataset.from_list([scene_row(2, "known")], features=SCENE_FEATURES)
    assert calibrated_scenes(known, lambda frame: 1 / 0) is known


def test_an_export_without_intrinsics_trains_with_a_calibrator(tmp_path):
    folder = write_exported(tmp_path / "phone", scene_row(3, "phone"))
    shutil.rmtree(folder / "intrinsic")
    with pytest.raises(
        SpatialDataError, match="intrinsic_color.txt: no such file.*set calibrator to a depth model.*apple"
    ):
        load_scenes(SceneSource(dataset="scannet", dataset_path=str(folder)))
    depth_pro = save_tiny_depth_pro(tmp_path / "depth_pro")
    options = RowOptions(
        dataset="scannet", dataset_path=str(folder), task="depth", calibrator=depth_pro, focal_pixels=100.0
    )
    rows, _ = load_rows(options, (12, 16), 0, SceneTableCache())
    first = Image.open(folder / "color" / "00000.jpg")
    focal = intrinsics_from_field_of_view((48, 64), load_calibrator(depth_pro)(first))[0, 0]
    assert rows[0].frames[0].width == pytest.approx(64 * 100 / focal, rel=0.05)
    assert rows[0].conversation


def test_one_folder_without_intrinsics_trains_with_a_calibrator(tmp_path, caplog):
    for name in ("phone", "tablet"):
        (write_flat(tmp_path / "scenes" / name, scene_row(3, name)) / "intrinsic.txt").unlink()
    write_flat(tmp_path / "scenes" / "known", scene_row(2, "known"))
    (tmp_path / "scenes" / "notes").mkdir()
    (tmp_path / "scenes" / "preview.jpg").touch()  # beside the scenes, and none
    source = SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scenes"))
    scenes, _ = load_scenes(source)
    assert scenes["scene_id"][:] == ["known"]
    assert "3 folders are not scenes and are left out: notes, phone, tablet" in caplog.text
    with pytest.raises(SpatialDataError, match="no scene here.*not needed with a calibrator"):
        load_scenes(SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scenes" / "phone")))
    depth_pro = save_tiny_depth_pro(tmp_path / "depth_pro")
    source.calibrator = depth_pro
    scenes, _ = load_scenes(source)
    assert scenes["scene_id"][:] == ["known", "phone", "tablet"]
    assert np.array(scenes[1]["intrinsics"]).shape == (3, 3, 3)
    alone, _ = load_scenes(
        SceneSource(dataset="scannet", dataset_path=str(tmp_path / "scenes" / "phone"), calibrator=depth_pro)
    )
    assert alone[0]["intrinsics"] == scenes[1]["intrinsics"]


def test_fy_of_zero_in_a_file_is_fx(tmp_path):
    folder = write_flat(tmp_path / "desk", scene_row(2))
    np.savetxt(folder / "intrinsic.txt", [[60.0, 0, 31], [0, 0, 25], [0, 0, 1]])
    scenes, _ = load_scenes(SceneSource(dataset="scannet", dataset_path=str(folder)))
    assert np.array(scenes[0]["intrinsics"])[:, 1, 1].tolist() == [60.0, 60.0]
