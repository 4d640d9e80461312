"""Every way to break the contract of a scene row is refused, and the message says which field of which scene."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import scene_row

from igep.trainers.data.scenes.scene_validation import decode_depth, decode_frame, validate_scene
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.scenes.video_frames import read_image


NAN = float("nan")
MIRRORED = np.diag([-1.0, 1, 1, 1]).tolist()
SINGULAR = np.diag([1.0, 1, 0, 1]).tolist()
SHIFTED = np.eye(4)
SHIFTED[0, 3] = 2.0


def test_a_right_row_becomes_arrays() -> None:
    scene = validate_scene(scene_row(4))
    assert scene.intrinsics.shape == (4, 3, 3)
    assert scene.world_from_camera.shape == (4, 4, 4)
    assert scene.valid_frames.tolist() == [0, 1, 2, 3]
    assert scene.depth_intrinsics is None
    assert scene.colour_from_depth is None


def test_frames_whose_pose_is_lost_are_not_valid() -> None:
    row = scene_row(6)
    row["world_from_camera"][1] = [[-np.inf] * 4] * 4
    row["world_from_camera"][3][0][3] = NAN
    row["world_from_camera"][4] = [[0.0] * 4] * 4
    row["world_from_camera"][5] = [[0.0] * 4] * 3 + [[0.0, 0.0, 0.0, 1.0]]
    assert validate_scene(row).valid_frames.tolist() == [0, 2]


def test_a_scene_of_colour_alone_is_valid() -> None:
    empty = {"depth": [], "intrinsics": [], "world_from_camera": [], "boxes": [], "depth_kind": None}
    scene = validate_scene({**scene_row(2), **empty, "metres_per_depth_unit": None})
    assert scene.depth is None
    assert scene.intrinsics is None
    assert scene.world_from_camera is None


def test_an_identity_between_the_cameras_needs_no_depth_camera() -> None:
    assert validate_scene({**scene_row(1), "colour_from_depth": np.eye(4).tolist()}).colour_from_depth is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene_id": ""}, ["scene_id"]),
        ({"frames": []}, ["`frames` is empty"]),
        ({"frames": [None, None]}, ["frames[0]", "None"]),
        ({"frame_ids": ["a"]}, ["1 `frame_ids` for 2"]),
        ({"frame_ids": ["a", "a"]}, ["'a' twice"]),
        ({"depth": [None]}, ["1 `depth` maps for 2", "None where it is missing"]),
        ({"metres_per_depth_unit": 0.0}, ["metres_per_depth_unit", "0.0", "0.001"]),
        ({"metres_per_depth_unit": NAN}, ["metres_per_depth_unit", "nan"]),
        ({"metres_per_depth_unit": None}, ["metres_per_depth_unit", "None"]),
        ({"depth_kind": "disparity"}, ["depth_kind", "'disparity'", "euclidean"]),
        ({"intrinsics": [np.eye(4).tolist()] * 2}, ["`intrinsics`", "(4, 4)", "(3, 3)"]),
        ({"intrinsics": [np.eye(3).tolist()]}, ["1 `intrinsics` for 2"]),
        ({"intrinsics": [np.eye(3).tolist(), [[1.0]]]}, ["`intrinsics`", "different shapes"]),
        ({"intrinsics": [np.diag([5.0, -5, 1]).tolist()] * 2}, ["intrinsics[0]", "-5.0", "positive"]),
        ({"intrinsics": [np.full((3, 3), NAN).tolist()] * 2}, ["intrinsics[0]", "not finite"]),
        ({"intrinsics": [[[5.0, 0, 0], [0, 5, 0], [3, 3, 1]]] * 2}, ["intrinsics[0]", "transposed"]),
        ({"depth_intrinsics": [np.diag([0.0, 5, 1]).tolist()] * 2}, ["depth_intrinsics[0]", "positive"]),
        ({"intrinsics": [], "depth_intrinsics": [np.eye(3).tolist()] * 2}, ["without `intrinsics`"]),
        ({"intrinsics": [], "depth_kind": "euclidean"}, ["euclidean", "needs `intrinsics`"]),
        ({"colour_from_depth": SHIFTED.tolist()}, ["colour_from_depth", "without `depth_intrinsics`"]),
        ({"colour_from_depth": SINGULAR}, ["colour_from_depth", "singular"]),
        ({"world_from_camera": [np.eye(4).tolist()]}, ["1 `world_from_camera` for 2"]),
        ({"world_from_camera": [np.eye(4).tolist(), SINGULAR]}, ["world_from_camera[1]", "'00001'", "singular"]),
        ({"world_from_camera": [MIRRORED] * 2}, ["world_from_camera[0]", "mirrors"]),
        ({"world_from_camera": [SHIFTED.T.tolist()] * 2}, ["world_from_camera[0]", "transposed"]),
        ({"world_from_camera": [np.eye(3).tolist()] * 2}, ["world_from_camera", "(3, 3)", "(4, 4)"]),
    ],
)
def test_bad_fields_are_named(changes: dict, words: list[str]) -> None:
    with pytest.raises(SpatialDataError) as caught:
        validate_scene({**scene_row(2), **changes})
    for word in words:
        assert word in str(caught.value)
    if changes.get("scene_id") != "":
        assert "desk" in str(caught.value)


def test_frames_become_rgb() -> None:
    frame = decode_frame("desk", 0, Image.new("RGBA", (4, 3), (10, 20, 30, 0)))
    assert frame.mode == "RGB"
    assert frame.getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "WEBP", "TIFF"])
def test_the_orientation_tag_means_one_thing_in_every_format(tmp_path: Path, form: str) -> None:
    """A scene refuses it, because its intrinsics speak of one of two images; what is asked about is turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 16, 3), dtype=np.uint8))
    path = tmp_path / "turned"
    more = {"save_all": True, "append_images": [picture]} if form == "MPO" else {}
    picture.save(path, form, exif=exif, **more)
    for entry in (str(path), {"bytes": path.read_bytes(), "path": None}):
        with pytest.raises(SpatialDataError, match="EXIF"):
            decode_frame("desk", 7, entry)
    assert read_image(path).size == (8, 16)
    exif[0x0112] = 1
    picture.save(path, form, exif=exif, **more)
    assert decode_frame("desk", 7, str(path)).size == read_image(path).size == (16, 8)


def test_bad_images_are_named(tmp_path: Path) -> None:
    missing, text, turned = tmp_path / "missing.jpg", tmp_path / "text.jpg", tmp_path / "turned.jpg"
    text.write_text("not an image")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3)).save(turned, exif=exif)
    sixteen_bit = Image.fromarray(np.ones((3, 4), dtype=np.uint16))
    cut = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:400])
    for entry, words in [
        (str(missing), "no such file"),
        ({"bytes": None, "path": str(text)}, "not a readable image"),
        (str(turned), "EXIF"),
        (str(cut), "not a readable image"),
        (sixteen_bit, "depth map"),
    ]:
        with pytest.raises(SpatialDataError, match=words) as caught:
            decode_frame("desk", 7, entry)
        assert "'desk', `frames[7]`" in str(caught.value)
        if isinstance(entry, str):
            assert entry in str(caught.value)
    with pytest.raises(SpatialDataError, match=r"depth\[7\].*'RGB'.*16-bit"):
        decode_depth("desk", 7, Image.new("RGB", (4, 3)))
