"""Frames of a video file, an image folder or a single image, spread evenly over it; of a video, little more is decoded."""

from bisect import bisect_right
from pathlib import Path

import av
from PIL import Image, ImageOps, UnidentifiedImageError

from igep.trainers.data.scenes.frame_files import visible_files
from igep.trainers.data.scenes.frame_sampling import natural_order, uniform_frame_indices


VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_FORMATS = "mov,matroska,avi,gif"  # no playlist: one may name any other file of this machine
DEFAULT_NUM_FRAMES = 8


class VideoError(ValueError):
    """A video, image folder or image that cannot be used; the message names the file and what to do."""


def read_frames(
    source: str | Path, num_frames: int | None = None, *, at_most: int = DEFAULT_NUM_FRAMES
) -> list[Image.Image]:
    """Read frames spread evenly over a video, the first and the last included.

    Args:
        source (`str | Path`): Video file (mp4, mov, m4v, mkv, webm, avi, gif), folder of images in natural order
            (`frame-2` before `frame-10`), or image file. Turned as its metadata says.
        num_frames (`int`, *optional*): Frames wanted; by default `at_most`, or all where there are fewer.
        at_most (`int`, *optional*, defaults to `8`): See `num_frames`.

    Returns:
        `list[PIL.Image.Image]`: RGB frames in order.

    Raises:
        VideoError: Nothing there, an unsupported or unreadable file, no frames, or fewer frames than wanted.
    """
    return [frame for _, frame in read_numbered_frames(source, num_frames, at_most=at_most)]


def read_numbered_frames(
    source: str | Path, num_frames: int | None = None, *, at_most: int = DEFAULT_NUM_FRAMES
) -> list[tuple[int, Image.Image]]:
    """As `read_frames`, with the places of the frames.

    Args:
        source (`str | Path`): See `read_frames`.
        num_frames (`int`, *optional*): See `read_frames`.
        at_most (`int`, *optional*, defaults to `8`): See `read_frames`.

    Returns:
        `list[tuple[int, PIL.Image.Image]]`: Frames in order, each with its number in the whole video, counted from 0.

    Raises:
        VideoError: See `read_frames`.
    """
    source = Path(source)
    for name, value in (("num_frames", num_frames), ("at_most", at_most)):
        if value is not None and value < 1:
            raise VideoError(f"{name}={value}: ask for at least one frame.")
    if source.is_dir():
        return _folder_frames(source, num_frames, at_most)
    if not source.is_file():
        raise VideoError(f"{source}: no such file or folder. Correct the path.")
    suffix = source.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        _choose(source, 1, num_frames, at_most)
        return [(0, read_image(source))]
    if suffix not in VIDEO_SUFFIXES:
        raise VideoError(
            f"{source}: files of type {suffix or 'without suffix'!r} are not supported. Videos: "
            f"{' '.join(VIDEO_SUFFIXES)}; images: {' '.join(IMAGE_SUFFIXES)}."
        )
    return _video_frames(source, num_frames, at_most)


def read_image(path: str | Path) -> Image.Image:
    """Reads one image.

    Args:
        path (`str | Path`): Image file. Turned as its metadata says.

    Returns:
        `PIL.Image.Image`: RGB.

    Raises:
        VideoError: Not a readable image, or not one of 8-bit colours.
    """
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise VideoError(f"{path}: not a readable image ({error}). Save it again.") from error
    if image.mode[0] in "IF":
        raise VideoError(
            f"{path}: an image of mode {image.mode!r}, such as a depth map. Give 8-bit colour images only."
        )
    return ImageOps.exif_transpose(image).convert("RGB")


def _choose(source: Path, num_available: int, num_frames: int | None, at_most: int) -> list[int]:
    wanted = min(num_available, at_most) if num_frames is None else num_frames
    if num_available < wanted:
        raise VideoError(f"{source}: it has {num_available} frames, {wanted} are asked for. Ask for {num_available}.")
    return uniform_frame_indices(num_available, wanted).tolist()


def _folder_frames(folder: Path, num_frames: int | None, at_most: int) -> list[tuple[int, Image.Image]]:
    files = [path for path in visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        hint = (
            f"give {folder / 'color'}" if (folder / "color").is_dir() else f"images end in {' '.join(IMAGE_SUFFIXES)}"
        )
        raise VideoError(f"{folder}: no frames, there is no image in this folder; {hint}.")
    files.sort(key=lambda path: natural_order(path.name))
    return [(index, read_image(files[index])) for index in _choose(folder, len(files), num_frames, at_most)]


def _video_frames(path: Path, num_frames: int | None, at_most: int) -> list[tuple[int, Image.Image]]:
    times, key_times = _packet_times(path)
    if times:
        numbers = _choose(path, len(times), num_frames, at_most)
        frames = _frames_at(path, [times[number] for number in numbers], key_times)
        if frames is not None:
            return list(zip(numbers, frames, strict=True))
    # What the container states is a guess for some formats, so frames are counted by decoding; keeping them all from that
    # pass would fill the memory with a long video.
    numbers = _choose(path, _count(path), num_frames, at_most)
    wanted, frames = set(numbers), []
    with _open(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frames.append(_upright(frame))
                if len(frames) == len(wanted):
                    break
    return list(zip(numbers, frames, strict=True))


def _packet_times(path: Path) -> tuple[list[int], list[int]]:
    """When the frames of a video are shown, and those of them that can be decoded alone; empty where it does not say so."""
    times, key_times = [], []
    try:
        with _open(path) as container:
            for packet in container.demux(video=0):
                if not packet.size or packet.is_discard:  # the last is empty; others are cut by an edit list
                    continue
                if packet.pts is None or packet.is_corrupt:
                    return [], []
                times.append(packet.pts)
                if packet.is_keyframe:
                    key_times.append(packet.pts)
    except av.FFmpegError:
        return [], []
    return (sorted(times), sorted(key_times)) if len(set(times)) == len(times) else ([], [])


def _frames_at(path: Path, wanted: list[int], key_times: list[int]) -> list[Image.Image] | None:
    """The frames that are shown at some times, in order; `None` if one does not come, so the times were not those of frames."""
    frames: list[Image.Image] = []
    with _open(path) as container:
        stream = container.streams.video[0]
        try:
            decoded = container.decode(stream)
            last = None
            for time in wanted:
                # Decoding goes on from the last frame unless a later one that can be decoded alone is nearer.
                if last is None or bisect_right(key_times, time) > bisect_right(key_times, last):
                    container.seek(time, stream=stream)
                    decoded = container.decode(stream)
                frame = next((frame for frame in decoded if frame.pts is None or frame.pts >= time), None)
                if frame is None or frame.pts != time:
                    return None
                frames.append(_upright(frame))
                last = time
        except av.FFmpegError:
            return None
    return frames


def _upright(frame: av.VideoFrame) -> Image.Image:
    image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _count(path: Path) -> int:
    try:
        with _open(path) as container:
            num_frames = sum(1 for _ in container.decode(video=0))
    except av.FFmpegError as error:
        raise VideoError(f"{path}: damaged, decoding stopped ({error.strerror}). Convert it to mp4 again.") from error
    if num_frames == 0:
        raise VideoError(f"{path}: a video with no frames. Record or export it again.")
    return num_frames


def _open(path: Path) -> av.container.InputContainer:
    try:
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        container = av.open(str(path.absolute()), options={"format_whitelist": VIDEO_FORMATS})
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: not a readable video ({error.strerror}). Convert it to mp4 and try again."
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: no video stream in this file, so no frames. Give a video.")
    container.streams.video[0].thread_type = "AUTO"
    return container
