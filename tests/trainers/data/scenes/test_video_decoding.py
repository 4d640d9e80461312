"""Frames of videos as players show them: every container and every trick of theirs, against ffmpeg's own frames."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video_files import damage_packets, encode, moving_frames, set_display_matrix, trim

from igep.trainers.data.scenes import video_decoding
from igep.trainers.data.scenes.video_decoding import (
    Limits,
    ShownFrames,
    VideoFault,
    evenly_in_time,
    read_shown_frames,
)
from igep.trainers.data.scenes.video_display import ORIENTATIONS, displayed
from igep.trainers.package_files import SPACE


GROUPS = {"g": "12", "bf": "3"}


def shown(path: Path, count: int | None = None, **options: object) -> ShownFrames:
    return read_shown_frames(path, lambda timeline: count or len(timeline.times), displayed, **options)


def pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image, int) for image in images])


def places(images: list[Image.Image], of: list[np.ndarray]) -> list[int]:
    """Which of the frames that were written each image is."""
    return [int(np.argmin([np.abs(np.asarray(image, int) - frame).mean() for frame in of])) for image in images]


# ---- What a player shows


def without_times(folder: Path) -> Path:
    return encode(folder / "video.avi", moving_frames(40), options=GROUPS)


def fragmented(folder: Path) -> Path:
    return encode(
        folder / "video.mp4",
        moving_frames(40),
        options=GROUPS,
        container={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    )


def trimmed(folder: Path) -> Path:
    whole = encode(folder / "whole.mp4", moving_frames(60), options={"g": "25", "bf": "2"})
    return trim(whole, folder / "video.mp4", 31, 55)


def irregular(folder: Path) -> Path:
    times = [*range(0, 9000, 1000), *range(9000, 10000, 20)]
    return encode(folder / "video.mkv", moving_frames(len(times)), milliseconds=times)


def hidden_frames(folder: Path) -> Path:
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "30"}
    return encode(folder / "video.webm", moving_frames(50), "libvpx", options=options)


def turned(folder: Path) -> Path:
    return set_display_matrix(encode(folder / "video.mp4", moving_frames(5)), (0, 1, -1, 0))


def image_sequence(folder: Path) -> Path:
    first, *others = map(Image.fromarray, moving_frames(7))
    first.save(folder / "video.gif", save_all=True, append_images=others, duration=[100, 100, 700, 100, 100, 50, 100])
    return folder / "video.gif"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed here")
@pytest.mark.parametrize(
    "write", [without_times, fragmented, trimmed, irregular, hidden_frames, turned, image_sequence]
)
def test_all_frames_are_those_of_ffmpeg(tmp_path: Path, write) -> None:
    path = write(tmp_path)
    found = shown(path)
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
    ]
    raw = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    expected = np.frombuffer(raw, np.uint8).reshape(-1, *pixels(found.images).shape[1:])
    assert len(expected) == len(found.images) >= 5
    assert np.abs(pixels(found.images) - expected).mean() < 1
    assert not found.damaged


@pytest.mark.parametrize("count", [1, 2, 5, 17])
@pytest.mark.parametrize("write", [without_times, fragmented, trimmed, irregular, hidden_frames])
def test_some_frames_are_those_of_all(tmp_path: Path, write, count: int) -> None:
    path = write(tmp_path)
    every, some = shown(path), shown(path, count)
    assert some.numbers == evenly_in_time(every.timeline.times, count)
    assert some.timeline.times == every.timeline.times
    np.testing.assert_array_equal(pixels(some.images), pixels([every.images[number] for number in some.numbers]))


def test_what_an_edit_list_cuts_away_is_not_shown(tmp_path: Path) -> None:
    found = shown(trimmed(tmp_path))
    assert places(found.images, moving_frames(60)) == [number % 64 for number in range(31, 55)]
    assert found.timeline.duration_seconds == pytest.approx(24 / 25)


def test_frames_are_spread_over_time(tmp_path: Path) -> None:
    found = shown(irregular(tmp_path), 10)
    assert found.numbers[:9] == list(range(9))
    assert [found.timeline.seconds(number) for number in found.numbers[:9]] == pytest.approx(range(9))
    assert found.timeline.duration_seconds == pytest.approx(10)


def test_avi_with_frames_out_of_order_has_times(tmp_path: Path) -> None:
    times = [*range(0, 9000, 1000), *range(9000, 10000, 20)]
    found = shown(encode(tmp_path / "video.avi", moving_frames(len(times)), options=GROUPS, milliseconds=times), 10)
    # True but for the two frames that are decoded ahead of where the rate changes.
    assert [found.timeline.seconds(number) for number in range(9)] == pytest.approx(range(9))
    assert found.numbers[-2] < 12, "and not spread over the 50 frames of the last second"
    assert found.timeline.duration_seconds == pytest.approx(10, abs=2.1)


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_all_eight_display_matrices(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """A white quarter at the top left and a grey one at the top right, which go where the matrix sends them."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32], frame[:24, 32:] = 255, 128
    path = set_display_matrix(encode(tmp_path / "video.mp4", [frame] * 3), matrix)
    image = np.asarray(shown(path, 1).images[0], int).mean(-1)
    a, b, c, d = matrix
    assert image.shape == ((48, 64) if a else (64, 48))

    def level(x: int, y: int) -> float:
        """Of the quarter in which a place, from -1 to 1, is shown."""
        column, row = a * x + c * y, b * x + d * y
        return image[round((row + 1) / 2 * (image.shape[0] - 1)), round((column + 1) / 2 * (image.shape[1] - 1))]

    assert (level(-1, -1), level(1, -1), level(-1, 1), level(1, 1)) == pytest.approx((255, 128, 0, 0), abs=12)


