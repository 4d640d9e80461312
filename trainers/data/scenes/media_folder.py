"""A folder of videos and images that rows name by relative paths: whether they are there, and the frames of a row."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.scenes.video_frames import VideoError, read_image, read_numbered_frames


class MediaFolder:
    """Videos and images under a folder.

    Args:
        root (`str | Path`): Where relative paths start.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._last_found = ""

    def check(self, where: str, name: str) -> None:
        """Looks whether a video or an image is there, without opening it.

        Args:
            where (`str`): Place of the row, for messages.
            name (`str`): Path.

        Raises:
            SpatialDataError: It is not.
        """
        if name == self._last_found:  # rows about one video mostly follow each other
            return
        if not (self.root / name).exists():
            raise SpatialDataError(
                f"{where}: {name!r} is not in {self.root}. Correct the path, or say where paths start: image_folder."
            )
        self._last_found = name

    def video(self, where: str, name: str, num_frames: int) -> tuple[tuple[str, ...], tuple[Image.Image, ...]]:
        """Reads frames spread evenly over a video, or over a folder of images.

        Args:
            where (`str`): Place of the row, for messages.
            name (`str`): Path.
            num_frames (`int`): Frames wanted; of a shorter video all there are.

        Returns:
            `tuple`: Numbers of the frames in the video as text, and the RGB frames.

        Raises:
            SpatialDataError: It cannot be read.
        """
        try:
            numbered = read_numbered_frames(self.root / name, at_most=num_frames)
        except VideoError as error:
            raise SpatialDataError(f"{where}: {error}") from error
        return tuple(str(number) for number, _ in numbered), tuple(frame for _, frame in numbered)

    def images(self, where: str, names: Sequence[str]) -> tuple[Image.Image, ...]:
        """Reads images.

        Args:
            where (`str`): Place of the row, for messages.
            names (`Sequence[str]`): Paths, in order.

        Returns:
            `tuple[PIL.Image.Image, ...]`: RGB.

        Raises:
            SpatialDataError: One cannot be read.
        """
        try:
            return tuple(read_image(self.root / name) for name in names)
        except VideoError as error:
            raise SpatialDataError(f"{where}: {error}") from error
