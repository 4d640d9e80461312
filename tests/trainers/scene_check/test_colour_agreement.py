"""Colours agree with the right colour camera and no other; what was done to images is undone by the right mistake."""

import numpy as np
import pytest
from checked_rooms import room_row, room_views, spoiled

from igep.trainers.data.scenes.scene_validation import validate_scene
from igep.trainers.scene_check.colour_agreement import ColourGeometry, colour_agreement, common_points, stored_colour
from igep.trainers.scene_check.colour_mistakes import colour_mistakes
from igep.trainers.scene_check.depth_agreement import stored_geometry
from igep.trainers.scene_check.frame_pairs import near_and_far_pairs
from igep.trainers.scene_check.scene_views import SceneViews, read_scene_views


def agreement(views: SceneViews, colour: ColourGeometry) -> float:
    common = common_points(views, stored_geometry(views), *near_and_far_pairs(len(views)))
    correlation = colour_agreement(views, common, colour)
    return float(np.nanmean(correlation)) if np.isfinite(correlation).any() else -1.0


def test_an_image_agrees_with_itself() -> None:
    views = room_views()
    frame = np.array([3])
    common = common_points(views, stored_geometry(views), frame, frame)
    np.testing.assert_allclose(colour_agreement(views, common, stored_colour(views)), 1, atol=1e-5)


def test_right_colours_agree_and_those_of_other_frames_do_not() -> None:
    views = room_views()
    assert agreement(views, stored_colour(views)) > 0.4
    strangers = np.random.default_rng(0).permutation(len(views))
    assert abs(agreement(views, ColourGeometry(views.colour_intrinsics, strangers))) < 0.15


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("colour mirrored", "mirrored"),
        ("colour upside down", "upside down"),
        ("colour turned by 180 degrees", "turned"),
        ("colour turned to portrait", "turned left"),
        ("colour reversed", "backwards"),
        ("colour sorted as text", "text order"),
        ("colour one frame late", "lag"),
        ("colour intrinsics x 0.5", "image size"),
        ("colour squeezed to 0.7 of its width", "image sides"),
        ("colour cropped to its middle", "crop"),
        ("colour's left quarter cut off", "crop"),
    ],
)
def test_each_mistake_is_undone_by_its_own_kind(name: str, family: str) -> None:
    views = read_scene_views(validate_scene(spoiled(name)))
    without = {}
    for mistake in colour_mistakes(views):
        value = agreement(views, mistake.corrected)
        without[mistake.family] = max(value, without.get(mistake.family, -1.0))
    assert without[family] == pytest.approx(max(without.values()), abs=1e-6)
    assert without[family] > 0.35
    assert agreement(views, stored_colour(views)) < without[family] - 0.1


def test_the_intrinsics_of_one_camera_are_the_matter_of_its_depth() -> None:
    views = read_scene_views(validate_scene(room_row(own_depth_camera=False)))
    assert {mistake.kind for mistake in colour_mistakes(views)} == {"colour images", "colour order"}
