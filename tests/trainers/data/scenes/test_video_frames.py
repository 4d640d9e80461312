"""Real video and image files, written here: the right frames in the right order, upright, and clear errors."""

import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video_files import SIZE, damage_packets, encode, moving_frames, write_video

from igep.trainers.data.scenes.video_frames import VideoError, read_frames


def level(image: Image.Image) -> float:
    return float(np.asarray(image, dtype=np.float64).mean())


def write_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", SIZE[::-1], (20 * number,) * 3).save(folder / name)
    return folder


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".mkv"])
def test_video_frames_are_spread_evenly(tmp_path: Path, suffix: str) -> None:
    frames = read_frames(write_video(tmp_path / f"clip{suffix}", 21), 5)
    assert [round(level(frame) / 10) for frame in frames] == [0, 5, 10, 15, 20]
    assert all(frame.mode == "RGB" and frame.size == SIZE[::-1] for frame in frames)


def test_a_colon_in_the_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip.mp4", 3).rename(tmp_path / "http:clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_frames("http:clip.mp4")) == 3


def test_a_playlist_named_as_a_video_opens_no_other_file(tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4", 3)
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(VideoError, match="not a readable video"):
        read_frames(tmp_path / "clip.mp4")


def test_gif(tmp_path: Path) -> None:
    images = [Image.new("L", SIZE[::-1], 20 * number) for number in range(7)]
    images[0].save(tmp_path / "clip.gif", save_all=True, append_images=images[1:], duration=100)
    assert [round(level(frame) / 20) for frame in read_frames(tmp_path / "clip.gif", 3)] == [0, 3, 6]


def test_all_frames_or_eight_by_default(tmp_path: Path) -> None:
    assert len(read_frames(write_video(tmp_path / "long.mp4", 20))) == 8
    assert len(read_frames(write_video(tmp_path / "short.mp4", 3))) == 3


def test_images_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", ["frame-2.png", "frame-10.PNG", "frame-1.jpg"])
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._frame-1.jpg").write_bytes(b"what a Mac's archive holds beside each file")
    assert [round(level(frame) / 20) for frame in read_frames(folder, 3)] == [2, 0, 1]


def test_a_single_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "frames", ["a.png"])
    assert len(read_frames(folder / "a.png")) == 1
    with pytest.raises(VideoError, match="1 frames, 4 are asked for"):
        read_frames(folder / "a.png", 4)


def test_a_phone_video_is_turned_upright(tmp_path: Path) -> None:
    """The track header's matrix says: turn by 90 degrees clockwise for display."""
    picture = np.zeros((*SIZE, 3), dtype=np.uint8)
    picture[:16, :24] = 255  # bright top left corner: after the turn it is top right
    path = write_video(tmp_path / "clip.mp4", 2, picture)
    data = bytearray(path.read_bytes())
    identity = b"".join(value.to_bytes(4, "big") for value in (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
    turned = (0, 65536, 0, 2**32 - 65536, 0, 0, 0, 0, 1 << 30)
    start = data.index(identity, data.index(b"tkhd"))
    data[start : start + 36] = b"".join(value.to_bytes(4, "big") for value in turned)
    path.write_bytes(data)
    frame = np.asarray(read_frames(path, 1)[0]).mean(-1)
    assert frame.shape == SIZE[::-1]
    assert frame[:24, 16:].mean() > 200
    assert frame[:24, :16].mean() < 50
    assert frame[24:].mean() < 50


def test_an_image_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_frames(tmp_path / "a.jpg")[0].size == (20, 40)


def test_bad_input_is_named(tmp_path: Path) -> None:
    def refused(path: Path, words: str, num_frames: int | None = None) -> None:
        with pytest.raises(VideoError, match=words) as caught:
            read_frames(path, num_frames)
        assert str(path) in str(caught.value) or num_frames == 0

    refused(tmp_path / "nowhere.mp4", "no such file")
    (tmp_path / "clip.mp4").write_text("not a video")
    refused(tmp_path / "clip.mp4", "not a readable video")
    write_video(tmp_path / "recording.ts", 5).rename(tmp_path / "recording.mp4")
    refused(tmp_path / "recording.mp4", "it is no mp4, mov, mkv, webm, avi or gif inside.*Convert it to mp4")
    (tmp_path / "clip.xyz").write_text("?")
    refused(tmp_path / "clip.xyz", "'.xyz' are not supported.*mp4")
    (tmp_path / "a.png").write_text("not an image")
    refused(tmp_path / "a.png", "not a readable image")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no frames")
    (tmp_path / "scan" / "color").mkdir(parents=True)
    refused(tmp_path / "scan", "give .*color")
    refused(write_video(tmp_path / "short.mp4", 3), "it has 3 frames, 4 are asked for", 4)
    refused(tmp_path / "short.mp4", "at least one", 0)
    Image.fromarray(np.ones((4, 4), np.uint16)).save(tmp_path / "depth.png")
    refused(tmp_path / "depth.png", "depth map")


def test_a_video_without_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(VideoError, match="no video stream"):
        read_frames(tmp_path / "sound.mp4")
    write_video(tmp_path / "cut.avi", 0)
    with pytest.raises(VideoError, match=r"cut\.avi.*no frames"):
        read_frames(tmp_path / "cut.avi")


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "clip.mp4", moving_frames(50), options={"g": "25"})
    damage_packets(path, range(12, 14))
    assert len(read_frames(path, 5)) == 5
    assert re.search(r"clip\.mp4: 2 of the frames to be read are damaged, between 0\.5 s and 1\.0 s", caplog.text)
    with pytest.raises(VideoError, match=r"damaged.*there are only \d+\. Cut the damage out"):
        read_frames(path, 50)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4v"), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 200, np.uint8), format="rgb24")
        container.mux([*cover.encode(picture), *cover.encode()])
    with pytest.raises(VideoError, match=r"song\.m4v: the only picture in this file is a cover"):
        read_frames(tmp_path / "song.m4v")


def test_a_damaged_video_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    path = write_video(tmp_path / "clip.mkv", 12, noise)
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(VideoError, match=r"clip\.mkv"):
        read_frames(path)
