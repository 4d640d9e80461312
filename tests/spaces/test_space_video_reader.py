"""Frames of uploaded videos: the right ones, at the right size and upright; and what is said about unusable files."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import video_decoding
import video_reader
from PIL import Image
from scene_questions import open_scene
from space_server import SPACE, noise_frames, still_frames, write_video
from video_files import damage_packets, encode, moving_frames, trim
from video_reader import LONGEST_SIDE, MAX_BYTES, VideoError, read_video
from waiting import LIMIT_SECONDS


pytest_plugins = ["space_model"]


def numbered_frames(count: int) -> list[np.ndarray]:
    """Frame `n` is grey 4 n."""
    return [np.full((64, 96, 3), 4 * number, np.uint8) for number in range(count)]


def numbers_of(frames: list[Image.Image]) -> list[int]:
    return [round(np.asarray(frame).mean() / 4) for frame in frames]


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(1, [24]), (2, [0, 49]), (3, [0, 24, 49]), (6, [0, 10, 20, 29, 39, 49]), (50, list(range(50)))],
)
def test_frames_are_spread_from_the_first_to_the_last(tmp_path, num_frames, expected):
    video = read_video(write_video(tmp_path / "video.mp4", numbered_frames(50), rate=25), num_frames)
    assert numbers_of(video.frames) == expected
    assert (video.seconds, video.num_video_frames, video.size) == (2.0, 50, (96, 64))
    assert {(frame.mode, frame.size) for frame in video.frames} == {("RGB", (96, 64))}


def test_a_short_video_gives_all_its_frames_once(tmp_path):
    video = read_video(write_video(tmp_path / "video.mp4", numbered_frames(3)), 32)
    assert numbers_of(video.frames) == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".avi", ".MP4"])
def test_other_containers_are_read(tmp_path, suffix):
    video = read_video(write_video(tmp_path / f"video{suffix}", numbered_frames(10)), 2)
    assert numbers_of(video.frames) == [0, 9]


def test_a_frame_keeps_its_colours_and_its_place(tmp_path):
    frames = noise_frames(2)
    video = read_video(write_video(tmp_path / "video.mp4", frames), 2)
    for found, expected in zip(video.frames, frames, strict=True):
        assert np.abs(np.asarray(found, int) - expected).mean() < 8


def test_a_video_recorded_on_its_side_stands_upright(tmp_path):
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:, :48] = (255, 0, 0)  # the left half, which a turn of 90 degrees to the right puts on top
    plain = write_video(tmp_path / "plain.mp4", [frame] * 3)
    # The display matrix in the track header: fixed point numbers of 16.16, and 2.30 in the last column.
    identity, quarter_turn = ((1, 0, 0, 0, 1, 0, 0, 0), (0, 1, 0, -1, 0, 0, 96 - 32, 0))
    content = plain.read_bytes()
    matrices = [b"".join((65536 * at).to_bytes(4, "big", signed=True) for at in m) for m in (identity, quarter_turn)]
    header = content.index(b"tkhd")
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content[:header] + content[header:].replace(matrices[0], matrices[1], 1))
    video = read_video(turned, 1)
    image = video.frames[0]
    assert image.size == video.size == (64, 96)
    pixels = np.asarray(image, int)
    assert (pixels[:40, :, 0] > 200).all()
    assert (pixels[56:, :, 0] < 50).all()


def test_large_frames_are_made_smaller(tmp_path):
    video = read_video(write_video(tmp_path / "video.mp4", still_frames(2, 1080, 1920)), 1)
    assert video.size == (1920, 1080)
    assert video.frames[0].size == (LONGEST_SIDE, 720)


def test_what_came_before_the_end_of_a_cut_video_is_read(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", noise_frames(48)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    video = read_video(tmp_path / "cut.mkv", 4)
    assert len(video.frames) == 4
    assert 10 < video.num_video_frames < 40


def test_damage_is_said(tmp_path):
    path = encode(tmp_path / "video.mp4", moving_frames(100), options={"g": "25"})
    assert read_video(path, 20).damage == ""
    damaged = read_video(damage_packets(path, range(40, 44)), 20)
    assert 10 < len(damaged.frames) <= 20
    assert "are damaged, between 1.7 s and" in damaged.damage
    _, about = open_scene(str(path), 20, tmp_path)
    assert about.startswith("⚠ This video is damaged: ")


def test_a_trimmed_video_is_what_is_left_of_it(tmp_path):
    whole = encode(tmp_path / "whole.mp4", numbered_frames(60), options={"g": "25", "crf": "1"})
    video = read_video(trim(whole, tmp_path / "trimmed.mp4", 31, 50), 3)
    assert numbers_of(video.frames) == [31, 40, 49]
    assert (video.num_video_frames, video.seconds) == (19, pytest.approx(19 / 25))


def test_each_frame_is_decoded_once(tmp_path, monkeypatch):
    path = encode(tmp_path / "video.mp4", moving_frames(100), options={"g": "100"})
    decoded = []
    decode = video_decoding._decoded
    monkeypatch.setattr(
        video_decoding, "_decoded", lambda *given: [frame for frame in decode(*given) if not decoded.append(frame)]
    )
    video_reader._read(str(path), 32, tmp_path)
    assert len(decoded) == 100


def test_a_gif_moves_and_an_image_stands_upright(tmp_path):
    first, *others = map(Image.fromarray, moving_frames(7))
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others, duration=100)
    video = read_video(tmp_path / "clip.gif", 3)
    assert (len(video.frames), video.num_video_frames) == (3, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in (".jpg", ".png", ".webp", ".tiff"):
        Image.new("RGB", (2000, 1000), (200, 0, 0)).save(tmp_path / f"photo{suffix}", exif=exif)
        image = read_video(tmp_path / f"photo{suffix}", 8)
        assert (image.seconds, image.num_video_frames, image.size) == (0, 1, (1000, 2000))
        assert [frame.size for frame in image.frames] == [(640, 1280)]
    _, about = open_scene(str(tmp_path / "photo.png"), 8, tmp_path)
    assert about == "An image of 1000 x 2000. The model sees it and your question, nothing else."


def test_images_that_cannot_be_used_are_explained(tmp_path):
    (tmp_path / "text.png").write_text("This is no image.")
    Image.new("L", (9000, 2)).save(tmp_path / "wide.png")
    Image.fromarray(np.ones((4, 4), np.uint16)).save(tmp_path / "depth.png")
    for name, message in (
        ("text", "not an image that can be read"),
        ("wide", "9000 x 2 pixels"),
        ("depth", "depth map"),
    ):
        with pytest.raises(VideoError, match=message):
            read_video(tmp_path / f"{name}.png", 2)


def test_each_bad_file_is_explained(bad_videos):
    for path, message in bad_videos.items():
        with pytest.raises(VideoError, match=message.replace(".", r"\.")):
            read_video(path, 2)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44_100
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    with pytest.raises(VideoError, match="has no video in it"):
        read_video(tmp_path / "sound.mp4", 2)


def test_other_suffixes_and_large_files_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the file was opened"))
    for name, message in (
        ("video.mp3", r"type \.mp3 are not read"),
        ("model.glb", r"type \.glb are not read"),
        ("video", "without suffix are not read"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(VideoError, match=message):
            read_video(tmp_path / name, 2)
    with (tmp_path / "large.mp4").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(VideoError, match="100 MB; the limit is 100"):
        read_video(tmp_path / "large.mp4", 2)
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path / "gone.mp4", 2)


def test_reading_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    reader = tmp_path / "reader.py"
    reader.write_text("import threading\nthreading.Event().wait()")
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(video_reader, "__file__", str(reader))
    monkeypatch.setattr(video_reader, "READING_SECONDS", 1)
    with pytest.raises(VideoError, match="took longer than 1 s"):
        read_video(write_video(tmp_path / "video.mp4", numbered_frames(2)), 2)
    (process,) = started
    assert process.returncode == -signal.SIGKILL


def test_a_reader_that_nobody_waits_for_is_killed(tmp_path, monkeypatch):
    started, unwanted = [], threading.Event()

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)
            unwanted.set()

    reader = tmp_path / "reader.py"
    reader.write_text("import threading\nthreading.Event().wait()")
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(video_reader, "__file__", str(reader))
    monkeypatch.setattr(video_reader, "READING_SECONDS", 10 * LIMIT_SECONDS)
    with pytest.raises(VideoError):
        read_video(write_video(tmp_path / "video.mp4", numbered_frames(2)), 2, unwanted)
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("crash", ["os.abort()", "raise MemoryError", "print('no JSON'); sys.exit(1)"])
def test_a_reader_that_dies_is_not_the_end(tmp_path, monkeypatch, crash):
    reader = tmp_path / "reader.py"
    reader.write_text(f"import os, sys\n{crash}")
    monkeypatch.setattr(video_reader, "__file__", str(reader))
    with pytest.raises(VideoError, match="cannot be read as a video"):
        read_video(write_video(tmp_path / "video.mp4", numbered_frames(2)), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_the_reader_limits_its_memory(tmp_path):
    limited = "import resource, video_reader; video_reader.main(); print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    path = write_video(tmp_path / "video.mp4", numbered_frames(2))
    command = [sys.executable, "-c", limited, str(path), "2", str(tmp_path)]
    lines = subprocess.run(command, cwd=SPACE, check=True, capture_output=True, text=True).stdout.splitlines()
    assert json.loads(lines[0])["frames"] == 2
    assert int(lines[1]) == video_reader.MEMORY_BYTES


def test_nothing_is_left_behind(tmp_path, monkeypatch, bad_videos):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    read_video(write_video(tmp_path / "video.mp4", numbered_frames(5)), 3)
    for path in bad_videos:
        with pytest.raises(VideoError):
            read_video(path, 2)
    assert list(Path(tmp_path / "temporary").iterdir()) == []


def test_frames_that_a_file_stores_out_of_order_come_back_in_theirs(tmp_path):
    """Cameras write B-frames: a packet may be shown before the one that is stored ahead of it."""
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "bf": "3", "b-adapt": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number, pixels in enumerate(numbered_frames(30)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        stored = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert stored != sorted(stored), "the file must store B-frames for this test to mean anything"
    video = read_video(path, 30)
    assert numbers_of(video.frames) == list(range(30))
    assert video.seconds == pytest.approx(30 / 25)
