import numpy as np
import pytest
from PIL import Image

from igep.trainers.experiments.arrow_questions import draw_arrow


def test_the_arrow_points_at_a_pixel_that_it_leaves():
    frame = Image.new("RGB", (20, 12), "white")
    drawn = np.asarray(draw_arrow(frame, 9, 5))
    red = {(column, row) for row, column in zip(*np.nonzero((drawn == (255, 0, 0)).all(-1)), strict=True)}
    shaft = {(9 - away, 5) for away in range(1, 6)}
    assert red == shaft | {(7, 4), (7, 6), (6, 3), (6, 7)}
    assert np.asarray(frame).all(), "the frame itself is untouched"
    for outside in ((4, 5), (9, 1), (9, 10), (20, 5)):
        with pytest.raises(ValueError, match="leaves the image of 20 x 12"):
            draw_arrow(frame, *outside)
