import numpy as np
import pytest
from scene_folders import scene_row, write_exported
from tiny_training import SlantedWalls

from igep.trainers.data.scenes.spatial_example import SpatialDataError
from igep.trainers.experiments.posed_rgb import HiddenDepth, depth_figures, main


def test_figures_are_the_closed_form():
    measured = np.array([[[1.0, 2.0], [4.0, 0.0]]])
    figures = depth_figures(np.array([[[2.0, 4.0], [4.0, 9.0]]]), measured)
    spread = np.log([2.0, 4.0, 4.0]).std()
    assert figures == pytest.approx(
        {"median_metres": 4.0, "abs_rel": 2 / 3, "scaled_abs_rel": (0 + 0 + 0.5) / 3, "spread": spread}
    )


def test_a_constant_has_no_spread_and_scale_does_not_count():
    measured = np.random.default_rng(0).uniform(1, 4, (2, 3, 4))
    one, other = (depth_figures(np.full_like(measured, depth), measured) for depth in (1.0, 3.0))
    assert [one["spread"], other["spread"]] == pytest.approx([0, 0])
    assert one["scaled_abs_rel"] == pytest.approx(other["scaled_abs_rel"])


def test_nothing_to_compare_with_is_said():
    with pytest.raises(SpatialDataError, match="no measured depth to compare with"):
        depth_figures(np.ones((1, 2, 2)), np.zeros((1, 2, 2)))


def test_it_runs_on_a_folder(tmp_path, capsys):
    folder = write_exported(tmp_path / "desk", scene_row(num_frames=6))
    options = ["--max_steps", "2", "--per_device_train_batch_size", "2", "--use_cpu", "true", "--save_strategy", "no"]
    options += ["--output_dir", str(tmp_path / "out"), "--geometry_size", "12", "16", "--disable_tqdm", "true"]
    main(["--scenes", str(folder), *options])
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if "|" in line
    ]
    assert [row[1] for row in table[2:]] == ["measured", "constant", "before training", "after 2 steps"]
    assert table[2][3:5] == ["0.000", "0.000"]
    assert table[3][5] == "0.000"
    assert table[4][2:] != table[5][2:]


def test_training_does_not_see_depth():
    rows = HiddenDepth(SlantedWalls(2))
    assert len(rows) == 2
    assert rows[1].depth_metres is None
    assert rows[1].sample_id == "wall-1"
