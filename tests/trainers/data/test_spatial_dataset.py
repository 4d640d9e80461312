"""Depth, intrinsics and poses of a sample against the rendered truth; rows, ratios and errors of the dataset."""

import pickle

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from scene_folders import COLOUR_INTRINSICS, COLOUR_SIZE, camera_path, depth_image, question_row, scene_row, true_depth

from igep.camera_geometry import euclidean_from_z
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.spatial_example import QUESTION_FEATURES, SCENE_FEATURES, SpatialDataError
from igep.trainers.data.spatial_dataset import SpatialDataset, build_example


DEPTH_INTRINSICS = np.array([[70.0, 0, 41.0], [0, 71.0, 27.0], [0, 0, 1]])


def tables(num_annotated: int, num_alone: int, questions_each: int = 3) -> tuple[Dataset, Dataset]:
    scenes = [scene_row(2, f"scene{number}") for number in range(num_annotated + num_alone)]
    questions = [
        question_row(scene * questions_each + number, f"scene{scene}")
        for scene in range(num_annotated)
        for number in range(questions_each)
    ]
    return (
        Dataset.from_list(scenes, features=SCENE_FEATURES),
        Dataset.from_list(questions or [question_row(0)], features=QUESTION_FEATURES).select(range(len(questions))),
    )


def assert_true_depth(example, size: tuple[int, int], expected_share: float, tolerance: float = 0.05) -> None:
    """Nearest sampling moves a value by at most a pixel, so nearly every one is near the truth."""
    scale = np.array([size[1] / COLOUR_SIZE[1], size[0] / COLOUR_SIZE[0], 1.0])[:, None]
    for index, pose in enumerate(example.world_from_camera):
        truth = true_depth(COLOUR_INTRINSICS * scale, pose, size)
        depth = example.depth_metres[index]
        valid = depth > 0
        assert valid.mean() > expected_share
        assert (np.abs(depth / truth - 1)[valid] < tolerance).mean() > 0.95


def test_depth_of_the_same_camera_at_its_own_size_is_exact() -> None:
    example = build_example(scene_row(4), (), 4, COLOUR_SIZE, "sample")
    for depth, pose in zip(example.depth_metres, camera_path(4), strict=True):
        np.testing.assert_allclose(depth, true_depth(COLOUR_INTRINSICS, pose, COLOUR_SIZE), atol=0.000501)
    assert example.depth_metres.dtype == example.intrinsics.dtype == np.float32
    np.testing.assert_array_equal(example.world_from_camera, camera_path(4))


def test_sentinels_and_depth_beyond_the_limit_are_no_measurement() -> None:
    row = scene_row(3)
    for frame, value in enumerate((65535, 9000)):
        depth = np.asarray(row["depth"][frame]).copy()
        depth[:10] = value
        row["depth"][frame] = Image.fromarray(depth)
    free = build_example(row, (), 3, COLOUR_SIZE, "sample").depth_metres
    assert (free[0, :10] == 0).all()
    assert (free[1, :10] == 9).all()
    limited = build_example(row, (), 3, COLOUR_SIZE, "sample", max_depth_metres=3.0).depth_metres
    np.testing.assert_array_equal(limited, np.where(free > 3, 0, free))
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    rows = SpatialDataset(scenes, None, num_frames=3, geometry_size=COLOUR_SIZE, max_depth_metres=3.0)
    np.testing.assert_array_equal(rows[0].depth_metres, limited)
    with pytest.raises(ValueError, match="max_depth_metres=0.* must be positive"):
        SpatialDataset(scenes, None, num_frames=3, geometry_size=COLOUR_SIZE, max_depth_metres=0)


@pytest.mark.parametrize("size", [(24, 32), (30, 64), (96, 128)])
def test_depth_and_intrinsics_are_brought_to_the_geometry_size(size: tuple[int, int]) -> None:
    example = build_example(scene_row(3, depth_size=(36, 48)), (), 3, size, "sample")
    assert example.depth_metres.shape == (3, *size)
    np.testing.assert_allclose(example.intrinsics[0, 0], COLOUR_INTRINSICS[0] * size[1] / COLOUR_SIZE[1], rtol=1e-6)
    np.testing.assert_allclose(example.intrinsics[0, 1], COLOUR_INTRINSICS[1] * size[0] / COLOUR_SIZE[0], rtol=1e-6)
    assert_true_depth(example, size, expected_share=0.999)


