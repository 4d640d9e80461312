"""Frames of a video or an image a stranger uploaded, read in a process of their own that may fail, hang or be killed.

Limits hold before anything is decoded: bytes, seconds, frames and pixels. Packets are counted without decoding them,
so a file with 100,000 frames is refused as quickly as it is read, whatever its header claims.

    python video_reader.py VIDEO NUM_FRAMES FOLDER    # what `read_video` starts; prints one line of JSON
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from space_settings import MOST_READING_SECONDS, whole_number
from video_decoding import Limits, Timeline, VideoFault, read_shown_frames
from video_display import displayed
from work_in_beats import BEAT_SECONDS


MAX_BYTES = 100 * 2**20
MAX_SECONDS = 120
MAX_VIDEO_FRAMES = 7200  # two minutes at 60 frames a second
MAX_PIXELS = 4096 * 2304
MAX_SIDE = 8192
LONGEST_SIDE = 1280  # frames are shown and asked about at most this large
READING_SECONDS = whole_number("READING_SECONDS", 20, MOST_READING_SECONDS)
MEMORY_BYTES = 3 * 2**30
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LIMITS = Limits(MAX_VIDEO_FRAMES, MAX_PIXELS, MAX_SIDE)
FAULTS = {
    "unreadable": "This file is not a video that can be read: it is damaged or not what its name says. Export it as "
    "mp4.",
    "no video": "This file has no video in it, only other streams. Upload a video.",
    "cover": "The only picture in this file is a cover. Upload a video.",
    "no frames": "No frame of this video can be decoded. Record or export it again.",
    "too many frames": f"This video has more than {MAX_VIDEO_FRAMES:,} frames. Upload a shorter clip.",
    "too large": "This video has frames of {detail}; the limit is 4096 x 2304 pixels. Export a smaller one.",
}


class VideoError(ValueError):
    """A video that cannot be used; the message says why and what to do, for the person who uploaded it."""


@dataclass(frozen=True)
class Video:
    """Frames spread evenly over the time of a video, the first and the last included.

    Args:
        frames (`list[PIL.Image.Image]`): RGB, at most `LONGEST_SIDE` pixels long.
        seconds (`float`): Duration; 0 of an image.
        num_video_frames (`int`): Frames of the whole video.
        size (`tuple[int, int]`): Width and height of the video itself, as it is seen: upright.
        frame_numbers (`list[int]`): Of the frames, among all of the video, from 0.
        damage (`str`): What of it cannot be decoded; empty where all can.
    """

    frames: list[Image.Image]
    seconds: float
    num_video_frames: int
    size: tuple[int, int]
    frame_numbers: list[int]
    damage: str


def read_video(path: str | Path, num_frames: int, unwanted: threading.Event | None = None) -> Video:
    """Reads frames of an uploaded file.

    Args:
        path (`str` or `Path`): The file: a video or an image.
        num_frames (`int`): Frames wanted; fewer come back where the video has fewer.
        unwanted (`threading.Event`, *optional*): Is set once nobody wants them any more.

    Returns:
        `Video`

    Raises:
        VideoError: The file is no video, is damaged, is beyond a limit, or is not wanted any more.
    """
    path = Path(path)
    size = path.stat().st_size
    if size == 0:
        raise VideoError("This file is empty. Upload it again.")
    if size > MAX_BYTES:
        raise VideoError(
            f"This file has {size / 2**20:.0f} MB; the limit is {MAX_BYTES // 2**20}. Upload a shorter clip."
        )
    if path.suffix.lower() not in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
        raise VideoError(
            f"Files of type {path.suffix or 'without suffix'} are not read. Use {' '.join(VIDEO_SUFFIXES)}, or an "
            "image."
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), str(path.resolve()), str(num_frames), folder]
        code, printed = _printed_by(command, unwanted or threading.Event())
        if code != 0:
            raise VideoError("This file cannot be read as a video: it is damaged or not what its name says.")
        found = json.loads(printed)
        if "error" in found:
            raise VideoError(found["error"])
        frames = []
        for number in range(found["frames"]):
            with Image.open(Path(folder) / f"{number}.png") as image:
                frames.append(image.convert("RGB"))
    size, numbers = tuple(found["size"]), found["frame_numbers"]
    return Video(frames, found["seconds"], found["num_video_frames"], size, numbers, found["damage"])


def _printed_by(command: list[str], unwanted: threading.Event) -> tuple[int, str]:
    """Exit code and output of a process, which is killed when its time is up or nobody wants it any more."""
    last = time.monotonic() + READING_SECONDS
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while True:
            try:
                printed, _ = process.communicate(timeout=max(0.0, min(BEAT_SECONDS, last - time.monotonic())))
                return process.returncode, printed
            except subprocess.TimeoutExpired as error:
                if not unwanted.is_set() and time.monotonic() < last:
                    continue
                process.kill()
                raise VideoError(
                    f"This video took longer than {READING_SECONDS} s to read. Upload a shorter clip."
                ) from error
            except BaseException:
                process.kill()
                raise


def _read(path: str, num_frames: int, folder: Path) -> dict:
    """What the process of its own does: checks, decodes the frames it was asked for, writes them as files."""
    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        image = _image(path)
        frames, seconds, num_video_frames, size, damage = [image], 0.0, 1, image.size, ""
        frame_numbers = [0]
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    else:
        try:
            found = read_shown_frames(
                path,
                lambda timeline: _num_frames(timeline, num_frames),
                displayed,
                longest_side=LONGEST_SIDE,
                limits=LIMITS,
            )
        except VideoFault as fault:
            raise VideoError(FAULTS[fault.kind].format(detail=fault.detail)) from fault
        frames, seconds, size, damage = found.images, found.timeline.duration_seconds, found.size, found.damage()
        num_video_frames, frame_numbers = len(found.timeline.times), found.numbers
    for number, frame in enumerate(frames):
        frame.save(folder / f"{number}.png", compress_level=1)
    return {
        "frames": len(frames),
        "seconds": seconds,
        "num_video_frames": num_video_frames,
        "size": size,
        "frame_numbers": frame_numbers,
        "damage": damage,
    }


def _num_frames(timeline: Timeline, wanted: int) -> int:
    if timeline.duration_seconds > MAX_SECONDS:
        raise VideoError(
            f"This video is {timeline.duration_seconds:.0f} s long; the limit is {MAX_SECONDS} s. Upload a shorter "
            "clip."
        )
    return min(wanted, len(timeline.times))


def _image(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            LIMITS.check_size(*image.size)
            if image.mode[0] in "IF":
                raise VideoError(
                    "This image has more than 8 bits for a colour, like a depth map. Upload a photograph."
                )
            return ImageOps.exif_transpose(image).convert("RGB")
    except VideoFault as fault:
        raise VideoError(
            f"This image has {fault.detail} pixels; the limit is 4096 x 2304. Upload a smaller one."
        ) from fault
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(
            "This file is not an image that can be read: it is damaged or not what its name says."
        ) from error


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
