"""DepthLM's lines: the right depth at the right pixel, and every broken line by its number."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

from igep.text_pixels import pixels_from_text
from igep.trainers.data.depthlm import DepthLMDataset
from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.data.training_rows import RowOptions, SceneTableCache, load_rows
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


CAMERA = [50.0, 40.0, 32.0, 24.0, 64, 48]
PIXELS = [[0, 0], [31, 23], [63, 47], [10, 40]]
DEPTHS = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rgb").mkdir()
    Image.new("RGB", (64, 48), "red").save(tmp_path / "rgb" / "a.png")
    Image.new("I;16", (64, 48)).save(tmp_path / "rgb" / "deep.png")
    return tmp_path


def line(**change):
    return {"image": "rgb/a.png", "intrinsics": CAMERA, "pixel_coords": PIXELS, "depth": DEPTHS} | change


def write(folder, *lines):
    file = folder / "val.jsonl"
    file.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines) + "\n")
    return file


def read(folder, *lines, depth_kind="euclidean", seed=0, **options):
    return DepthLMDataset(write(folder, *lines), VLM3Options(**options), depth_kind=depth_kind, seed=seed)


def answers(example):
    """{(column, row): metres} of an example at its own size."""
    width, height = example.frames[0].size
    found = {}
    for (question, _), metres in zip(example.conversation, example.references, strict=True):
        text = np.array([int(number) for number in re.search(r"\((\d+), (\d+)\)", question).groups()])
        column, row = pixels_from_text(text, (height, width)) * (64 / width, 48 / height)
        found[int(column), int(row)] = metres
    return found


def test_depths_at_their_pixels(folder):
    example = read(folder, line())[0]
    assert answers(example) == {(0, 0): 1.0, (31, 23): 2.0, (63, 47): 3.0, (10, 40): 4.0}
    assert example.frames[0].size == (1280, 1200)
    assert example.frames[0].getpixel((5, 5)) == (255, 0, 0)
    assert example.depth_metres is None


@pytest.mark.parametrize(("stored", "asked", "factor"), [("z", "euclidean", 1), ("euclidean", "z", -1), ("z", "z", 0)])
def test_kinds_of_depth(folder, stored, asked, factor):
    example = read(folder, line(), depth_kind=stored, distance_kind=asked)[0]
    for (column, row), metres in answers(example).items():
        ray = np.linalg.norm([(column + 0.5 - 32) / 50, (row + 0.5 - 24) / 40, 1])
        assert metres == pytest.approx(DEPTHS[PIXELS.index([column, row])] * ray**factor)


def test_points_outside_the_crop_and_the_range_are_left_out(folder):
    cropped = read(folder, line(), focal_pixels=None, canvas_size=[24, 32])[0]
    assert cropped.references == (2.0,)
    assert sorted(read(folder, line(), min_depth_metres=1.5, max_depth_metres=3.5)[0].references) == [2.0, 3.0]


def test_labels_have_no_limit_but_one_that_is_set_and_what_it_leaves_out_is_said(folder, caplog):
    file = write(folder, line(depth=[0.02, 2.0, 127.9, 124.3]))
    whole = RowOptions(dataset="depthlm", dataset_path=str(file), depth_kind="euclidean", task="depth")
    rows, _ = load_rows(whole, (8, 8), 0, SceneTableCache())
    assert sorted(rows[0].references) == [0.02, 2.0, 124.3, 127.9]
    assert not caplog.text
    limited, _ = load_rows(dataclasses.replace(whole, max_depth_metres=100.0), (8, 8), 0, SceneTableCache())
    assert len(limited[0].references) == len(limited[0].references) == 2
    assert caplog.text.count("line 1: 2 of 4 points lie outside min_depth_metres=0 to max_depth_metres=100") == 1


def test_sentinels_are_not_asked_about(folder):
    depths = [1.0, 65535.0, 65.535, float("nan"), -1.0, 0.0]
    pixels = [[2 * number, 3] for number in range(len(depths))]
    example = read(folder, line(pixel_coords=pixels, depth=depths), depth_kind="euclidean")[0]
    assert list(example.references) == [1.0]


def test_sizes_of_every_camera_without_reading_images_or_points(folder):
    other = [60.0, 50.0, 32.0, 24.0, 64, 48]
    rows = read(folder, line(image="gone.png"), line(intrinsics=other, depth=["?"]), line(intrinsics=other))
    sizes = dict(rows.unified_sizes())
    assert sizes == {"val/1": (1200, 1280), "val/2": (960, 1066)}
    assert rows[2].frames[0].size == (1066, 960)
    with pytest.raises(SpatialDataError, match="line 2: intrinsics: the principal point"):
        list(read(folder, line(), line(intrinsics=[60, 50, 99, 24, 64, 48])).unified_sizes())


def test_fy_of_zero_is_fx(folder):
    example = read(folder, line(intrinsics=[50.0, 0.0, 32.0, 24.0, 64, 48]))[0]
    assert example.frames[0].size == (1280, 960)


def test_lines_without_intrinsics_are_calibrated(folder, caplog):
    unknown = line()
    del unknown["intrinsics"]
    lines = (line(), unknown, line(intrinsics=None))
    asked = []

    def ninety(frame):
        asked.append(frame.size)
        return 90.0

    rows = DepthLMDataset(write(folder, *lines), VLM3Options(), depth_kind="euclidean", calibrator=ninety)
    assert asked == [(64, 48)] * 2
    assert rows[1].frames[0].size == rows[2].frames[0].size == (2000, 1500)
    assert answers(rows[1]).keys() == answers(rows[0]).keys()
    assert dict(rows.unified_sizes()) == {"val/1": (1200, 1280), "val/2": (1500, 2000)}
    assert (
        "2 of 3 lines have no intrinsics: the calibrator estimates a horizontal field of view of 90.0 to"
        in caplog.text
    )
    with pytest.raises(
        SpatialDataError, match="line 2: no `intrinsics`.*set calibrator to a depth model such as apple"
    ):
        read(folder, *lines)[1]


def test_draws(folder):
    rows = read(folder, line(), questions_per_image=2)
    assert len(rows[0].conversation) == 2
    assert rows.example(0, 1).conversation == rows.example(0, 1).conversation
    assert len({rows.example(0, draw).conversation for draw in range(8)}) > 1


def test_rows_are_lines_with_text(folder):
    rows = read(folder, "", line(), "  ", line(depth=[5.0, 6, 7, 8]))
    assert rows.sample_ids == ("val/2", "val/4")
    assert sorted(rows[1].references) == [5.0, 6.0, 7.0, 8.0]
    assert rows[1].sample_id == "val/4"


def test_image_root(folder):
    file = write(folder, line(image="a.png"))
    rows = DepthLMDataset(file, VLM3Options(), depth_kind="z", image_root=folder / "rgb")
    assert rows[0].frame_ids == ("a.png",)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: no field 'image'"),
        ({"image": "rgb/a.png"}, "line 2: no field 'pixel_coords'"),
        (line(image="rgb/b.png"), "line 2: .*b.png.*no such file.*image_root"),
        (line(image="rgb/\0.png"), "line 2: "),
        (line(image="rgb/deep.png"), "line 2: .*8-bit"),
        ("[" * 100_000, "line 2: no JSON"),
        (line(depth=[10**400] * 4), "line 2: `depth` must be"),
        (line(depth=["1.5"] * 4), "line 2: `depth` must be"),
        (line(depth=[True] * 4), "line 2: `depth` must be"),
        (line(image=3), "line 2: `image` is 3"),
        (line(intrinsics=CAMERA[:5]), "line 2: `intrinsics` must be 6"),
        (line(intrinsics=[50.0, 40.0, 32.0, 24.0, 640, 480]), "line 2: .*640 x 480.*64 x 48"),
        (line(intrinsics=[0.0, 40.0, 32.0, 24.0, 64, 48]), "line 2: .*must be positive"),
        (line(intrinsics=[50.0, 40.0, 320.0, 24.0, 64, 48]), "line 2: .*principal point"),
        (line(depth=[1.0, 2.0]), "line 2: 4 `pixel_coords` for 2 `depth`"),
        (line(depth=[1.0, 2.0, None, 4.0]), "line 2: `depth` must be"),
        (line(depth=["far"] * 4), "line 2: `depth` must be"),
        (line(pixel_coords=[[1, 2, 3]] * 4), "line 2: `pixel_coords` must be any x 2"),
        (line(pixel_coords=[[64, 2]] * 4), "line 2: .*outside the image of 64 x 48"),
        (line(depth=[-1.0] * 4), "line 2: none of its 4 points"),
    ],
)
def test_broken_lines_are_named(folder, broken, message):
    rows = read(folder, line(), broken)
    assert rows[0].conversation
    with pytest.raises(SpatialDataError, match=message):
        rows[1]


def test_bad_files_and_options_are_named(folder):
    with pytest.raises(SpatialDataError, match="cannot be read"):
        DepthLMDataset(folder / "nothing.jsonl", VLM3Options(), depth_kind="z")
    with pytest.raises(SpatialDataError, match="has no line"):
        read(folder, " ")
    with pytest.raises(ValueError, match="depth_kind='ray'"):
        read(folder, line(), depth_kind="ray")
    with pytest.raises(ValueError, match="task='pose'"):
        read(folder, line(), task="pose")
