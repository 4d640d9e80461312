"""Which numbers of a stored depth map are measurements."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from igep.trainers.data.scenes.scene_validation import decode_depth
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.scenes.stored_depth import is_floating_depth, only_measured


@pytest.mark.parametrize(
    ("stored", "measured"),
    [
        (np.array([0, 1, 4720, 32767, 65534, 65535], np.uint16), [0, 1, 4720, 32767, 65534, 0]),
        (np.array([-1, 0, 5, 32766, 32767], np.int16), [0, 0, 5, 32766, 0]),
        (np.array([-5, 7, 70000, 2**31 - 1], np.int32), [0, 7, 70000, 0]),
        (np.array([0, 7, 65535], np.int32), [0, 7, 0]),
        (np.array([0, 7, 32767], np.int64), [0, 7, 0]),
        (np.array([7, 65535, 90000], np.int32), [7, 65535, 90000]),
        (np.array([np.nan, np.inf, -np.inf, -1, -0.0, 1.5, 3.4e38, 1e10], np.float32), [0, 0, 0, 0, 0, 1.5, 0, 0]),
        (np.array([2.5, 1e300, 12.0], np.float64), [2.5, 0, 12]),
        (np.array([2.5, 65504, 12.0], np.float16), [2.5, 0, 12]),
        (np.array([65535, 65.535, 13.107, 16.38375, 655.35, 65.5, 13.1], np.float32), [0, 0, 0, 0, 0, 65.5, 13.1]),
    ],
)
def test_sentinels_are_no_measurement(stored: np.ndarray, measured: list[float]) -> None:
    depth = only_measured(stored[None])
    np.testing.assert_allclose(depth[0], np.array(measured, np.float32), rtol=1e-6)
    assert depth.dtype == (np.uint16 if stored.dtype == np.uint16 else np.float32)


def test_every_form_of_one_map_is_read_alike(tmp_path: Path) -> None:
    metres = np.array([[0.0, 1.25, 2.5], [3.0, 4.75, 0.5]], np.float32)
    units = (metres * 1000).astype(np.uint16)
    Image.fromarray(units).save(tmp_path / "a.png")
    Image.fromarray(units).save(tmp_path / "a.tiff")
    Image.fromarray(units.astype(np.int32)).save(tmp_path / "wide.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 2\n65535\n" + units.astype(">u2").tobytes())
    np.save(tmp_path / "a.npy", units)
    np.save(tmp_path / "channel.npy", units[..., None])
    for name in ("a.png", "a.tiff", "wide.tif", "a.pgm", "a.npy", "channel.npy"):
        np.testing.assert_array_equal(decode_depth("desk", 0, str(tmp_path / name)), units)
        assert not is_floating_depth(tmp_path / name)
    Image.fromarray(metres).save(tmp_path / "metres.tiff")
    np.save(tmp_path / "metres.npy", metres.astype(np.float64))
    for name in ("metres.tiff", "metres.npy"):
        np.testing.assert_array_equal(decode_depth("desk", 0, str(tmp_path / name)), metres)
        entry = {"bytes": (tmp_path / name).read_bytes(), "path": None}
        np.testing.assert_array_equal(decode_depth("desk", 0, entry), metres)
        assert is_floating_depth(tmp_path / name)


@pytest.mark.parametrize("array", [np.ones((2, 3, 3)), np.ones((2, 3), bool), np.ones((2, 3), np.uint8), np.ones(4)])
def test_an_array_that_is_no_depth_map_is_named(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "0.npy"
    np.save(path, array)
    with pytest.raises(SpatialDataError, match=r"'desk', `depth\[3\]` \(.*0\.npy\): an array of shape.*16-bit"):
        decode_depth("desk", 3, str(path))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SpatialDataError, match=r"0\.npy"):
        decode_depth("desk", 3, str(path))
    with pytest.raises(SpatialDataError, match="no such file"):
        decode_depth("desk", 3, str(tmp_path / "1.npy"))


def test_a_turned_depth_map_is_refused() -> None:
    exif, buffer = Image.Exif(), BytesIO()
    exif[0x0112] = 3
    Image.fromarray(np.ones((2, 3), np.uint16)).save(buffer, "PNG", exif=exif)
    with pytest.raises(SpatialDataError, match="EXIF"):
        decode_depth("desk", 0, {"bytes": buffer.getvalue(), "path": None})