@pytest.mark.parametrize(("aspect", "size"), [((4, 3), (85, 48)), ((2, 3), (64, 72)), ((1, 1), (64, 48))])
def test_pixels_are_square(tmp_path: Path, aspect: tuple[int, int], size: tuple[int, int]) -> None:
    found = shown(encode(tmp_path / "video.mp4", moving_frames(3), pixel_aspect=Fraction(*aspect)), 2)
    assert found.size == found.images[0].size == size


def test_pixels_are_stretched_before_a_frame_is_turned(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", moving_frames(3), pixel_aspect=Fraction(4, 3))
    assert shown(set_display_matrix(path, (0, 1, -1, 0))).size == (48, 85)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    parts = [
        encode(tmp_path / f"{size[0]}.webm", moving_frames(10, size), "libvpx", options={"g": "5"})
        for size in ((48, 64), (96, 128))
    ]
    with av.open(str(tmp_path / "video.webm"), "w") as target:
        stream = None
        for place, part in enumerate(parts):
            with av.open(str(part)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.pts is not None:
                        packet.pts = packet.dts = packet.pts + 400 * place
                        packet.stream = stream
                        target.mux(packet)
    found = shown(tmp_path / "video.webm")
    assert len(found.images) == 20
    assert {image.size for image in found.images} == {(64, 48)}


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", moving_frames(8))
    with av.open(str(path)) as source, av.open(str(tmp_path / "both.mp4"), "w") as target:
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copied = target.add_stream_from_template(source.streams.video[0])
        picture = av.VideoFrame.from_ndarray(np.full((480, 640, 3), 200, np.uint8), format="rgb24")
        target.mux(cover.encode(picture))
        target.mux(cover.encode())
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.stream = copied
                target.mux(packet)
    found = shown(tmp_path / "both.mp4")
    assert (len(found.images), found.size) == (8, (64, 48))


# ---- Damage


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx265", ".mp4"), ("mpeg4", ".avi")])
def test_damage_in_the_middle_is_said_and_no_frame_of_it_is_shown(tmp_path: Path, codec: str, suffix: str) -> None:
    options = {"g": "25", "x265-params": "log-level=0:keyint=25"} if codec == "libx265" else {"g": "25", "bf": "2"}
    written = moving_frames(100, (96, 128))
    path = encode(tmp_path / f"video{suffix}", written, codec, options=options)
    sound = shown(path)
    damage_packets(path, range(40, 44))
    found = shown(path, 50)
    assert found.damaged
    assert all(35 < number < 51 for number in found.damaged), "the rest of the group, and no more"
    assert len(set(found.numbers)) == len(found.numbers)
    difference = np.abs(pixels(found.images) - pixels([sound.images[number] for number in found.numbers]))
    assert difference.mean(axis=(1, 2, 3)).max() < 1
    assert f"{len(found.damaged)} of the frames to be read are damaged, between 1." in found.damage()


def test_what_came_before_the_end_of_a_cut_file_is_a_video(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mkv", moving_frames(48), options={"g": "12"}).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    found = shown(tmp_path / "cut.mkv", 4)
    assert len(found.images) == 4
    assert 10 < len(found.timeline.times) < 40


def test_little_of_a_long_video_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "video.mp4", moving_frames(250), options={"g": "10"})
    decoded = []
    decode = video_decoding._decoded

    def counted(*given: object) -> list | None:
        frames = decode(*given)
        decoded.extend(frames or ())
        return frames

    monkeypatch.setattr(video_decoding, "_decoded", counted)
    assert shown(path, 3).numbers == [0, 124, 249]
    assert len(decoded) < 80
    decoded.clear()
    shown(path, 250)
    assert len(decoded) == 250, "once each"


# ---- Limits and faults


def test_limits_hold(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", moving_frames(8))
    limits = {"frames": 8, "pixels": 64 * 48, "side": 64}
    assert len(shown(path, limits=Limits(**limits)).images) == 8
    for name, kind in (("frames", "too many frames"), ("pixels", "too large"), ("side", "too large")):
        with pytest.raises(VideoFault) as caught:
            shown(path, limits=Limits(**limits | {name: limits[name] - 1}))
        assert caught.value.kind == kind
    assert {image.size for image in shown(path, longest_side=32).images} == {(32, 24)}
    assert shown(path, longest_side=32).size == (64, 48)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "unreadable"), (b"not a video", "unreadable"), (b"ffconcat version 1.0\n", "unreadable")],
)
def test_what_is_no_video(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(VideoFault) as caught:
        shown(tmp_path / "video.mp4")
    assert caught.value.kind == kind


# ---- Moments


@given(st.lists(st.integers(1, 1000), max_size=60), st.data())
def test_moments_are_those_of_different_frames_in_order(intervals: list[int], data: st.DataObject) -> None:
    times = np.cumsum([0, *intervals]).tolist()
    count = data.draw(st.integers(1, len(times)))
    numbers = evenly_in_time(times, count)
    assert len(numbers) == count
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 0
    assert numbers[-1] < len(times)
    if count > 1:
        assert numbers[0] == 0
        assert numbers[-1] == len(times) - 1


@given(st.integers(2, 500), st.integers(2, 64))
def test_at_a_constant_rate_numbers_are_spread_evenly(available: int, count: int) -> None:
    count = min(count, available)
    exact = np.linspace(0, available - 1, count)
    assert np.abs(evenly_in_time([40 * number for number in range(available)], count) - exact).max() < 0.5 + 1e-3


def test_a_frame_that_is_shown_for_long_is_taken_at_its_time() -> None:
    assert evenly_in_time([0, 10, 20, 30, 900, 910, 920], 3) == [0, 3, 6]


# ---- The Space


@pytest.mark.parametrize("name", ["video_decoding.py", "video_display.py"])
def test_the_space_has_the_same_file(name: str) -> None:
    package = Path(video_decoding.__file__).with_name(name)
    assert (SPACE / name).read_bytes() == package.read_bytes(), f"copy {package} to {SPACE}"
