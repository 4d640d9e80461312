"""Questions written from a scene of closed form: every place asked about is where the text says, every answer true."""

import logging
import pickle
import re

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from scene_folders import COLOUR_INTRINSICS, SCENE, camera_path, scene_row
from scipy.spatial.transform import Rotation

from igep.spatial_prompts import (
    parse_correspondence,
    parse_depth,
    parse_rotation_angle,
    parse_translation_direction,
    parse_translation_distance,
    parse_yaw_pitch_roll,
)
from igep.text_pixels import pixels_from_text
from igep.trainers.data.rooms.synthetic_rooms import synthetic_rooms
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.scenes.spatial_example import SCENE_FEATURES, SpatialDataError
from igep.trainers.data.vlm3.covisibility import covisibility
from igep.trainers.data.vlm3.scene_views import posed_views
from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset
from igep.trainers.data.vlm3.vlm3_options import VLM3Options


GEOMETRY_SIZE = (24, 32)
FRAMES = 5


def table(*rows):
    return Dataset.from_list(list(rows), features=SCENE_FEATURES)


def dataset(task, rows=None, seed=0, **options):
    rows = [scene_row(FRAMES)] if rows is None else rows
    return VLM3Dataset(table(*rows), VLM3Options(task=task, **options), geometry_size=GEOMETRY_SIZE, seed=seed)


def pose_of(frame_id):
    return camera_path(FRAMES)[int(frame_id)]


def ray_of(pixel, options):
    """Direction in the camera of a unified image's pixel, from the camera's own intrinsics and the options alone."""
    size = np.array([64, 48])
    focal = COLOUR_INTRINSICS[[0, 1], [0, 1]]
    scale = np.ones(2) if options.focal_pixels is None else options.focal_pixels / focal
    unified = (size * scale + 1e-3).astype(int)
    shift = np.zeros(2)
    if options.canvas_size is not None:
        shift = (unified - options.canvas_size[::-1]) // 2
    return np.append((((pixel + shift) * size / unified) - COLOUR_INTRINSICS[:2, 2]) / focal, 1.0)


def hit(pose, ray):
    """World point and distance along the optical axis of what a camera ray meets."""
    z = SCENE.first_hit(torch.from_numpy(pose[:3, 3]), torch.from_numpy(pose[:3, :3] @ ray)).item()
    return pose[:3, 3] + z * (pose[:3, :3] @ ray), z


def asked_pixel(question):
    return np.array([int(number) for number in re.search(r"\((\d+), (\d+)\)", question).groups()])


# ---- Metric depth


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focal_pixels": None},
        {"focal_pixels": 40.0},
        {"focal_pixels": 120.0, "canvas_size": [60, 50]},
        {"focal_pixels": 30.0, "canvas_size": [40, 40], "text_pixel_steps": 500},
        {"distance_kind": "z", "focal_mode": "fx"},
    ],
)
def test_depths_are_true_at_the_pixels_that_the_text_names(options):
    rows = dataset("depth", questions_per_image=12, **options)
    kind = rows.options
    for number in range(len(rows)):
        example = rows[number]
        (frame,) = example.frames
        for (question, answer), reference in zip(example.conversation, example.references, strict=True):
            assert f"[0, {kind.steps}]" in question
            pixel = pixels_from_text(asked_pixel(question), (frame.height, frame.width), kind.steps)
            ray = ray_of(pixel, kind)
            _, z = hit(pose_of(example.frame_ids[0]), ray)
            truth = z if kind.distance_kind == "z" else z * np.linalg.norm(ray)
            step = max(frame.size) / kind.steps / (kind.focal_pixels or 60)
            assert reference == pytest.approx(truth, rel=0.01 + 2 * step)
            assert parse_depth(answer) == pytest.approx(reference, abs=0.00501)
        assert set(example.question_types) == {"metric_depth"}