@pytest.mark.parametrize("shift", [None, 0.1])
def test_depth_of_another_camera_is_carried_into_the_colour_camera(shift: float | None) -> None:
    colour_from_depth = None
    if shift is not None:
        colour_from_depth = np.eye(4)
        colour_from_depth[:3, 3] = [shift, -shift / 2, 0.0]
    row = scene_row(3, depth_size=(55, 80), depth_intrinsics=DEPTH_INTRINSICS, colour_from_depth=colour_from_depth)
    assert_true_depth(build_example(row, (), 3, (24, 32), "sample"), (24, 32), expected_share=0.85)


def test_indexing_equals_the_general_registration() -> None:
    """The same camera said twice takes the fast path; moved by a hair it takes `register_depth`."""
    size = (32, 128)  # no sampled place lies near the border of two stored pixels
    row = scene_row(2)
    other = {**row, "depth_intrinsics": [(COLOUR_INTRINSICS + [[0.02, 0, 0], [0, 0.02, 0], [0, 0, 0]]).tolist()] * 2}
    fast, general = (build_example(each, (), 2, size, "sample").depth_metres for each in (row, other))
    np.testing.assert_array_equal(fast, general)


def test_euclidean_depth_becomes_z() -> None:
    row = scene_row(2)
    row["depth_kind"] = "euclidean"
    intrinsics = torch.from_numpy(COLOUR_INTRINSICS)
    row["depth"] = [
        depth_image(
            euclidean_from_z(torch.from_numpy(true_depth(COLOUR_INTRINSICS, pose, COLOUR_SIZE)), intrinsics).numpy()
        )
        for pose in camera_path(2)
    ]
    depth = build_example(row, (), 2, COLOUR_SIZE, "sample").depth_metres
    np.testing.assert_allclose(depth[0], true_depth(COLOUR_INTRINSICS, camera_path(2)[0], COLOUR_SIZE), atol=0.001)


def test_frames_are_sampled_evenly_over_those_with_a_pose() -> None:
    row = scene_row(7)
    row["world_from_camera"][0] = [[np.nan] * 4] * 4
    example = build_example(row, (), 3, (6, 8), "sample")
    assert example.frame_ids == ("00001", "00003", "00006")  # the middle of six valid frames is the second or third
    assert [frame.getpixel((0, 0))[0] for frame in example.frames] == [10, 30, 60]


def test_only_sampled_frames_are_decoded() -> None:
    row = scene_row(3)
    row["frames"][1] = {"bytes": b"damaged", "path": None}
    assert len(build_example(row, (), 2, (6, 8), "sample").frames) == 2
    with pytest.raises(SpatialDataError, match=r"frames\[1\].*not a readable image"):
        build_example(row, (), 3, (6, 8), "sample")


def test_rows_read_the_sampled_frames_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    row = scene_row(9)
    row["frames"][4] = {"bytes": b"damaged", "path": None}
    row["world_from_camera"][0] = [[np.nan] * 4] * 4
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    read = []
    as_row = SceneTable.row
    monkeypatch.setattr(
        SceneTable, "row", lambda self, number, frames: read.append(frames) or as_row(self, number, frames)
    )
    example = SpatialDataset(scenes, None, num_frames=3, geometry_size=(6, 8))[0]
    assert read == [[1, 5, 8]]
    expected = build_example(scenes.with_format("arrow")[0].to_pylist()[0], (), 3, (6, 8), "sample")
    assert example.frame_ids == expected.frame_ids
    np.testing.assert_array_equal(example.depth_metres, expected.depth_metres)
    np.testing.assert_array_equal(example.intrinsics, expected.intrinsics)
    np.testing.assert_array_equal(example.world_from_camera, expected.world_from_camera)
    with pytest.raises(SpatialDataError, match=r"`frames\[4\]`: not a readable image"):
        SpatialDataset(scenes, None, num_frames=8, geometry_size=(6, 8))[0]


