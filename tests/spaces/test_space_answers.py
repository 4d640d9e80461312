"""Places read from answers that may be anything, put into space, and drawn where they are."""

import math

import numpy as np
import pytest
from answer_pictures import ACCENT, SMALLEST_SIDE, draw_in_space, draw_place, draw_point, enlarged
from answer_places import DEFAULT_SIDE_METRES, FARTHEST_METRES, Place, corners_metres, intrinsics_of, lifted, place_of
from growth import grows_linearly
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


SIZE = (640, 480)
GREY = (90, 90, 90)


def accent(picture: Image.Image) -> np.ndarray:
    """(height, width) where the picture has the accent colour."""
    return (np.asarray(picture) == ACCENT).all(2)


# ---- Reading


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        ('[{"bbox_2d": [100, 200, 300, 400]}]', (64, 96, 192, 192)),
        ('```json\n[\n  {"bbox_2d": [0, 0, 1000, 1000], "label": "chair"}\n]\n```', (0, 0, 640, 480)),
        ("The chair is at (250, 500, 750, 750).", (160, 240, 480, 360)),
        ("[ 100.5,200 ,300 , 400.25 ]", (64.32, 96, 192, 192.12)),
        ("(100 200 300 400)", (64, 96, 192, 192)),
        ('[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]', (0.64, 0.96, 1.92, 1.92)),
    ],
)
def test_boxes_count_in_thousandths(answer, box):
    place = place_of([answer], SIZE)
    assert place.box == pytest.approx(box)
    assert place.centre_metres is None


@pytest.mark.parametrize(
    ("answers", "centre", "side"),
    [
        (["0.5 -1.0 3.5", "0.8"], (0.5, -1.0, 3.5), 0.8),
        (["0.5 -1.0 3.5"], (0.5, -1.0, 3.5), DEFAULT_SIDE_METRES),
        (["It is at 0.5, -1, 3.5.", "It is 1.25 metres tall."], (0.5, -1.0, 3.5), 1.25),
        (["+1 2 3", "no idea"], (1.0, 2.0, 3.0), DEFAULT_SIDE_METRES),
        (["1 2 3", "-4"], (1.0, 2.0, 3.0), DEFAULT_SIDE_METRES),
        (["1 2 3", "0"], (1.0, 2.0, 3.0), DEFAULT_SIDE_METRES),
        (["1 2 3", "5000"], (1.0, 2.0, 3.0), DEFAULT_SIDE_METRES),
    ],
)
def test_centres_are_in_metres(answers, centre, side):
    assert place_of(answers, SIZE) == Place(None, centre, (side, side, side))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot see it.",
        "2.5",
        "2.5 3.5",
        "[300, 200, 100, 400]",  # right of its right edge
        "[100, 400, 300, 200]",
        "[100, 200, 100, 400]",
        "[100, 200, 300, 1001]",
        "[-1, 200, 300, 400]",
        "[100, 200, 300]]",
        "[1e9, 2e9, 3e9, 4e9]",
        "[" + ", ".join(["9" * 400] * 4) + "]",
        "[nan, nan, nan, nan]",
        "0.5 0.5 0.0",  # in the camera
        "0.5 0.5 -3.0",  # behind it
        "0.5 0.5 101",
        "500 0.5 3",
        "nan nan nan",
        "inf inf inf",
        "1" * 400 + " 2 3",
        "1.2.3 4.5.6 7.8.9",
        "__import__('os').system('true')",
        '{"bbox_2d": "[100, 200"}',
    ],
)
def test_what_is_no_place_is_none(answer):
    assert place_of([answer], SIZE) is None


def test_no_answers_are_no_place():
    assert place_of([], SIZE) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet="0123456789-+.,[]() e\nx", max_size=60), max_size=2))
def test_any_text_gives_a_place_that_can_be_drawn_or_none(answers):
    place = place_of(answers, SIZE)
    if place is None:
        return
    if place.box is not None:
        left, top, right, bottom = place.box
        assert 0 <= left < right <= SIZE[0]
        assert 0 <= top < bottom <= SIZE[1]
    else:
        assert max(map(abs, place.centre_metres)) <= FARTHEST_METRES
        assert 0 < place.size_metres[0] <= FARTHEST_METRES
    picture = draw_place(Image.new("RGB", SIZE, GREY), place, intrinsics_of(SIZE, 60), "thing")
    assert picture.size == SIZE