def test_no_question_at_an_edge():
    rows = dataset("depth", focal_pixels=None, questions_per_image=10_000)
    example = rows[2]
    pose = pose_of(example.frame_ids[0])
    assert len(example.conversation) > 1500
    for question, _ in example.conversation[::7]:
        pixel = pixels_from_text(asked_pixel(question), (48, 64))
        near = [
            hit(pose, ray_of(pixel + shift, rows.options))[1] for shift in ((0.4, 0), (-0.4, 0), (0, 0.4), (0, -0.4))
        ]
        assert max(near) / min(near) < 1.1


def test_range_of_depths():
    rows = dataset("depth", min_depth_metres=1.0, max_depth_metres=2.2, distance_kind="z")
    metres = [reference for number in range(len(rows)) for reference in rows[number].references]
    assert min(metres) >= 1.0
    assert max(metres) <= 2.2


# ---- Correspondence


@pytest.mark.parametrize(
    "options", [{"focal_pixels": None}, {"focal_pixels": 90.0, "canvas_size": [50, 70]}, {"think": True}]
)
def test_corresponding_pixels_show_one_point_that_both_see(options):
    rows = dataset("correspondence", questions_per_image=20, **options)
    assert len(rows) == FRAMES
    for number in range(len(rows)):
        example = rows[number]
        first, second = (pose_of(frame) for frame in example.frame_ids)
        assert not np.array_equal(first, second)
        for (question, answer), reference in zip(example.conversation, example.references, strict=True):
            sizes = [(frame.height, frame.width) for frame in example.frames]
            asked = pixels_from_text(asked_pixel(question), sizes[0], 1000)
            point, _ = hit(first, ray_of(asked, rows.options))
            towards = (point - second[:3, 3]) @ second[:3, :3]
            ray = ray_of(pixels_from_text(np.array(parse_correspondence(answer)), sizes[1], 1000), rows.options)
            # Half a step of text in both images, and depth in millimetres.
            assert np.abs(towards[:2] / towards[2] - ray[:2]).max() < 0.004
            _, own = hit(second, np.append(towards[:2] / towards[2], 1))
            assert own == pytest.approx(towards[2], rel=0.051)
            np.testing.assert_allclose(reference, parse_correspondence(answer), atol=0.5001)
            assert ("step by step" in question) == rows.options.think == ("<think>" in answer)


def test_covisibility_is_kept_within_its_bounds():
    views = posed_views(validate_scene(scene_row(FRAMES)), VLM3Options(focal_pixels=None))
    shares = {(a, b): covisibility(views[a], views[b]) for a in range(FRAMES) for b in range(FRAMES) if a != b}
    assert max(shares.values()) - min(shares.values()) > 0.2
    assert shares[0, 1] == shares[1, 0]
    middle = float(np.median(list(shares.values())))
    for low, high in ((middle, 1.0), (0.0, middle)):
        rows = dataset("correspondence", min_covisibility=low, max_covisibility=high, focal_pixels=None)
        for draw in range(4):
            for number in range(len(rows)):
                pair = tuple(int(frame) for frame in rows.example(number, draw).frame_ids)
                assert low <= shares[pair] <= high
    assert covisibility(views[0], views[0]) > 0.99


def test_frames_of_a_pair_are_near_each_other():
    rows = dataset("pose", max_frame_gap=1, min_covisibility=0)
    for number in range(len(rows)):
        first, second = (int(frame) for frame in rows[number].frame_ids)
        assert abs(first - second) == 1


# ---- Pose


def test_poses_agree_with_scipy():
    rows = dataset("pose", focal_pixels=750)
    for number in range(len(rows)):
        example = rows[number]
        first, second = (pose_of(frame) for frame in example.frame_ids)
        relative = np.linalg.inv(first) @ second
        truth = {
            "rotation_angle": np.degrees(Rotation.from_matrix(relative[:3, :3]).magnitude()),
            "yaw_pitch_roll": Rotation.from_matrix(relative[:3, :3]).as_euler("YXZ", degrees=True),
            "translation_direction": relative[:3, 3] / np.linalg.norm(relative[:3, 3]),
            "translation_distance": np.linalg.norm(relative[:3, 3]),
        }
        parsers = {
            "rotation_angle": parse_rotation_angle,
            "yaw_pitch_roll": parse_yaw_pitch_roll,
            "translation_direction": parse_translation_direction,
            "translation_distance": parse_translation_distance,
        }
        assert set(example.question_types) == set(truth)
        for kind, (_, answer), reference in zip(
            example.question_types, example.conversation, example.references, strict=True
        ):
            np.testing.assert_allclose(reference, truth[kind], atol=1e-6)
            np.testing.assert_allclose(parsers[kind](answer), truth[kind], atol=0.06)


