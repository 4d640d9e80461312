"""The frames of a video that a saved model is shown, by default as it was trained."""

from pathlib import Path
from typing import Any, Literal

from PIL import Image

from igep.trainers.data.scenes.video_frames import DEFAULT_NUM_FRAMES, read_frames


def read_frames_as_trained(
    video: str | Path,
    usage: dict[str, Any],
    num_frames: int | None,
    frames_as: Literal["video", "images"] | None,
) -> tuple[list[Image.Image], str]:
    """Reads them.

    Args:
        video (`str | Path`): Video file, folder of images or image; see `video_frames.read_frames`.
        usage (`dict`): What `read_usage` says of the model.
        num_frames (`int`, *optional*): Frames to look at; by default as many as the model was trained with, or all
            where there are fewer.
        frames_as (`str`, *optional*): `"video"` or `"images"`; by default a single frame is an image, and more are
            what the model was trained with, or a video.

    Returns:
        `tuple[list[PIL.Image.Image], str]`: The frames, and what they are.

    Raises:
        VideoError: A video that cannot be used.
    """
    # Models of VLM3's tasks alone were trained on single images, which says nothing of videos.
    trained = usage["num_frames"] if "questions" in usage.get("tasks", ()) else DEFAULT_NUM_FRAMES
    frames = read_frames(video, num_frames, at_most=trained)
    if frames_as is None:
        frames_as = "images" if len(frames) == 1 else usage.get("frames_as", "video")
    return frames, frames_as