@pytest.mark.parametrize("filler", ["1", " ", "[", "1,", "(1 ", "1.", "-", "1 1 "])
def test_long_answers_are_read_in_linear_time(filler):
    assert grows_linearly(lambda text: place_of([text, text], SIZE), filler)


# ---- In space


def test_the_field_of_view_is_the_angle_between_the_edges():
    intrinsics = intrinsics_of(SIZE, 90)
    np.testing.assert_allclose(intrinsics, [[320, 0, 320], [0, 320, 240], [0, 0, 1]])
    assert intrinsics_of(SIZE, 60)[0, 0] == pytest.approx(320 / math.tan(math.radians(30)))
    assert intrinsics_of(SIZE, 60, 500.0)[0, 0] == 500
    assert intrinsics_of(SIZE, 60, 0)[0, 0] == intrinsics_of(SIZE, 60)[0, 0]


def test_corners_are_all_eight():
    corners = corners_metres(Place(None, (1, 2, 5), (2, 4, 6)))
    assert {tuple(corner) for corner in corners} == {(x, y, z) for x in (0, 2) for y in (0, 4) for z in (2, 8)}
    np.testing.assert_array_equal(corners[0b001] - corners[0], (2, 0, 0))
    np.testing.assert_array_equal(corners[0b100] - corners[0], (0, 0, 6))


def test_a_lifted_box_looks_as_it_did():
    """At its distance, the middle plane of the box in space has the edges of the box in the image."""
    intrinsics = intrinsics_of(SIZE, 70)
    box = (100.0, 50.0, 300.0, 410.0)
    place = lifted(Place(box), 2.5, intrinsics)
    assert place.box == box
    assert place.centre_metres[2] == 2.5
    assert place.size_metres[2] == place.size_metres[0]
    half = np.array([*place.size_metres[:2], 0]) / 2
    for sign, edges in ((-1, box[:2]), (1, box[2:])):
        x, y, w = intrinsics @ (np.array(place.centre_metres) + sign * half)
        assert (x / w, y / w) == pytest.approx(edges)


# ---- Pictures


@pytest.mark.parametrize(
    ("size", "factor"), [((64, 64), 8), ((64, 48), 8), ((48, 64), 8), ((384, 384), 1), ((1280, 720), 1), ((1, 1), 512)]
)
def test_small_frames_are_enlarged_by_whole_pixels(size, factor):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture, found = enlarged(Image.fromarray(pixels))
    assert found == factor
    np.testing.assert_array_equal(np.asarray(picture), pixels.repeat(factor, 0).repeat(factor, 1))
    assert max(size) > SMALLEST_SIDE / 1.5 or max(picture.size) > SMALLEST_SIDE / 1.5


