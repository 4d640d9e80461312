"""Frames of a video file, an image folder or a single image, spread evenly over it, as a player shows them."""

import logging
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from igep.trainers.data.scenes.frame_files import visible_files
from igep.trainers.data.scenes.frame_sampling import natural_order, uniform_frame_indices
from igep.trainers.data.scenes.video_decoding import Timeline, VideoFault, read_shown_frames
from igep.trainers.data.scenes.video_display import displayed


VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DEFAULT_NUM_FRAMES = 8
FAULTS = {
    "unreadable": "not a readable video ({detail}). Convert it to mp4 and try again.",
    "no video": "no video stream in this file, so no frames. Give a video.",
    "cover": "the only picture in this file is a cover, so it has no frames. Give a video.",
    "no frames": "a video with no frames. Record or export it again.",
}
logger = logging.getLogger(__name__)


class VideoError(ValueError):
    """A video, image folder or image that cannot be used; the message names the file and what to do."""


def read_frames(
    source: str | Path, num_frames: int | None = None, *, at_most: int = DEFAULT_NUM_FRAMES
) -> list[Image.Image]:
    """Read frames spread evenly over the time of a video, the first and the last included.

    Args:
        source (`str | Path`): Video file (mp4, mov, m4v, mkv, webm, avi, gif), of which frames are those that a player
            shows; folder of images in natural order (`frame-2` before `frame-10`); or image file, turned as its
            metadata says. A damaged video gives the sound frames near those that cannot be decoded, and a warning.
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
        _num_chosen(source, 1, num_frames, at_most)
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


def _num_chosen(source: Path, num_available: int, num_frames: int | None, at_most: int) -> int:
    wanted = min(num_available, at_most) if num_frames is None else num_frames
    if num_available < wanted:
        raise VideoError(f"{source}: it has {num_available} frames, {wanted} are asked for. Ask for {num_available}.")
    return wanted


def _folder_frames(folder: Path, num_frames: int | None, at_most: int) -> list[tuple[int, Image.Image]]:
    files = [path for path in visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        hint = (
            f"give {folder / 'color'}" if (folder / "color").is_dir() else f"images end in {' '.join(IMAGE_SUFFIXES)}"
        )
        raise VideoError(f"{folder}: no frames, there is no image in this folder; {hint}.")
    files.sort(key=lambda path: natural_order(path.name))
    indices = uniform_frame_indices(len(files), _num_chosen(folder, len(files), num_frames, at_most))
    return [(index, read_image(files[index])) for index in indices.tolist()]


def _video_frames(path: Path, num_frames: int | None, at_most: int) -> list[tuple[int, Image.Image]]:
    def choose(timeline: Timeline) -> int:
        return _num_chosen(path, len(timeline.times), num_frames, at_most)

    try:
        found = read_shown_frames(path, choose, displayed)
    except VideoFault as fault:
        raise VideoError(f"{path}: {FAULTS[fault.kind].format(detail=fault.detail)}") from fault
    if found.damaged:
        if num_frames is not None and len(found.images) < num_frames:
            raise VideoError(
                f"{path}: {found.damage()}, and there are only {len(found.images)}. Cut the damage out or export it "
                "again."
            )
        logger.warning("%s: %s.", path, found.damage())
    return list(zip(found.numbers, found.images, strict=True))
