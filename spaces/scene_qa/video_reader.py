"""Frames of a video that a stranger uploaded, read in a process of their own that may fail, hang or be killed.

Limits hold before anything is decoded: bytes, seconds, frames and pixels. Packets are counted without decoding them, so
a file with 100,000 frames is refused as quickly as it is read, whatever its header claims.

    python video_reader.py VIDEO NUM_FRAMES FOLDER    # what `read_video` starts; prints one line of JSON
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image


MAX_BYTES = 100 * 2**20
MAX_SECONDS = 120
MAX_VIDEO_FRAMES = 7200  # two minutes at 60 frames a second
MAX_PIXELS = 4096 * 2304
MAX_SIDE = 8192
LONGEST_SIDE = 1280  # frames are shown and asked about at most this large
READING_SECONDS = int(os.environ.get("READING_SECONDS", "20"))
MEMORY_BYTES = 3 * 2**30
FORMATS = "mov,matroska,avi"  # no playlist: one may name any other file of this machine
SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")


class VideoError(ValueError):
    """A video that cannot be used; the message says why and what to do, for the person who uploaded it."""


@dataclass(frozen=True)
class Video:
    """Frames spread evenly over a video, the first and the last included.

    Args:
        frames (`list[PIL.Image.Image]`): RGB, at most `LONGEST_SIDE` pixels long.
        seconds (`float`): Duration.
        num_video_frames (`int`): Frames of the whole video.
        size (`tuple[int, int]`): Width and height of the video itself, as it is seen: upright.
    """

    frames: list[Image.Image]
    seconds: float
    num_video_frames: int
    size: tuple[int, int]


def read_video(path: str | Path, num_frames: int) -> Video:
    """Reads frames of an uploaded file.

    Args:
        path (`str` or `Path`): The file.
        num_frames (`int`): Frames wanted; fewer come back where the video has fewer.

    Returns:
        `Video`

    Raises:
        VideoError: The file is no video, is damaged, or is beyond a limit.
    """
    path = Path(path)
    size = path.stat().st_size
    if size == 0:
        raise VideoError("This file is empty. Upload it again.")
    if size > MAX_BYTES:
        raise VideoError(
            f"This file has {size / 2**20:.0f} MB; the limit is {MAX_BYTES // 2**20}. Upload a shorter clip."
        )
    if path.suffix.lower() not in SUFFIXES:
        raise VideoError(f"Files of type {path.suffix or 'without suffix'} are not read. Use {' '.join(SUFFIXES)}.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), str(path.resolve()), str(num_frames), folder]
        try:
            done = subprocess.run(command, capture_output=True, timeout=READING_SECONDS, check=False, text=True)
        except subprocess.TimeoutExpired as error:
            raise VideoError(
                f"This video took longer than {READING_SECONDS} s to read. Upload a shorter clip."
            ) from error
        if done.returncode != 0:
            raise VideoError("This file cannot be read as a video: it is damaged or not what its name says.")
        found = json.loads(done.stdout)
        if "error" in found:
            raise VideoError(found["error"])
        frames = []
        for number in range(found["frames"]):
            with Image.open(Path(folder) / f"{number}.png") as image:
                frames.append(image.convert("RGB"))
    return Video(frames, found["seconds"], found["num_video_frames"], tuple(found["size"]))


def _read(path: str, num_frames: int, folder: Path) -> dict:
    """What the process of its own does: counts, checks, decodes the frames it was asked for, writes them as files."""
    with _open(path) as container:
        stream = _stream(container)
        width, height = stream.codec_context.width, stream.codec_context.height
        _check_size(width, height)
        times = _packet_times(container, stream)
        seconds = _seconds(times, stream)
    wanted = _spread(times, num_frames)
    # A file of many frames is entered near each wanted frame; the decoder starts at the key frame before it.
    with _open(path) as container:
        stream = _stream(container)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        written, size = 0, None
        for time in wanted:
            if (frame := _frame_at(container, stream, time)) is None:
                continue
            _check_size(frame.width, frame.height)
            image = frame.to_image()
            if frame.rotation:
                image = image.rotate(frame.rotation, expand=True)
            size = image.size
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            image.save(folder / f"{written}.png", compress_level=1)
            written += 1
    if written == 0:
        raise VideoError("No frame of this video can be decoded: it is damaged. Export it again.")
    return {"frames": written, "seconds": seconds, "num_video_frames": len(times), "size": size}


def _open(path: str) -> av.container.InputContainer:
    try:
        return av.open(path, options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
    except av.FFmpegError as error:
        raise VideoError(
            "This file is not a video that can be read: it is damaged or not what its name says. Export it as mp4."
        ) from error


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise VideoError("This file has no video in it, only other streams. Upload a video.")
    return container.streams.video[0]


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise VideoError("This video does not say how large its frames are: it is damaged. Export it again.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise VideoError(
            f"This video has frames of {width} x {height}; the limit is 4096 x 2304 pixels. Export a smaller one."
        )


def _packet_times(container: av.container.InputContainer, stream: av.VideoStream) -> list[int]:
    """Presentation times of all packets, in order, without decoding one."""
    times = []
    try:
        for packet in container.demux(stream):
            if packet.pts is not None and packet.size:
                times.append(packet.pts)
            if len(times) > MAX_VIDEO_FRAMES:
                raise VideoError(f"This video has more than {MAX_VIDEO_FRAMES:,} frames. Upload a shorter clip.")
    except av.FFmpegError as error:
        if not times:  # else: the file ends too early, and what came before is a video all the same
            raise VideoError("This video is damaged: nothing in it can be read. Export it again.") from error
    if not times:
        raise VideoError("This video has no frames. Record or export it again.")
    return sorted(times)


def _seconds(times: list[int], stream: av.VideoStream) -> float:
    rate = float(stream.average_rate or 0)
    seconds = float((times[-1] - times[0]) * stream.time_base) + (1 / rate if rate else 0)
    if seconds > MAX_SECONDS:
        raise VideoError(f"This video is {seconds:.0f} s long; the limit is {MAX_SECONDS} s. Upload a shorter clip.")
    return seconds


def _spread(times: list[int], num_frames: int) -> list[int]:
    count = min(num_frames, len(times))
    if count == 1:
        return [times[0]]
    return [times[round(number * (len(times) - 1) / (count - 1))] for number in range(count)]


def _frame_at(container: av.container.InputContainer, stream: av.VideoStream, time: int) -> av.VideoFrame | None:
    """The frame shown at a time, or the last one that can be decoded before it."""
    before = None
    try:
        container.seek(time, stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts >= time:
                return frame
            before = frame
    except av.FFmpegError:
        return before
    return before


def main() -> None:
    path, num_frames, folder = sys.argv[1:]
    if sys.platform == "linux":  # elsewhere, as on a laptop, the time limit alone holds
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (READING_SECONDS, READING_SECONDS))
        os.nice(5)  # the page answers first
    try:
        found = _read(path, int(num_frames), Path(folder))
    except VideoError as error:
        found = {"error": str(error)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