@pytest.mark.parametrize("label", ["2.37 m", "?", ""])
@pytest.mark.parametrize("size", [(64, 48), (640, 480)])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.05, 0.1), (0.95, 0.5), (0.97, 0.03), (0.03, 0.97)])
def test_a_point_is_marked_where_it_is(size, x, y, label):
    frame = Image.new("RGB", size, GREY)
    pixel = (x * size[0], y * size[1])
    picture = draw_point(frame, pixel, label)
    factor = picture.width // size[0]
    assert (frame.getcolors(), picture.size) == ([(size[0] * size[1], GREY)], (size[0] * factor, size[1] * factor))
    marked = accent(picture)
    column, row = (int(at * factor) for at in pixel)
    assert marked[row, column], "something else is drawn over the point"
    # Dot and ring are symmetrical about the point, wherever the label went.
    reach = max(6, max(picture.size) // 60)
    assert marked[row, max(column - reach - 4, 0) : column - 3].any()
    assert marked[row, column + 4 : column + reach + 5].any()
    written = marked.copy()
    written[max(row - reach - 4, 0) : row + reach + 5, max(column - reach - 4, 0) : column + reach + 5] = False
    assert written.any() == bool(label), "the label is missing, or outside the picture"


def test_a_box_is_drawn_on_its_edges():
    picture = draw_place(Image.new("RGB", SIZE, GREY), Place((100, 120, 300, 360)), intrinsics_of(SIZE, 60), "")
    rows, columns = np.nonzero(accent(picture))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (100, 120, 300, 360)
    assert picture.getpixel((200, 240)) == GREY


def test_a_box_of_a_small_frame_is_enlarged_with_it():
    picture = draw_place(Image.new("RGB", (64, 64), GREY), Place((8, 16, 24, 56)), intrinsics_of((64, 64), 60), "")
    rows, columns = np.nonzero(accent(picture))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (64, 128, 192, 448)


def test_a_box_in_space_is_drawn_as_the_camera_sees_it():
    """A cube of 1 m whose near side is 2 m away: with f = 320 that side is 160 pixels wide and the far one 320 / 3."""
    place = Place(None, (0.0, 0.0, 2.5), (1.0, 1.0, 1.0))
    marked = accent(draw_place(Image.new("RGB", SIZE, GREY), place, intrinsics_of(SIZE, 90), ""))
    rows, columns = np.nonzero(marked)
    expected = (240, 160, 400, 320)
    assert np.abs(np.subtract((columns.min(), rows.min(), columns.max(), rows.max()), expected)).max() <= 2
    far = 320 - 320 / 3 / 2
    assert marked[240, int(far) - 1 : int(far) + 3].any()
    assert not marked[240, 300:340].any()


def test_what_is_behind_the_camera_is_not_drawn():
    frame, intrinsics = Image.new("RGB", SIZE, GREY), intrinsics_of(SIZE, 90)
    around = draw_place(frame, Place(None, (0.0, 1.0, 0.5), (1.0, 1.0, 4.0)), intrinsics, "")
    marked = accent(around)
    assert marked[240:].any()
    assert not marked[:240].any(), "an edge that ends behind the camera is below the middle all the same"


@pytest.mark.parametrize("at", [(0.0, 0.0, 2.0), (9.0, 0.0, 1.0), (0.0, -9.0, 1.0), (-99.0, 99.0, 0.1)])
def test_the_label_is_inside_the_picture(at):
    place = Place(None, at, (0.5, 0.5, 0.5))
    without, with_label = (
        accent(draw_place(Image.new("RGB", SIZE, GREY), place, intrinsics_of(SIZE, 60), label)).sum()
        for label in ("", "box in red")
    )
    assert with_label > without + 50


@pytest.mark.parametrize("size", [(64, 1024), (100, 640), (1024, 64)])
@pytest.mark.parametrize("label", ["box in purple", "y" * 300])
def test_a_label_fits_narrow_pictures(size, label):
    """Beside the box's own lines, nothing is drawn at the left and right ends: the label ends before them."""
    place = Place((size[0] * 0.4, size[1] * 0.4, size[0] * 0.6, size[1] * 0.6))
    picture = np.asarray(draw_place(Image.new("RGB", size, GREY), place, intrinsics_of(size, 60), label))
    assert accent(picture).any()
    assert (picture[:, [0, -1]] == GREY).all()


def test_the_cone_of_a_tall_video_is_not_larger_than_its_room():
    camera, *_ = draw_in_space(Place(None, (0.0, 0.0, 4.0), (1.0, 1.0, 1.0)), "box", (0.5, 4.0)).data
    assert np.nanmax(np.abs(np.array(camera.z, float))) < 2


def test_the_view_in_space_has_the_box_and_the_camera():
    place = Place(None, (1.0, -2.0, 5.0), (2.0, 1.0, 4.0))
    figure = draw_in_space(place, "box in red", (1.0, 0.5))
    camera, box, sight = figure.data
    assert (camera.name, box.name) == ("camera", "box in red")
    assert (np.isnan(np.array(box.x, float)).sum(), len(box.x)) == (12, 36)
    # Right, forward, up.
    for found, low, high in ((box.x, 0, 2), (box.y, 3, 7), (box.z, 1.5, 2.5)):
        assert (np.nanmin(np.array(found, float)), np.nanmax(np.array(found, float))) == (low, high)
    assert (sight.x[1], sight.y[1], sight.z[1]) == (1, 5, 2)
    x, y, z = (np.array(values, float) for values in (camera.x, camera.y, camera.z))
    rim = y == np.nanmax(y)
    np.testing.assert_allclose(np.abs(x[rim] / y[rim]), 1.0)
    np.testing.assert_allclose(np.abs(z[rim] / y[rim]), 0.5)
