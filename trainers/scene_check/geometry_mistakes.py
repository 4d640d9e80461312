"""Simple mistakes in poses, intrinsics and units, each with what the cameras would be without it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import torch
from torch import Tensor

from igep.camera_geometry import euclidean_from_z, z_from_euclidean
from igep.trainers.scene_check.depth_agreement import DepthCamera, depth_agreement


# Ratio of the unit of the depth to that of the translations: mm and m; cm and m; 0.1 mm (1/10000), 1/5000 and 1/4000 m
# for 1/1000 m, all of them units of well-known data sets.
UNIT_RATIOS = (1000.0, 0.001, 100.0, 0.01, 10.0, 0.1, 5.0, 0.2, 4.0, 0.25)
IMAGE_RATIOS = (2.0, 0.5, 3.0, 1 / 3, 4.0, 0.25)
FOCAL_RATIOS = (0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2, 1.25)
PLAUSIBLE_DEPTH_METRES = (0.15, 12.0)
EXPLAINING_RATIO = 0.6  # an explanation must lower the error at least to this share
EXPLAINED_ERROR = 0.02
COMPARABLE_SHARE = 0.4
COMPARABLE_PIXELS = 30
NEGLIGIBLE_ERROR = 0.003
AS_GOOD = 1.15  # mistakes that explain equally well: the simplest one, which comes first, is named


@dataclass(frozen=True)
class Mistake:
    """A mistake that the data may have.

    Args:
        description (`str`): What would be wrong, and what to do.
        corrected (`DepthCamera`): The depth maps and cameras without it.
    """

    description: str
    corrected: DepthCamera


@dataclass(frozen=True)
class Explanation:
    """A mistake that explains the disagreement.

    Args:
        description (`str`): What is likely wrong, and what to do.
        relative_error (`float`): Median relative error that would remain without it.
    """

    description: str
    relative_error: float


def explain_disagreement(
    camera: DepthCamera, sources: Tensor, targets: Tensor, mistakes: Iterable[Mistake]
) -> Explanation | None:
    """Find the simplest mistake without which the depth maps agree much better.

    Args:
        camera (`DepthCamera`): The data as given.
        sources (`torch.Tensor`): (P,) int64, frames to carry.
        targets (`torch.Tensor`): (P,) int64, frames to compare with.
        mistakes (`Iterable[Mistake]`): What to try, simple mistakes first.

    Returns:
        `Explanation | None`: The mistake; `None` when no simple one explains the disagreement, or there is none.
    """
    given = _pair_errors(camera, sources, targets)
    candidates = []
    for mistake in mistakes:
        error = _pair_errors(mistake.corrected, sources, targets)
        if _explains(error, given):
            candidates.append(Explanation(mistake.description, error.nanmedian().item()))
    if not candidates:
        return None
    best = min(candidate.relative_error for candidate in candidates)
    return next(candidate for candidate in candidates if candidate.relative_error <= AS_GOOD * best)


def _pair_errors(camera: DepthCamera, sources: Tensor, targets: Tensor) -> Tensor:
    """(P,) median relative error, nan where too few pixels can be compared."""
    _, error, count = depth_agreement(camera, sources, targets)
    return torch.where(count >= COMPARABLE_PIXELS, error, torch.nan)


def _explains(error: Tensor, given: Tensor) -> bool:
    comparable = error.isfinite()
    if comparable.float().mean() < COMPARABLE_SHARE or error.nanmedian() > EXPLAINED_ERROR:
        return False
    both = comparable & given.isfinite()
    if given.isfinite().float().mean() < COMPARABLE_SHARE:
        # As given, hardly any frame sees what another one does.
        return True
    if not both.any() or given[both].median() < NEGLIGIBLE_ERROR:
        return False
    floor = 1e-5
    ratio = (error[both].clamp_min(floor) / given[both].clamp_min(floor)).log().mean().exp()
    return ratio.item() < EXPLAINING_RATIO


def common_mistakes(camera: DepthCamera) -> Iterator[Mistake]:
    """Mistakes in the direction, axes and units of poses, in intrinsics, and in the kind of depth.

    Args:
        camera (`DepthCamera`): The data as given.

    Yields:
        `Mistake`: Simple ones first.
    """
    pose = camera.world_from_camera
    inverse = torch.linalg.inv(pose)
    opengl = torch.diag(pose.new_tensor([1.0, -1.0, -1.0, 1.0]))
    yield Mistake(
        "the poses are world-to-camera: store their inverses (camera-to-world)",
        replace(camera, world_from_camera=inverse),
    )
    yield Mistake(
        "the poses have OpenGL camera axes (y up, z backward): negate their second and third columns",
        replace(camera, world_from_camera=pose @ opengl),
    )
    yield Mistake(
        "the poses are world-to-camera with OpenGL camera axes (y up, z backward): invert them, then negate their second "
        "and third columns",
        replace(camera, world_from_camera=inverse @ opengl),
    )
    for ratio in UNIT_RATIOS:
        scaled = pose.clone()
        scaled[:, :3, 3] *= ratio
        yield Mistake(_unit_mistake(camera.depth_metres, ratio), replace(camera, world_from_camera=scaled))
    yield from _intrinsics_mistakes(camera)
    yield Mistake(
        "the depth is euclidean (distance to the camera), not z: say depth_kind 'euclidean'",
        replace(camera, depth_metres=z_from_euclidean(camera.depth_metres, camera.intrinsics)),
    )
    yield Mistake(
        "the depth is z, not euclidean (distance to the camera): say depth_kind 'z'",
        replace(camera, depth_metres=euclidean_from_z(camera.depth_metres, camera.intrinsics)),
    )
    transposed = pose.clone()
    transposed[:, :3, :3] = pose[:, :3, :3].mT
    yield Mistake(
        "the rotations of the poses are transposed: transpose their upper left 3x3",
        replace(camera, world_from_camera=transposed),
    )
    yield Mistake(
        "the poses do not belong to these frames: no motion at all fits better",
        replace(camera, world_from_camera=torch.eye(4, dtype=pose.dtype).expand_as(pose)),
    )


def _unit_mistake(depth_metres: Tensor, ratio: float) -> str:
    """Agreement fixes only the ratio of depth to translation; which of them is off shows in what depth is plausible."""
    median = depth_metres[depth_metres > 0].median().item()
    low, high = PLAUSIBLE_DEPTH_METRES
    mixed_up = " (metres and millimetres mixed up)" if ratio in (1000.0, 0.001) else ""
    poses = f"the unit of the pose translations is wrong: multiply them by {ratio:g}{mixed_up}"
    depth = f"the unit of the depth is wrong (median {median:.3g} m): multiply `metres_per_depth_unit` by {1 / ratio:g}{mixed_up}"
    is_plausible, would_be_plausible = low <= median <= high, low <= median / ratio <= high
    if is_plausible == would_be_plausible:
        return f"{depth}; or {poses}"
    return poses if is_plausible else depth


def _intrinsics_mistakes(camera: DepthCamera) -> Iterator[Mistake]:
    """Intrinsics of an image of another size, and a focal length of another camera."""
    for ratio in IMAGE_RATIOS:
        intrinsics = camera.intrinsics.clone()
        intrinsics[:, :2] *= ratio
        yield Mistake(
            f"the intrinsics are those of an image of another size: multiply their first two rows by {ratio:.4g}",
            replace(camera, intrinsics=intrinsics),
        )
    for ratio in FOCAL_RATIOS:
        intrinsics = camera.intrinsics.clone()
        intrinsics[:, 0, 0] *= ratio
        intrinsics[:, 1, 1] *= ratio
        yield Mistake(
            f"the depth camera's focal length is wrong: about {ratio:g} times as long fits better (are the intrinsics those "
            "of the colour camera, or not scaled with the image?)",
            replace(camera, intrinsics=intrinsics),
        )


def axis_mistakes(camera: DepthCamera) -> Iterator[Mistake]:
    """Every right-handed choice of camera axes, with poses as given and inverted.

    Args:
        camera (`DepthCamera`): The data as given.

    Yields:
        `Mistake`: 48 of them.
    """
    pose = camera.world_from_camera
    inverse = torch.linalg.inv(pose)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        axes = torch.zeros(4, 4, dtype=pose.dtype)
        axes[order, range(3)] = torch.tensor(signs, dtype=pose.dtype)
        axes[3, 3] = 1
        if torch.linalg.det(axes) < 0:
            continue
        names = ", ".join(f"{'-' if sign < 0 else ''}{'xyz'[axis]}" for axis, sign in zip(order, signs, strict=True))
        for convention, matrix in (("", pose), ("world-to-camera, and ", inverse)):
            yield Mistake(
                f"the poses are {convention}not in OpenCV camera axes: right, down, forward are their axes ({names}): "
                "reorder their columns so",
                replace(camera, world_from_camera=matrix @ axes),
            )
