"""Of several mistakes that explain a disagreement the simplest is named, unless another one explains clearly more."""

import numpy as np
import pytest
import torch
from scene_folders import COLOUR_INTRINSICS, COLOUR_SIZE, camera_path, true_depth

from igep.trainers.scene_check.depth_agreement import DepthCamera
from igep.trainers.scene_check.geometry_mistakes import Mistake, common_mistakes, explain_disagreement


SOURCES, TARGETS = torch.tensor([0]), torch.tensor([1])


def walls(second_metres: float) -> DepthCamera:
    """Two maps of one camera that does not move: the error is |2 - second| / second."""
    depth = torch.full((2, 12, 16), 2.0)
    depth[1] = second_metres
    intrinsics = torch.tensor([[16.0, 0, 8], [0, 16, 6], [0, 0, 1]]).expand(2, 3, 3)
    return DepthCamera(depth, intrinsics, torch.eye(4, dtype=torch.float64).repeat(2, 1, 1))


def mistake(description: str, relative_error: float) -> Mistake:
    """A mistake without which this error remains."""
    return Mistake(description, walls(2 / (1 - relative_error)))


def explained(*mistakes: Mistake):
    return explain_disagreement(walls(2.5), SOURCES, TARGETS, mistakes)


def test_the_simplest_of_equally_good_mistakes_is_named():
    found = explained(mistake("simple", 0.0110), mistake("elaborate", 0.0100), mistake("more so", 0.0101))
    assert found.description == "simple"
    assert found.relative_error == pytest.approx(0.011, rel=1e-3)


def test_an_elaborate_mistake_is_named_where_it_explains_clearly_more():
    found = explained(mistake("simple", 0.0150), mistake("elaborate", 0.0100))
    assert found.description == "elaborate"
    assert found.relative_error == pytest.approx(0.01, rel=1e-3)


def test_what_leaves_too_much_explains_nothing():
    assert explained(mistake("simple", 0.03)) is None
    right = walls(2.0)
    assert explain_disagreement(right, SOURCES, TARGETS, [Mistake("elaborate", right)]) is None


def test_poses_that_only_turn_are_called_inverted_and_not_transposed():
    """Without translations the inverse of a pose is its transpose: both explain it, and the first is the simpler word."""
    poses = camera_path(3)
    poses[:, :3, 3] = 0
    depth = torch.from_numpy(np.stack([true_depth(COLOUR_INTRINSICS, pose, COLOUR_SIZE) for pose in poses])).float()
    intrinsics = torch.from_numpy(COLOUR_INTRINSICS).float().expand(3, 3, 3)
    spoiled = DepthCamera(depth, intrinsics, torch.from_numpy(poses).mT.contiguous())
    found = explain_disagreement(spoiled, torch.tensor([0, 1]), torch.tensor([1, 2]), common_mistakes(spoiled))
    assert found.description.startswith("the poses are world-to-camera: store")
    assert found.relative_error < 1e-4
