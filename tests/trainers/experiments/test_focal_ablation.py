import json
import math
import subprocess
import sys

import numpy as np
import pytest

from igep.text_pixels import pixels_from_text
from igep.trainers.data.scenes.scene_table import SceneTable
from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.data.vlm3.scene_views import posed_views
from igep.trainers.experiments.focal_ablation import ARMS, TEST_FOCAL, as_tables
from igep.trainers.experiments.focal_rooms import ROOM_PIXELS, UNIFIED_FOCAL, VIEW, FocalRooms, rooms
from igep.trainers.experiments.tiny_vlm import IMAGE_SIZE
from igep.trainers.experiments.tiny_vlm3 import STEPS
from igep.trainers.experiments.vlm3_rooms import asked_pixel
from igep.trainers.package_files import PACKAGE


def asked(example) -> np.ndarray:
    return np.array([asked_pixel(question) for question, _ in example.conversation])


@pytest.mark.parametrize("focal_range", TEST_FOCAL.values(), ids=TEST_FOCAL)
def test_both_arms_are_asked_about_the_same_points(focal_range):
    scenes = rooms(6, 3, focal_range)
    plain, unified = (FocalRooms(scenes, unify=unify) for unify in (False, True))
    table = SceneTable(scenes)
    for row in range(len(scenes)):
        one, other = plain.example(row, 2), unified.example(row, 2)
        assert one.references == other.references
        assert one.frames[0].size == (ROOM_PIXELS, ROOM_PIXELS)
        assert other.frames[0].size == (IMAGE_SIZE, IMAGE_SIZE)
        view = posed_views(validate_scene(table.row(row, [0])), VIEW)[0]
        pixels = pixels_from_text(asked(one), view.size, STEPS)
        # The plain arm's coordinates name the point exactly; depth there is the reference.
        columns, lines = np.floor(pixels).astype(int).T
        offsets = (pixels - view.intrinsics[:2, 2]) / view.intrinsics[0, 0]
        metres = view.depth_metres[lines, columns] * np.sqrt(1 + (offsets**2).sum(-1))
        np.testing.assert_allclose(metres, one.references, rtol=1e-6)
        # The unified arm's are rounded, and its crop is centred to a whole pixel.
        scale = UNIFIED_FOCAL * IMAGE_SIZE / view.intrinsics[0, 0]
        centred = (pixels - ROOM_PIXELS / 2) * scale + IMAGE_SIZE / 2
        assert np.abs(asked(other) + 0.5 - centred).max() < 1.6
        assert np.abs(asked(other) + 0.5 - centred).mean() < 0.9


def test_points_are_drawn_anew_for_every_use_and_again_for_the_same():
    data = FocalRooms(rooms(2, 3, (0.6, 1.2)), unify=True)
    assert data.example(1, 0).conversation == data.example(1, 0).conversation == data[1].conversation
    assert data.example(1, 0).conversation != data.example(1, 1).conversation
    assert len(data.example(0, 0).conversation) == 16
    assert len(data) == len(data.sample_ids) == 2


def test_a_wide_camera_loses_its_margin_and_a_narrow_one_gains_a_black_one():
    (wide,) = FocalRooms(rooms(1, 3, (0.5, 0.5)), unify=True)[0].frames
    (narrow,) = FocalRooms(rooms(1, 3, (1.6, 1.6)), unify=True)[0].frames
    assert np.asarray(wide).reshape(-1, 3).any(1).all()
    margin = (IMAGE_SIZE - round(IMAGE_SIZE * UNIFIED_FOCAL / 1.6)) // 2
    assert not np.asarray(narrow)[:margin].any()
    assert np.asarray(narrow)[margin + 1 : -margin - 1, margin + 1 : -margin - 1].any(-1).mean() > 0.99


def test_another_focal_length_is_another_view_of_the_same_points():
    scenes = rooms(1, 3, (0.6, 0.6))
    near, far = (FocalRooms(scenes, unify=True, unified_focal=focal)[0] for focal in (0.6, 1.2))
    assert (np.asarray(near.frames[0]) != np.asarray(far.frames[0])).mean() > 0.5


def test_tables_say_mean_spread_and_the_difference_within_seeds():
    def scores(delta, error):
        return {name: {"delta_1": delta, "abs_rel": error, "unparsed": 0.0} for name in TEST_FOCAL}

    plain = {0: scores(0.4, 0.25), 1: scores(0.6, math.nan)}
    unified = {0: scores(0.5, 0.25), 1: scores(0.9, 0.25)}
    delta, error, _ = as_tables({"plain": plain, "unified": unified}).split("\n\n")
    assert len(delta.splitlines()) == 2 + len(ARMS)
    assert delta.splitlines()[2].count("0.500 ± 0.141") == len(TEST_FOCAL)
    assert delta.splitlines()[3].count("0.700 ± 0.283") == delta.count("+0.200 ± 0.100") == len(TEST_FOCAL)
    assert error.count("missing (seed 1)") == len(TEST_FOCAL), "answers that cannot be read have no error"


@pytest.mark.slow
def test_the_ablation_at_a_few_steps(tmp_path):
    flags = ["--max_steps", "3", "--num_rooms", "32", "--per_device_train_batch_size", "8", "--warmup_steps", "1"]
    command = [sys.executable, "trainers/experiments/vlm3_rooms.py", "--ablation", "focal", "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--held_out_rooms", "4", "--seeds", "0", "1", *flags],
        cwd=PACKAGE,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "focal" / "results.json").read_text())
    assert set(results["scores"]) == set(ARMS)
    for seed in ("0", "1"):
        plain, unified = (results["scores"][arm][seed] for arm in ARMS)
        assert set(plain) == set(TEST_FOCAL)
        for name in TEST_FOCAL:
            assert plain[name]["count"] == unified[name]["count"] == 64
    assert (tmp_path / "focal" / "results.md").read_text().strip() in done.stdout
