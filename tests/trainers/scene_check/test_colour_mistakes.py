"""Mistakes in the colour camera's intrinsics are described by what the depth camera's tell of them."""

import numpy as np
from checked_rooms import room_row, spoiled

from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.scene_check.colour_mistakes import camera_mistakes
from igep.trainers.scene_check.scene_views import read_scene_views


def off_centre(row: dict, cut: int = 24) -> dict:
    """A right row of a camera whose principal point is off the middle of its images."""
    matrices = np.asarray(row["intrinsics"])
    matrices[:, 0, 2] -= cut
    images = {
        name: [image.crop((cut, 0, image.width, image.height)) for image in row[name]] for name in ("frames", "depth")
    }
    return {**row, **images, "intrinsics": matrices.tolist(), "depth_intrinsics": matrices.tolist()}


def test_where_both_cameras_are_one_the_other_size_is_known() -> None:
    right = off_centre(room_row())
    views = read_scene_views(validate_scene(spoiled("colour squeezed to 0.7 of its width", right)))
    mistakes = list(camera_mistakes(views))
    assert not any("mixed up" in mistake.description for mistake in mistakes)
    words = "another size: multiply their first row by 0.692 and their second by 1"  # 72 columns of 104
    (exact,) = (mistake for mistake in mistakes if words in mistake.description)
    stored = np.asarray(right["intrinsics"])[0]
    np.testing.assert_allclose(exact.corrected.intrinsics[0, 0], stored[0] * 72 / 104, rtol=0.02)
    np.testing.assert_allclose(exact.corrected.intrinsics[0, 1], stored[1], rtol=0.02)


def test_where_they_are_two_they_may_be_mixed_up() -> None:
    row = room_row()
    other = np.asarray(row["intrinsics"])
    other[:, [0, 1], [0, 1]] *= 1.2
    views = read_scene_views(validate_scene({**row, "intrinsics": other.tolist()}))
    assert any("mixed up" in mistake.description for mistake in camera_mistakes(views))