def test_too_few_valid_frames_are_said_when_the_dataset_is_made() -> None:
    row = scene_row(9)
    row["world_from_camera"][0] = [[np.nan] * 4] * 4
    scenes = Dataset.from_list([scene_row(9, "whole"), row], features=SCENE_FEATURES)
    words = "'desk': 8 of its 9 frames are valid.*9 are asked for, and so in 1 of 2 scenes: lower num_frames"
    with pytest.raises(SpatialDataError, match=words):
        SpatialDataset(scenes, None, num_frames=9, geometry_size=(6, 8))
    asked = Dataset.from_list([question_row(1, "whole")], features=QUESTION_FEATURES)
    assert len(SpatialDataset(scenes, asked, num_frames=9, geometry_size=(6, 8))) == 1  # `desk` is in no row


def test_missing_depth_is_invalid_depth() -> None:
    row = scene_row(2)
    row["depth"][1] = None
    depth = build_example(row, (), 2, (6, 8), "sample").depth_metres
    assert (depth[0] > 0).all()
    assert (depth[1] == 0).all()
    assert (build_example({**row, "depth": [None, None]}, (), 2, (6, 8), "sample").depth_metres == 0).all()
    assert build_example({**row, "depth": []}, (), 2, (6, 8), "sample").depth_metres is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"world_from_camera": [[[np.nan] * 4] * 4] * 3}, "0 of its 3 frames are valid.*2 are asked for"),
        ({"depth": [Image.fromarray(np.ones((48, 48), np.uint16))] * 3}, "48x48.*64x48.*depth_intrinsics"),
        ({"depth": [Image.new("L", (64, 48))] * 3}, r"depth\[0\].*'L'.*16-bit"),
        ({"frames": [Image.new("RGB", size) for size in ((64, 48), (4, 3), (32, 24))]}, "several sizes"),
        ({"intrinsics": [(COLOUR_INTRINSICS * [[4], [4], [1]]).tolist()] * 3}, "principal point.*outside.*64x48"),
        ({"depth_intrinsics": [(COLOUR_INTRINSICS * [[4], [4], [1]]).tolist()] * 3}, "depth_intrinsics.*outside"),
    ],
)
def test_bad_scenes_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(SpatialDataError, match=words) as caught:
        build_example({**scene_row(3), **changes}, (), 2, (6, 8), "sample")
    assert "desk" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"question": ""}, "`question`"),
        ({"answers": []}, "`answers`"),
        ({"referred_boxes": [1]}, "box 1, the scene has 1"),
    ],
)
def test_bad_questions_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(SpatialDataError, match=words) as caught:
        build_example(scene_row(1), [question_row(1, **changes)], 1, (6, 8), "sample")
    assert "'q1'" in str(caught.value)


def test_questions_of_a_scene_share_rows_as_turns() -> None:
    scenes, questions = tables(num_annotated=2, num_alone=0, questions_each=3)
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8), questions_per_row=2)
    assert dataset.sample_ids == ("scene0/q0+q1", "scene0/q2", "scene1/q3+q4", "scene1/q5")
    example = dataset[2]
    assert example.sample_id == "scene1/q3+q4"
    assert example.conversation == (("How far is box 3?", "3.0"), ("How far is box 4?", "4.0"))
    assert example.question_types == ("distance", "distance")
    assert example.scene_id == "scene1"


