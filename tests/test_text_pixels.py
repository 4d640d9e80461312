"""Text pixels against the released checkpoints' numbers, and back within half a step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igep.text_pixels import boxes_from_text, inside_image, pixels_from_text, text_from_boxes, text_from_pixels


SIDES = st.integers(1, 5000)
STEPS = st.integers(1, 5000)
SHARES = st.floats(0, 1)


@pytest.mark.parametrize(("column_row", "expected"), [((10, 488), (16, 1061)), ((1182, 773), (1946, 1680))])
def test_numbers_of_the_released_prompts(column_row, expected):
    pixel_centre = np.array(column_row) + 0.5
    assert tuple(text_from_pixels(pixel_centre, (920, 1215))) == expected


def test_corners_and_clamping():
    assert text_from_pixels([[0, 0], [0.5, 0.5], [40, 20]], (20, 40), 2000).tolist() == [[0, 0], [0, 0], [1975, 1950]]
    assert text_from_pixels([8000, 8000], (8000, 8000), 1000).tolist() == [999, 999]
    assert pixels_from_text([0, 0], (20, 40)).tolist() == [0.5, 0.5]
    assert text_from_boxes([0, 0, 40, 20], (20, 40)).tolist() == [0, 0, 999, 999]


@given(SIDES, SIDES, STEPS, SHARES, SHARES)
def test_a_point_comes_back_within_half_a_step(height, width, steps, share_x, share_y):
    extent = np.array([width, height])
    # From the centre of the first pixel to the last place that is not clamped.
    last = np.minimum(extent - 0.5, (steps - 0.5) * extent / steps + 0.5 - 1e-6)
    pixels = np.minimum(0.5 + np.array([share_x, share_y]) * (extent - 1), last)
    back = pixels_from_text(text_from_pixels(pixels, (height, width), steps), (height, width), steps)
    assert (np.abs(back - pixels) <= extent / steps / 2 + 1e-9).all()


@given(SIDES, SIDES, STEPS, SHARES, SHARES)
def test_any_point_of_the_image_comes_back_within_a_step_and_half_a_pixel(height, width, steps, share_x, share_y):
    extent = np.array([width, height])
    pixels = np.array([share_x, share_y]) * extent
    back = pixels_from_text(text_from_pixels(pixels, (height, width), steps), (height, width), steps)
    assert (np.abs(back - pixels) <= extent / steps + 0.5 + 1e-9).all()
    assert inside_image(back, (height, width))


@given(SIDES, SIDES, STEPS, st.data())
def test_numbers_come_back_unchanged(height, width, steps, data):
    text = np.array([data.draw(st.integers(0, steps - 1)) for _ in range(2)])
    pixels = pixels_from_text(text, (height, width), steps)
    unclipped = text * np.array([width, height]) / steps + 0.5 <= np.array([width, height])
    assert (text_from_pixels(pixels, (height, width), steps) == text)[unclipped].all()


@given(SIDES, SIDES, st.integers(2, 5000), st.data())
def test_boxes_come_back_within_half_a_step(height, width, steps, data):
    extent = np.array([width, height, width, height])
    low, high = (sorted(data.draw(st.tuples(SHARES, SHARES))) for _ in range(2))
    box = np.array([low[0], high[0], low[1], high[1]]) * extent
    text = np.rint(box * steps / extent)
    if text[0] >= min(text[2], steps - 1) or text[1] >= min(text[3], steps - 1):
        return  # thinner than a step
    back = boxes_from_text(text_from_boxes(box, (height, width), steps), (height, width), steps)
    clamped = box > (steps - 0.5) * extent / steps
    assert (np.abs(back - box) <= extent / steps * np.where(clamped, 1, 0.5) + 1e-9).all()


@pytest.mark.parametrize("point", [[-0.1, 3], [3, 21], [40.01, 3], [np.nan, 3], [np.inf, 3]])
def test_points_outside_are_named(point):
    assert not inside_image(point, (20, 40))
    with pytest.raises(ValueError, match="outside the image of 40 x 20"):
        text_from_pixels([[1, 1], point], (20, 40))


@pytest.mark.parametrize(
    ("function", "values", "message"),
    [
        (text_from_boxes, [30, 1, 10, 5], "x1 < x2"),
        (text_from_boxes, [3, 5, 10, 5], "x1 < x2 and y1 < y2"),
        (text_from_boxes, [3, np.nan, 10, 5], "x1 < x2"),
        (text_from_boxes, [3, 4, 41, 5], "reaches outside"),
        (boxes_from_text, [30, 1, 10, 5], "x1 < x2"),
        (pixels_from_text, [1000, 2], "not in"),
        (pixels_from_text, [-1, 2], "not in"),
        (pixels_from_text, [np.nan, 2], "not in"),
        (text_from_pixels, [1, 2, 3], "must hold 2 numbers"),
        (text_from_boxes, 7.0, "must hold 4 numbers"),
    ],
)
def test_bad_values_are_named(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(values, (20, 40), 1000)


def test_bad_sizes_and_steps_are_named():
    with pytest.raises(ValueError, match="size=\\(0, 40\\)"):
        text_from_pixels([1, 1], (0, 40))
    with pytest.raises(ValueError, match="steps=0"):
        text_from_pixels([1, 1], (20, 40), 0)
