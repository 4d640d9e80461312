"""What counts as named, and the experiment at its smallest."""

import numpy as np
import pytest
from checked_rooms import room_row

from igep.trainers.experiments.check_mistakes import judged, main
from igep.trainers.experiments.deliberate_mistakes import DELIBERATE_MISTAKES, DeliberateMistake
from igep.trainers.experiments.spoiled_rows import as_text
from igep.trainers.scene_check.check_scenes import SceneReport


MISTAKE = DeliberateMistake("poses inverted", "pose convention", "world-to-camera", lambda row: row, "colour camera")


@pytest.mark.parametrize(
    ("verdict", "reason", "not_testable", "outcome"),
    [
        ("wrong", "likely the poses are world-to-camera: store", (), "named"),
        ("wrong", "either the poses are world-to-camera; or turned", (), "named"),
        ("wrong", "likely the poses are world-to-camera; likely the colour camera's focal length", (), "named"),
        ("wrong", "likely the poses are world-to-camera; likely the depth is mirrored", (), "wrong cause"),
        ("wrong", "likely the depth is mirrored", (), "wrong cause"),
        ("suspicious", "an error of 30%", (), "suspicious"),
        ("not testable", "cannot show mistakes in pose convention", ("pose convention",), "not testable"),
        ("not testable", "cannot show mistakes in colour images", ("colour images",), "missed"),
        ("ok", "", (), "missed"),
    ],
)
def test_outcomes(verdict: str, reason: str, not_testable: tuple[str, ...], outcome: str) -> None:
    assert judged(MISTAKE, SceneReport("desk", 5, verdict, reason, not_testable)) == outcome


def test_sixty_mistakes_each_change_a_row_and_leave_the_right_one_alone() -> None:
    row = room_row(8)
    before = np.asarray(row["world_from_camera"]).copy(), [np.asarray(image).copy() for image in row["frames"]]
    assert len(DELIBERATE_MISTAKES) >= 60
    assert len({mistake.name for mistake in DELIBERATE_MISTAKES}) == len(DELIBERATE_MISTAKES)
    unchanged = [mistake.name for mistake in DELIBERATE_MISTAKES if mistake.make(row) in (None, row)]
    # A rendered room has square images with one focal length, and fewer than 11 frames are in the order of their
    # names.
    assert set(unchanged) == {
        "axes of K swapped",
        "fx and fy swapped",
        "intrinsics of the two cameras mixed up",
        "poses sorted as text",
        "depth sorted as text",
        "colour sorted as text",
    }
    np.testing.assert_array_equal(row["world_from_camera"], before[0])
    assert all((np.asarray(image) == old).all() for image, old in zip(row["frames"], before[1], strict=True))


def test_numbers_sorted_as_text() -> None:
    assert as_text(12) == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_experiment_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--room_seed", "5", "--only", "^(poses inverted|colour mirrored|axes of K swapped)$"]) == 0
    printed = capsys.readouterr().out
    assert "room_5" in printed
    lines = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in printed.splitlines() if "|" in line}
    assert (lines["untouched"], lines["poses inverted"], lines["colour mirrored"]) == ("ok", "named", "named")
    assert lines["axes of K swapped"] == "-"
    assert lines["named"] == "2"
    assert "False alarms on untouched scenes: 0" in printed
