"""DepthLM's visual prompt: a red arrow in the image says which pixel is meant, or text does, about the same points."""

import re

from PIL import Image

from igep.trainers.data.row_source import RowSource
from igep.trainers.data.scenes.spatial_example import SpatialExample


ARROW_PIXELS = 5
ARROW_QUESTION = (
    "Given this image, how far is the point pointed by the red arrow from the camera? Output the thinking process in "
    "<think> </think> and final answer (the meter number only, without the unit) in <answer> </answer> tags."
)
RED = (255, 0, 0)


def draw_arrow(frame: Image.Image, column: int, row: int) -> Image.Image:
    """Draws DepthLM's arrow to the left of a pixel, which stays as it is.

    Args:
        frame (`PIL.Image.Image`): RGB image.
        column (`int`): Of the pixel.
        row (`int`): Of the pixel.

    Returns:
        `PIL.Image.Image`: A copy with a red shaft of five pixels and a head of two on either side.

    Raises:
        ValueError: The arrow would leave the image.
    """
    if not has_room(frame.size, column, row):
        raise ValueError(
            f"an arrow to pixel {column} {row} leaves the image of {frame.width} x {frame.height} pixels."
        )
    drawn = frame.copy()
    for away in range(1, ARROW_PIXELS + 1):
        drawn.putpixel((column - away, row), RED)
    for away in range(1, ARROW_PIXELS // 2 + 1):
        drawn.putpixel((column - 1 - away, row - away), RED)
        drawn.putpixel((column - 1 - away, row + away), RED)
    return drawn


def has_room(size: tuple[int, int], column: int, row: int) -> bool:
    """Whether an arrow to a pixel stays inside an image of a width and height."""
    width, height = size
    reach = ARROW_PIXELS // 2
    return ARROW_PIXELS <= column < width and reach <= row < height - reach


class PointedRows:
    """One depth question per image, at a place that an arrow can point to: as text, or with the arrow in the image.

    Args:
        rows (`RowSource`): Depth rows of images whose text pixels are their pixels.
        arrow (`bool`): Draw the arrow and ask without coordinates.
    """

    usage: dict = {}  # nobody else asks these models

    def __init__(self, rows: RowSource, *, arrow: bool):
        self._rows, self._arrow = rows, arrow
        self.sample_ids = rows.sample_ids
        self.task = f"metric depth of a pixel named by {'an arrow' if arrow else 'text'}"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> SpatialExample:
        return self.example(row, 0)

    def example(self, row: int, draw: int) -> SpatialExample:
        """The row's first question whose pixel an arrow can point to.

        Raises:
            ValueError: It has none.
        """
        example = self._rows.example(row, draw)
        (frame,) = example.frames
        for place, (question, answer) in enumerate(example.conversation):
            column, line = (int(number) for number in re.search(r"\((\d+), (\d+)\)", question).groups())
            if has_room(frame.size, column, line):
                shown = draw_arrow(frame, column, line) if self._arrow else frame
                return SpatialExample(
                    sample_id=example.sample_id,
                    scene_id=example.scene_id,
                    frame_ids=example.frame_ids,
                    frames=(shown,),
                    depth_metres=None,
                    intrinsics=None,
                    world_from_camera=None,
                    conversation=((ARROW_QUESTION if self._arrow else question, answer),),
                    question_types=(example.question_types[place],),
                    references=(example.references[place],),
                )
        raise ValueError(f"{example.sample_id}: no arrow can point to any of its {len(example.conversation)} places.")