def test_a_camera_that_only_turns_has_no_direction():
    poses = camera_path(2)
    poses[:, :3, 3] = poses[0, :3, 3]
    rows = dataset("pose", [scene_row(2, poses=poses)], min_covisibility=0)
    assert sorted(rows[0].question_types) == ["rotation_angle", "translation_distance", "yaw_pitch_roll"]


# ---- Rows


def test_geometry_that_supervises_is_that_of_the_unified_view():
    rows = dataset("correspondence", focal_pixels=90.0, canvas_size=[50, 70])
    example = rows[1]
    assert example.depth_metres.shape == (2, *GEOMETRY_SIZE)
    for index, frame in enumerate(example.frame_ids):
        fx, fy = example.intrinsics[index][[0, 1], [0, 1]]
        assert (fx, fy) == pytest.approx((90 * 32 / 70, 90 * 24 / 50), rel=1 / 48)  # of whole pixels
        np.testing.assert_array_equal(example.world_from_camera[index], pose_of(frame))
        errors = []
        for row, column in ((5, 6), (12, 16), (20, 28), (3, 25)):
            ray = np.append((np.array([column, row]) + 0.5 - example.intrinsics[index][:2, 2]) / (fx, fy), 1)
            errors.append(abs(example.depth_metres[index, row, column] / hit(pose_of(frame), ray)[1] - 1))
        assert np.median(errors) < 0.03


def test_draws_are_fresh_and_reproducible():
    first, again, other = dataset("depth"), dataset("depth"), dataset("depth", seed=1)
    assert first.example(2, 3).conversation == again.example(2, 3).conversation
    assert first[2].conversation == first.example(2, 0).conversation
    assert first.example(2, 0).conversation != first.example(2, 1).conversation
    assert first[2].conversation != other[2].conversation
    assert first.sample_ids == tuple(f"desk/{frame:05d}/depth" for frame in range(FRAMES))
    assert first[3].sample_id == first.sample_ids[3]


def test_questions_of_a_row_differ_and_number_at_most_k():
    example = dataset("depth", questions_per_image=7)[0]
    assert len(set(example.conversation)) == 7


def test_no_question_is_asked_twice_where_pixels_read_the_same():
    for task in ("depth", "correspondence"):
        example = dataset(task, questions_per_image=60, text_pixel_steps=8)[0]
        questions = [question for question, _ in example.conversation]
        assert len(set(questions)) == len(questions) > 5


def test_pose_without_bounds_needs_no_depth():
    rows = dataset("pose", [scene_row(2) | {"depth": []}], min_covisibility=0)
    assert rows[0].conversation
    assert rows[0].depth_metres is None


def test_sizes_of_every_camera_without_unifying_images():
    other = scene_row(3, "other")
    other["intrinsics"][2] = (np.array(other["intrinsics"][2]) * [[1.25], [1.25], [1]]).tolist()
    other["intrinsics"][2][0][2], other["intrinsics"][2][1][2] = 32.0, 24.0
    rows = dataset("depth", [scene_row(2), other])
    sizes = dict(rows.unified_sizes())
    first, second, third = sizes
    assert (first[:4], second[:5], third[:5]) == ("desk", "other", "other")
    assert sizes[first] == sizes[second] == rows[0].frames[0].size[::-1]
    assert sizes[third] == rows[4].frames[0].size[::-1] != sizes[first]


def test_a_row_survives_a_worker():
    rows = pickle.loads(pickle.dumps(dataset("depth")))
    assert rows[1].conversation == dataset("depth")[1].conversation