@pytest.mark.parametrize(
    ("ratio", "asked", "expected"),
    [
        (0.0, 6, 0),
        (0.25, 12, 4),
        (0.5, 6, 6),
        (0.8, 6, 24),
    ],  # at 0.25 the questions come twice: three scenes want a row
)
def test_scene_only_rows_are_mixed_in_at_the_ratio(ratio: float, asked: int, expected: int) -> None:
    scenes, questions = tables(num_annotated=2, num_alone=3)
    options = {"num_frames": 2, "geometry_size": (6, 8), "geometry_only_ratio": ratio}
    dataset = SpatialDataset(scenes, questions, **options)
    alone = [name for name in dataset.sample_ids if "geometry" in name]
    assert len(dataset) == asked + expected
    assert len(alone) == expected
    assert len(set(dataset.sample_ids)) == len(dataset)
    unannotated = {"scene2", "scene3", "scene4"}
    assert {name.split("/")[0] for name in alone[:3]} == (unannotated if expected else set())
    if expected == 24:
        assert {name.split("/")[0] for name in alone} == {f"scene{number}" for number in range(5)}
    assert SpatialDataset(scenes, questions, **options, seed=0).sample_ids == dataset.sample_ids
    if expected > 2:
        assert SpatialDataset(scenes, questions, **options, seed=1).sample_ids != dataset.sample_ids
    for row, name in enumerate(dataset.sample_ids):
        if "geometry" in name:
            assert dataset[row].conversation == ()
            break


def test_without_questions_every_scene_is_a_row() -> None:
    scenes, _ = tables(num_annotated=0, num_alone=3)
    dataset = SpatialDataset(scenes, None, num_frames=2, geometry_size=(6, 8))
    assert sorted(dataset[row].scene_id for row in range(len(dataset))) == ["scene0", "scene1", "scene2"]


def test_scenes_in_no_row_are_told(caplog: pytest.LogCaptureFixture) -> None:
    scenes, questions = tables(num_annotated=1, num_alone=2)
    SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8))
    assert "2 of 3 scenes are in no row" in caplog.text


def test_a_pickled_dataset_gives_the_same_samples_in_worker_processes() -> None:
    scenes, questions = tables(num_annotated=3, num_alone=1, questions_each=2)
    dataset = SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8), geometry_only_ratio=0.2)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.sample_ids == dataset.sample_ids
    np.testing.assert_array_equal(copy[1].depth_metres, dataset[1].depth_metres)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=2, collate_fn=list)
    assert tuple(example.sample_id for batch in loader for example in batch) == dataset.sample_ids


def test_rows_do_not_copy_the_scene() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*COLOUR_SIZE, 3), dtype=np.uint8)
    row = {**scene_row(2), "frames": [Image.fromarray(noise)] * 2}
    scenes = Dataset.from_list([row], features=SCENE_FEATURES)
    sizes = []
    for count in (1, 200):
        questions = Dataset.from_list([question_row(number) for number in range(count)], features=QUESTION_FEATURES)
        sizes.append(len(pickle.dumps(SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8)))))
    assert sizes[1] - sizes[0] < 200 * 250


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s, q: (s, q.add_item(question_row(99, "attic"))), "'q99'.*row 3.*'attic'"),
        (lambda s, q: (s, q.add_item(question_row(1, "scene0"))), "question_id 'q1' again in row 3"),
        (lambda s, q: (s.select([0, 0]), q), "scene_id 'scene0' again in row 1"),
        (lambda s, q: (s.select([]), q), "scenes table is empty"),
        (lambda s, q: (s, q.select([])), "questions table is empty.*questions=None"),
        (lambda s, q: (s.remove_columns("depth"), q), "scenes table has no column 'depth'"),
        (lambda s, q: (s, q.remove_columns("answers")), "questions table has no column 'answers'"),
    ],
)
def test_bad_tables_are_refused(spoil, words: str) -> None:
    scenes, questions = spoil(*tables(num_annotated=1, num_alone=0))
    with pytest.raises(SpatialDataError, match=words):
        SpatialDataset(scenes, questions, num_frames=2, geometry_size=(6, 8))


@pytest.mark.parametrize(
    "options",
    [{"num_frames": 0}, {"questions_per_row": 0}, {"geometry_only_ratio": 1.0}, {"geometry_size": (0, 8)}],
)
def test_bad_options_are_refused(options: dict) -> None:
    scenes, questions = tables(num_annotated=1, num_alone=0)
    (name,) = options
    with pytest.raises(ValueError, match=name):
        SpatialDataset(scenes, questions, **{"num_frames": 2, "geometry_size": (6, 8), **options})
