from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from igep.trainers.data.hub_tables import load_hub_tables
from igep.trainers.data.scenes.spatial_example import SpatialExample
from igep.trainers.data.spatial_dataset import SpatialDataset
from igep.trainers.experiments.marked_points import (
    CLOSER,
    COLOURS,
    DISTANCE,
    LEAST_RATIO,
    MARK_SHARE,
    SPACING,
    ask,
    distance_in_steps,
    draw_marks,
    mark_clip,
    place_points,
    surface,
    write_tables,
)


def clip(depth: np.ndarray, name: str = "room@00000") -> SpatialExample:
    """Two grey frames of 80 x 60 pixels that both see `depth`."""
    size = depth.shape
    intrinsics = np.array([[size[1], 0, size[1] / 2], [0, size[0], size[0] / 2], [0, 0, 1]])
    return SpatialExample(
        sample_id=name,
        scene_id="room",
        frame_ids=("00000", "00001"),
        frames=(Image.new("RGB", (80, 60), (120, 120, 120)),) * 2,
        depth_metres=np.stack([depth, depth]).astype(np.float32),
        intrinsics=np.stack([intrinsics] * 2),
        world_from_camera=np.stack([np.eye(4)] * 2),
    )


def slope() -> np.ndarray:
    """Nearer towards the lower left, and nearer towards the right: lower is closer for some pairs only."""
    row, column = np.mgrid[0:56, 0:56] / 56
    return (2 + 2 * np.cos(2 * np.pi * row) * np.cos(np.pi * column) * 0.6).astype(np.float32)


def test_golden_answers_of_a_map_made_by_hand():
    depth = {"red": 1.0, "green": 3.0, "blue": 1.1, "yellow": 2.2}
    rows = {"red": 1.0, "green": 9.0, "blue": 5.0, "yellow": 7.0}
    asked = ask(depth, rows, np.random.default_rng(0), 4)
    answers = {question.question: question.answer for question in asked}
    assert {question.kind for question in asked} == {DISTANCE}  # the lower one is never closer: nothing to set against
    assert answers["How many metres away is the green point?"] == "3.0"
    assert answers["How many metres away is the blue point?"] == "1.0"
    assert answers["How many metres away is the yellow point?"] == "2.0"

    rows = {"red": 0.0, "green": 1.0, "blue": 5.0, "yellow": 3.0}
    asked = [question for question in ask(depth, rows, np.random.default_rng(0), 4) if question.kind == CLOSER]
    assert sorted(question.guess == question.answer for question in asked) == [False, False, True, True]
    for question in asked:
        first, second = question.question.removeprefix("Which point is closer, ").removesuffix("?").split(" or ")
        assert question.answer == min((first, second), key=depth.get)
        assert question.guess == max((first, second), key=rows.get)
        assert {first, second} != {"red", "blue"}  # 10 % apart


@pytest.mark.parametrize(
    ("metres", "text"), [(0.2, "0.0"), (0.25, "0.5"), (1.74, "1.5"), (1.75, "2.0"), (10.0, "10.0")]
)
def test_distances_go_in_steps(metres, text):
    assert distance_in_steps(metres) == text


def test_points_lie_on_surfaces_and_apart():
    depth = slope()
    depth[:, 20:30] = 0
    depth[30:, 40:] *= 3  # an edge
    flat = surface(depth)
    assert not flat[:, 19:31].any()
    assert not flat[29:31, 40:55].any()
    assert not flat[0].any()
    assert not flat[:, -1].any()
    assert flat[10, 10]
    points = place_points(depth, 4, np.random.default_rng(0))
    assert flat[tuple(points.T)].all()
    assert min(np.linalg.norm((a - b) / 56) for a, b in combinations(points, 2)) >= SPACING * MARK_SHARE
    assert place_points(np.zeros((56, 56)), 4, np.random.default_rng(0)) is None


def test_marks_are_where_their_depth_was_read():
    marked = mark_clip(clip(slope()), 0, frame_pixels=112, questions_per_kind=4, seed=0)
    picture = np.asarray(marked.frames[0]).astype(int)
    assert (np.asarray(marked.frames[1]) == 120).all()
    centres = {}
    for name, colour in COLOURS.items():
        rows, columns = np.nonzero((picture == colour).all(-1))
        centres[name] = rows.mean(), columns.mean()
    depth = {name: float(slope()[int(row / 2), int(column / 2)]) for name, (row, column) in centres.items()}
    for question in marked.questions:
        if question.kind == DISTANCE:
            name = question.question.split(" is the ")[1].split()[0]
            assert abs(float(question.answer) - depth[name]) <= 0.25 + 0.05 * depth[name]
        else:
            first, second = question.question.removeprefix("Which point is closer, ").removesuffix("?").split(" or ")
            other = second if question.answer == first else first
            assert depth[other] > depth[question.answer] * (LEAST_RATIO - 0.1)
    assert np.array_equal(marked.intrinsics[0, 0], [112, 0, 56])


def test_markings_depend_on_seed_and_draw_alone():
    first, again, other = (
        mark_clip(clip(slope()), draw, frame_pixels=28, questions_per_kind=4, seed=0) for draw in (0, 0, 1)
    )
    assert first.questions == again.questions
    assert first.frames[0].tobytes() == again.frames[0].tobytes()
    assert first.frames[0].tobytes() != other.frames[0].tobytes()
    assert mark_clip(clip(np.zeros((56, 56))), 0, frame_pixels=28, questions_per_kind=4, seed=0) is None


def test_a_mark_is_a_disc():
    marked = np.asarray(draw_marks(Image.new("RGB", (240, 240)), {"red": (100.0, 50.0)}))
    rows, columns = np.nonzero((marked == COLOURS["red"]).all(-1))
    assert (rows.mean(), columns.mean()) == pytest.approx((50, 100), abs=0.6)
    assert len(rows) == pytest.approx(np.pi * 10**2, rel=0.2)


def test_tables_are_rows_as_they_were(tmp_path):
    marked = [mark_clip(clip(slope()), draw, frame_pixels=28, questions_per_kind=2, seed=0) for draw in range(2)]
    write_tables(tmp_path / "tables", marked)
    scenes, questions = load_hub_tables(str(tmp_path / "tables"))
    rows = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(56, 56), questions_per_row=4)
    assert len(rows) == 2
    assert rows[1].scene_id == "room@00000#1"
    assert list(rows[1].conversation) == [(asked.question, asked.answer) for asked in marked[1].questions]
    assert np.abs(rows[1].depth_metres - marked[1].depth_metres).max() <= 0.0005 + 1e-6
    assert np.asarray(rows[1].frames[0]).tobytes() == marked[1].frames[0].tobytes()
    assert rows[1].intrinsics[0, 0] == pytest.approx([56, 0, 28])
    with pytest.raises(ValueError, match="depth of 70 m"):
        write_tables(
            tmp_path / "far", [mark_clip(clip(slope() * 0 + 70), 0, frame_pixels=28, questions_per_kind=2, seed=0)]
        )