@pytest.mark.parametrize("task", ["depth", "correspondence", "pose", "objects"])
def test_every_task_on_synthetic_rooms(task):
    scenes, _ = synthetic_rooms(4, seed=5, questions_per_room=0)
    rows = VLM3Dataset(scenes, VLM3Options(task=task, focal_pixels=None), geometry_size=(32, 32))
    assert len(rows) == 8
    for number in range(len(rows)):
        example = rows[number]
        assert example.conversation
        assert len(example.conversation) == len(example.references) == len(example.question_types)
        assert example.depth_metres.shape == (len(example.frames), 32, 32)


def test_frames_without_a_finite_pose_are_no_rows():
    poses = camera_path(FRAMES)
    poses[2] = np.nan
    rows = dataset("pose", [scene_row(FRAMES) | {"world_from_camera": poses.tolist()}])
    assert [name.split("/")[1] for name in rows.sample_ids] == ["00000", "00001", "00003", "00004"]


def test_a_frame_without_anything_to_ask_is_replaced_and_said_once(caplog):
    row = scene_row(FRAMES)
    row["depth"][1] = Image.new("I;16", (64, 48))
    rows = dataset("depth", [row])
    with caplog.at_level(logging.WARNING):
        example = rows[1]
        rows.example(1, 1)
    assert example.sample_id == "desk/00001/depth"
    assert example.frame_ids != ("00001",)
    assert example.conversation
    assert caplog.text.count("'desk/00001/depth'") == 1


def test_frames_without_a_depth_map_are_no_rows_where_it_is_needed():
    row = scene_row(FRAMES)
    row["depth"][1] = row["depth"][3] = None
    assert [name.split("/")[1] for name in dataset("depth", [row]).sample_ids] == ["00000", "00002", "00004"]
    assert len(dataset("pose", [row])) == 3
    assert len(dataset("pose", [row], min_covisibility=0)) == FRAMES
    rows = dataset("correspondence", [row])
    assert all(set(rows[number].frame_ids) <= {"00000", "00002", "00004"} for number in range(len(rows)))


def test_scenes_without_what_the_task_needs_are_left_out_with_a_word(caplog):
    bare = scene_row(2, "bare") | {"depth": []}
    with caplog.at_level(logging.WARNING):
        rows = dataset("depth", [bare, scene_row(2)])
    assert [name.split("/")[0] for name in rows.sample_ids] == ["desk", "desk"]
    assert "1 of 2 scenes ('bare' ...) are left out: task 'depth' needs intrinsics, depth" in caplog.text


def test_pinholes_are_neither_edges_nor_hidden():
    """Depth registered to another camera lacks every other column and single pixels elsewhere."""
    holes, whole = scene_row(2), scene_row(2)
    for index, depth in enumerate(holes["depth"]):
        sparse = np.array(depth)
        sparse[:, ::2] = 0
        sparse[::5, 1::4] = 0
        holes["depth"][index] = Image.fromarray(sparse)
    options = {"focal_pixels": None, "questions_per_image": 10_000}
    counts = [
        [len(dataset(task, [row], **options)[0].conversation) for row in (holes, whole)]
        for task in ("depth", "correspondence")
    ]
    for sparse_count, whole_count in counts:
        assert sparse_count > 0.15 * whole_count  # half of the pixels, and of those that they land on
    rows = dataset("depth", [holes], distance_kind="z", **options)[0]
    for (question, _), reference in list(zip(rows.conversation, rows.references, strict=True))[::9]:
        pixel = pixels_from_text(asked_pixel(question), (48, 64))
        pose = camera_path(2)[int(rows.frame_ids[0])]
        assert reference == pytest.approx(hit(pose, ray_of(pixel, VLM3Options(focal_pixels=None)))[1], rel=0.03)


