"""Files of frames are found whatever the case of their suffix, and what is not read is named."""

from pathlib import Path

import pytest

from igep.trainers.data.scenes.frame_files import find_frame_files, find_matrix_file, visible_files
from igep.trainers.data.scenes.spatial_example import SpatialDataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def test_companions_of_operating_systems_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "1.png")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in visible_files(tmp_path)] == ["0.png", "1.png"]
    assert visible_files(tmp_path / "nowhere") == []


def test_suffixes_of_either_case(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.PNG", "2.Npy")
    found = find_frame_files(tmp_path, ["0", "1", "2", "3"], "depth", (".png", ".npy"))
    assert {name: path.name for name, path in found.items()} == {"0": "0.png", "1": "1.PNG", "2": "2.Npy"}


@pytest.mark.parametrize("names", [("1.exr", "0.exr"), ("0.png", "1.exr"), ("a.exr",), ("0.mat",), ("0",)])
def test_files_that_are_not_read_are_refused_by_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(SpatialDataError, match=rf"{names[-1]}.*depth.*not read.*Convert them to \.png or \.npy"):
        find_frame_files(tmp_path, ["0", "1"], "depth", (".png", ".npy"))


def test_what_is_of_no_frame_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "0.png", "7.png", "notes.md", "0.exr")
    assert list(find_frame_files(tmp_path, ["0"], "depth", (".png",))) == ["0"]
    assert "3 files are of no frame's depth and are left out: 0.exr, notes.md, 7.png" in caplog.text


def test_two_files_of_one_frame(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "0.npy")
    with pytest.raises(SpatialDataError, match=r"0\.npy and 0\.png are two depth files"):
        find_frame_files(tmp_path, ["0"], "depth", (".png", ".npy"))
    # In a folder of other things as well the first suffix counts.
    assert find_frame_files(tmp_path, ["0"], "depth", (".png", ".npy"), ())["0"].name == "0.png"


def test_a_folder_of_other_things_as_well(tmp_path: Path) -> None:
    touch(tmp_path, "0.jpg", "0.json", "notes.md")
    assert find_frame_files(tmp_path, ["0"], "depth", (".png",), (".exr",)) == {}
    touch(tmp_path, "0.EXR")
    with pytest.raises(SpatialDataError, match=r"0\.EXR"):
        find_frame_files(tmp_path, ["0"], "depth", (".png",), (".exr",))


def test_matrices_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "Intrinsic_Color.TXT", "._intrinsic_color.txt", "intrinsic_depth.json")
    assert find_matrix_file(tmp_path, "intrinsic_color").name == "Intrinsic_Color.TXT"
    assert find_matrix_file(tmp_path, "extrinsic_color") is None
    with pytest.raises(SpatialDataError, match=r"intrinsic_depth\.json: a matrix in a file of this type is not read"):
        find_matrix_file(tmp_path, "intrinsic_depth")
    touch(tmp_path, "intrinsic_color.npy")
    with pytest.raises(SpatialDataError, match="two files of one matrix"):
        find_matrix_file(tmp_path, "intrinsic_color")
