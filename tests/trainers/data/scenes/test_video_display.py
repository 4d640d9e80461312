"""Colours of frames on an ordinary screen: closed forms of BT.2100 and BT.1886, and ffmpeg's zscale if installed."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from igep.trainers.data.scenes.video_display import displayed


PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67
WHITE_NITS = 203


def grey_ramp(transfer: ColorTrc, levels: np.ndarray) -> av.VideoFrame:
    """A 10-bit BT.2020 frame whose columns are grey of some signal levels, from 0 to 1."""
    signal = np.zeros((16, len(levels), 3), np.uint16)
    signal[:] = np.round(levels * 65535).astype(np.uint16)[None, :, None]
    frame = av.VideoFrame.from_ndarray(signal, format="rgb48le").reformat(
        format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG
    )
    frame.color_trc, frame.color_primaries = transfer, ColorPrimaries.BT2020
    return frame


def signal_of(light: np.ndarray) -> np.ndarray:
    """The signal, from 0 to 255, by which an ordinary screen shows light from 0 to 1 (BT.1886)."""
    return 255 * light.clip(0, 1) ** (1 / 2.4)


def test_pq_is_shown_relative_to_reference_white():
    levels = np.linspace(0, 1, 64)
    root = levels ** (1 / 78.84375)  # BT.2100, the inverse of PQ's curve
    nits = 1e4 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    shown = np.asarray(displayed(grey_ramp(PQ, levels)), float)[8]
    assert np.abs(shown - signal_of(nits / WHITE_NITS)[:, None]).max() < 4
    assert (shown[levels > 0.6] > 250).all(), "brighter than white is white"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_brighter_light_is_never_shown_darker(transfer: ColorTrc):
    shown = np.asarray(displayed(grey_ramp(transfer, np.linspace(0, 1, 64))), int)[8]
    assert (np.diff(shown, axis=0) >= -1).all()
    assert np.ptp(shown, axis=1).max() <= 2, "grey stays grey"
    assert shown[0].max() <= 2
    assert shown[-1].min() >= 250


def test_ordinary_colours_are_left_as_they_are():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
    np.testing.assert_array_equal(np.asarray(displayed(frame)), noise)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed here")
def test_pq_is_shown_as_zscale_does(tmp_path: Path):
    path, width = tmp_path / "pq.mp4", 256
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, 16, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = PQ, 9, 9, 1
        frame = grey_ramp(PQ, np.linspace(0, 0.55, width))
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux([*stream.encode(frame), *stream.encode()])
    convert = f"zscale=t=linear:npl={WHITE_NITS},format=gbrpf32le,zscale=p=bt709:t=bt709:m=bt709:r=full,format=rgb24"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", convert, "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this ffmpeg has no zscale")
    expected = np.frombuffer(done.stdout, np.uint8).reshape(16, width, 3).astype(int)
    with av.open(str(path)) as container:
        shown = np.asarray(displayed(next(container.decode(video=0))), int)
    assert np.abs(shown - expected).max() <= 4