def test_poses_that_drift_as_scenes_may_are_asked_about():
    row = scene_row(2)
    for pose in row["world_from_camera"]:
        for line in pose[:3]:
            line[0] *= 1.0049
    example = dataset("pose", [row], min_covisibility=0)[0]
    assert set(example.question_types) >= {"rotation_angle", "yaw_pitch_roll"}


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("depth", {"depth": []}, "No frame of the 1 scenes.*'depth', which needs intrinsics, depth"),
        ("correspondence", {"depth": []}, "needs intrinsics, world_from_camera, depth"),
        ("objects", {"world_from_camera": []}, "needs intrinsics, world_from_camera, boxes"),
        ("depth", {"intrinsics": []}, "needs intrinsics, depth"),
        ("pose", {"depth": []}, "needs intrinsics, world_from_camera, depth"),
        ("pose", {"frame_ids": ["a", "b", "a", "c", "d"]}, "'desk': `frame_ids` has 'a' twice"),
        ("depth", {"intrinsics": [np.diag([60.0, 0.0, 1.0]).tolist()] * FRAMES}, "desk"),
        ("depth", {"frame_ids": ["a"]}, "frame_ids"),
    ],
)
def test_what_a_scene_lacks_is_named(task, change, message):
    with pytest.raises((SpatialDataError, ValueError), match=message):
        dataset(task, [scene_row(FRAMES) | change])[0]


def test_nothing_to_ask_is_an_error_with_a_remedy():
    with pytest.raises(SpatialDataError, match="needs intrinsics, world_from_camera, boxes"):
        dataset("objects", [scene_row(2) | {"boxes": []}])
    far = {"label": "x", "centre_metres": [0.0, 0.0, -9.0], "size_metres": [1.0, 1.0, 1.0], "yaw_radians": 0.0}
    with pytest.raises(SpatialDataError, match="boxes that can be seen"):
        dataset("objects", [scene_row(2) | {"boxes": [far]}])[0]
    with pytest.raises(SpatialDataError, match="min_depth_metres"):
        dataset("depth", min_depth_metres=50.0)[0]
    with pytest.raises(SpatialDataError, match="Widen min_covisibility"):
        dataset("pose", [scene_row(2)], min_covisibility=0.999)[0]
    with pytest.raises(SpatialDataError, match="max_frame_gap=40"):
        dataset("pose", [scene_row(1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "flow"}, "task='flow'"),
        ({"questions_per_image": 0}, "questions_per_image=0"),
        ({"focal_pixels": 0.0}, "focal_pixels=0"),
        ({"focal_mode": "fy"}, "focal_mode='fy'"),
        ({"canvas_size": [3]}, "canvas_size"),
        ({"canvas_size": [3, 3], "max_image_pixels": 9}, "exclude"),
        ({"text_pixel_steps": 0}, "text_pixel_steps=0"),
        ({"text_pixel_steps": 1}, "text_pixel_steps=1 must be at least 2"),
        ({"longest_side": 1024.5}, "longest_side=1024.5 must be a whole number"),
        ({"questions_per_image": True}, "questions_per_image=True must be a whole number"),
        ({"distance_kind": "y"}, "distance_kind='y'"),
        ({"min_depth_metres": 3.0, "max_depth_metres": 2.0}, "0 <= min < max"),
        ({"min_covisibility": 0.9, "max_covisibility": 0.2}, "min <= max"),
        ({"max_frame_gap": 0}, "max_frame_gap=0"),
        ({"depth_edge_tolerance": 0.0}, "depth_edge_tolerance=0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        VLM3Options(**options)


def test_bad_geometry_size_and_tables_are_named():
    with pytest.raises(ValueError, match="geometry_size"):
        VLM3Dataset(table(scene_row(2)), VLM3Options(), geometry_size=(0, 3))
    with pytest.raises(SpatialDataError, match="'desk' again in row 1"):
        dataset("depth", [scene_row(2), scene_row(2)])
    with pytest.raises(SpatialDataError, match="is empty"):
        VLM3Dataset(table(scene_row(2)).select([]), VLM3Options(), geometry_size=GEOMETRY_SIZE)
    with pytest.raises(SpatialDataError, match="no column 'boxes'"):
        VLM3Dataset(table(scene_row(2)).remove_columns("boxes"), VLM3Options(), geometry_size=GEOMETRY_SIZE)
