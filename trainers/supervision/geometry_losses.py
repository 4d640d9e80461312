"""The training-only losses of IGEP: verified depth, cross-view consistency and alignment with a geometry teacher.

Pure functions of predictions and targets. The model receives `igep_objective` when its training heads are built and
never imports this file. Every loss returns one value per sample, so means over micro-batches and ranks compose
exactly. A sample without a target gives an exact zero that keeps its gradient graph; a prediction that is not finite
gives a loss that is not finite, never a silent zero.

Computed in float32 (float64 inputs stay float64), with autocast off.
"""

import torch
from torch import Tensor
from torch.nn import functional

from igep.camera_geometry import (
    full_precision,
    project,
    relative_pose,
    transform_points,
    unproject,
    usable_intrinsics,
    usable_pose,
    warp_depth,
)
from igep.trainers.geometry.depth_sampling import crosses_depth_edge, sample_inverse_depth
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast, sample_mean
from igep.trainers.supervision.photometric_loss import photometric_loss


AGREEMENT = 0.05  # share of the depth by which two measurements of one surface may differ
MIN_DEPTH_METRES = 0.01


def _check_maps(**maps: Tensor | None) -> None:
    first_name, first = next(iter(maps.items()))
    if first.ndim != 4:
        raise ValueError(
            f"{first_name} must have shape (B, F, H, W), got {tuple(first.shape)}: add batch and frame axes"
        )
    for name, value in maps.items():
        if value is not None and value.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, {first_name} {tuple(first.shape)}: bring both to one size"
            )


def measured_pixels(depth_metres: Tensor) -> Tensor:
    """Where depth is finite and positive."""
    return depth_metres.isfinite() & (depth_metres > 0)


@outside_autocast
def depth_loss(predicted_depth_metres: Tensor, confidence: Tensor, depth_metres: Tensor, alpha: float) -> Tensor:
    """Depth error and its gradient, weighted by a predicted confidence that is paid for by its logarithm.

    Per pixel, with `e = D - D_gt` and forward differences:
    `S * |e| + S * (|e_x| + |e_y|) - alpha * log S`, averaged over the measured pixels. A difference counts where both
    of its pixels are measured. For fixed errors the minimum lies at `S = alpha / (|e| + |e_x| + |e_y|)`.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W) z-depth D.
        confidence (`torch.Tensor`): (B, F, H, W) S, positive at every measured pixel.
        depth_metres (`torch.Tensor`): (B, F, H, W) ground truth; 0, negative or non-finite = not measured.
        alpha (`float`): Weight of the logarithm.

    Returns:
        `torch.Tensor`: (B,) loss per sample.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_maps(predicted_depth_metres=predicted_depth_metres, confidence=confidence, depth_metres=depth_metres)
    predicted, confidence = full_precision(predicted_depth_metres), full_precision(confidence)
    measured = measured_pixels(depth_metres)
    truth = torch.where(measured, depth_metres, 0.0).to(predicted.dtype)
    mask = measured.to(predicted.dtype)
    error = (predicted - truth) * mask
    step_x = (error[..., 1:] - error[..., :-1]).abs() * (mask[..., 1:] * mask[..., :-1])
    step_y = (error[..., 1:, :] - error[..., :-1, :]).abs() * (mask[..., 1:, :] * mask[..., :-1, :])
    penalty = error.abs() + functional.pad(step_x, (0, 1)) + functional.pad(step_y, (0, 0, 0, 1))
    # Padded frames have confidence 0: the logarithm must not see it, a mask applied afterwards leaves a NaN.
    confidence_here = torch.where(measured, confidence, 1.0)
    loss = sample_mean(confidence_here * penalty - alpha * confidence_here.log(), mask)
    return loss + graph_zero(predicted, confidence)


@outside_autocast
def cross_view_loss(
    predicted_depth_metres: Tensor,
    intrinsics: Tensor,
    world_from_camera: Tensor,
    neighbour_index: Tensor,
    depth_metres: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Disagreement of two frames' predicted depth where both see the same surface.

    The predicted depth of each frame's neighbour is warped into the frame with the known cameras and compared (L1, in
    metres) with the frame's own prediction at the sub-pixel place where it lands, whose coordinates have no gradient.
    Left out are pixels that land outside the frame, that are occluded, or that land across a depth edge. Where both
    frames have measured depth it decides what is occluded; elsewhere the prediction decides for itself.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W) z-depth.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) in pixels of the depth map; non-finite or singular = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4); non-finite or singular = unknown. Float64 keeps its precision
            until the relative pose is formed.
        neighbour_index (`torch.Tensor`): (B, F) int64, the frame that is warped into each frame; -1 = none.
        depth_metres (`torch.Tensor`, *optional*): (B, F, H, W) measured depth; 0, negative or non-finite = not
            measured.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: (B,) loss per sample, mean over the pixels compared, and (B,) coverage,
        the share of the neighbours' pixels that were compared.

    Raises:
        ValueError: If a shape does not fit.
    """
    _check_maps(predicted_depth_metres=predicted_depth_metres, depth_metres=depth_metres)
    frames = predicted_depth_metres.shape[:2]
    for name, value, shape in (
        ("intrinsics", intrinsics, (*frames, 3, 3)),
        ("world_from_camera", world_from_camera, (*frames, 4, 4)),
        ("neighbour_index", neighbour_index, tuple(frames)),
    ):
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}: give one entry per frame")

    # Cameras, (B, F, ...): unknown ones become harmless before any arithmetic; their pairs are masked below.
    predicted = full_precision(predicted_depth_metres)
    usable = usable_intrinsics(intrinsics) & usable_pose(world_from_camera)
    intrinsics = torch.where(usable[..., None, None], intrinsics, torch.eye(3).to(intrinsics))
    poses = torch.where(usable[..., None, None], world_from_camera, torch.eye(4).to(world_from_camera))

    # Pairs: this index picks, in every (B, F, ...) tensor, the neighbour of each frame.
    neighbour = (torch.arange(len(predicted), device=predicted.device)[:, None], neighbour_index.clamp_min(0))
    paired = (neighbour_index >= 0) & usable & usable[neighbour]
    frame_from_neighbour = relative_pose(poses, poses[neighbour])

    # Prediction, with gradient: the neighbour's depth warped into the frame (B, F, H, W), and the frame's own there.
    points_camera = transform_points(frame_from_neighbour, unproject(predicted[neighbour], intrinsics[neighbour]))
    pixels, warped_depth = project(points_camera, intrinsics, MIN_DEPTH_METRES)
    pixels = pixels.detach()
    own = sample_inverse_depth(predicted, pixels)

    # Occlusion, without gradient: which of the neighbour's pixels (B, F, H, W) see a surface that the frame sees too.
    with torch.no_grad():
        source, reference, two_sided = predicted[neighbour], predicted, None
        if depth_metres is not None:
            measured = measured_pixels(depth_metres)
            known = measured.flatten(2).any(-1)
            two_sided = (known & known[neighbour])[..., None, None]
            reference = torch.where(two_sided, torch.where(measured, depth_metres, 0.0).to(predicted.dtype), predicted)
            # A frame's measured depth may be known while its neighbour's is not: each pair reads its own kind.
            source = torch.where(two_sided, depth_metres[neighbour].to(predicted.dtype), source)
        warped = warp_depth(source, intrinsics[neighbour], frame_from_neighbour, intrinsics, None, MIN_DEPTH_METRES)
        surface = sample_inverse_depth(reference, warped.pixels)
        excess = warped.depth_metres - surface.depth_metres
        if two_sided is not None:
            # Between measurements, standing in front of the measured surface is as wrong as standing behind it.
            # Between predictions it is the very disagreement that the loss is about.
            excess = torch.where(two_sided, excess.abs(), excess)
        compared = warped.visible & surface.valid & (excess <= AGREEMENT * surface.depth_metres)
        compared &= own.valid & (warped_depth >= MIN_DEPTH_METRES) & ~crosses_depth_edge(reference, pixels)
        compared &= paired[..., None, None]

    # L1 over the pixels compared, and their share, (B,) each.
    loss = sample_mean((warped_depth - own.depth_metres).abs(), compared.to(predicted.dtype))
    possible = paired.sum(1).clamp_min(1) * (predicted.shape[-1] * predicted.shape[-2])
    return loss + graph_zero(predicted), (compared.flatten(1).sum(1) / possible).to(predicted.dtype)


@outside_autocast
def alignment_loss(student: Tensor, teacher: Tensor, pooled: bool = False, distance: str = "cosine") -> Tensor:
    """Distance of projected student tokens from a frozen teacher's descriptors, both of unit length.

    Args:
        student (`torch.Tensor`): (B, F, h, w, C).
        teacher (`torch.Tensor`): (B, F, h', w', C), averaged over areas to the student's grid. A descriptor that is
            zero or not finite is missing and takes no part.
        pooled (`bool`, *optional*, defaults to `False`): Compare one mean descriptor per frame instead of every token.
        distance (`str`, *optional*, defaults to `"cosine"`): `"cosine"` = `1 - cos`; `"squared"` = the squared
            distance of the two unit vectors, `2 - 2 cos` (3DRS).

    Returns:
        `torch.Tensor`: (B,) mean over the sample's tokens (or frames) that have a teacher.

    Raises:
        ValueError: If batch, frames or channels differ, or the distance is unknown.
    """
    if distance not in ("cosine", "squared"):
        raise ValueError(f"distance={distance!r} is unknown: use cosine or squared")
    if student.ndim != 5 or teacher.ndim != 5:
        raise ValueError(
            f"student and teacher must have shape (B, F, h, w, C), got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}: put the tokens on their grid"
        )
    if student.shape[:2] != teacher.shape[:2] or student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            f"student is {tuple(student.shape)}, teacher {tuple(teacher.shape)}: batch, frames and channels must "
            "agree; set teacher_channels to the teacher's width and give one descriptor map per frame"
        )
    predicted = full_precision(student)
    target, weight = descriptors_on_grid(teacher.to(predicted.dtype), student.shape[2:4])
    grid = (1, 1) if pooled else student.shape[2:4]
    if pooled:
        compared = predicted * (weight > 0)[..., None]
        compared, target, weight = (_area_average(value, grid) for value in (compared, target, weight[..., None]))
        weight = weight[..., 0]
    else:
        compared = predicted
    has_target = (weight > 0) & (target != 0).any(-1)
    apart = 1 - functional.cosine_similarity(compared, target, dim=-1)
    if distance == "squared":
        apart = 2 * apart  # |a - b|^2 = 2 - 2 a.b for unit vectors
    loss = sample_mean(apart, has_target.to(predicted.dtype))
    return loss + graph_zero(predicted)


def descriptors_on_grid(teacher: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A teacher's descriptors on the student's grid, and how much of each cell has any.

    Args:
        teacher (`torch.Tensor`): (B, F, h', w', C). A descriptor that is zero or not finite is missing.
        size (`tuple[int, int]`): (h, w) of the student's grid.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: (B, F, h, w, C) detached, averaged over areas with missing ones as zeros,
        of which a cosine does not see the common factor; and (B, F, h, w), the share of each cell that is present.
    """
    target = teacher.detach()
    present = target.isfinite().all(-1) & (target != 0).any(-1)
    target = torch.where(present[..., None], target, 0.0)
    weight = present.to(target.dtype)
    if target.shape[2:4] != tuple(size):
        weight = _area_average(weight[..., None], size)[..., 0]
        target = _area_average(target, size)
    return target, weight


def _area_average(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, F, h, w, C) -> (B, F, *size, C), each cell the mean of the cells it covers."""
    maps = values.flatten(0, 1).movedim(-1, 1)
    return functional.adaptive_avg_pool2d(maps, tuple(size)).movedim(1, -1).unflatten(0, values.shape[:2])


@torch.no_grad()
@outside_autocast
def verifier_metrics(predicted_depth_metres: Tensor, depth_metres: Tensor) -> dict[str, Tensor]:
    """Accuracy of predicted depth over the measured pixels.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W).
        depth_metres (`torch.Tensor`): (B, F, H, W); 0, negative or non-finite = not measured.

    Returns:
        `dict[str, torch.Tensor]`: scalars `abs_rel` (mean of |D - D_gt| / D_gt), `delta_1` (share of pixels within a
        factor of 1.25) and `measured_pixels`, their number: with none the first two are 0 and say nothing.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_maps(predicted_depth_metres=predicted_depth_metres, depth_metres=depth_metres)
    predicted = full_precision(predicted_depth_metres)
    measured = measured_pixels(depth_metres)
    count = measured.sum()
    truth = torch.where(measured, depth_metres, 1.0).to(predicted.dtype)
    relative = (predicted - truth).abs() / truth
    close = (predicted < 1.25 * truth) & (truth < 1.25 * predicted)
    return {
        "abs_rel": torch.where(measured, relative, 0.0).sum() / count.clamp_min(1),
        "delta_1": (close & measured).sum() / count.clamp_min(1),
        "measured_pixels": count,
    }


def real_depth(depth_metres: Tensor | None, predicted_depth_metres: Tensor, frame_mask: Tensor) -> Tensor:
    """Measured depth of real frames alone.

    Args:
        depth_metres (`torch.Tensor`): (B, F, H, W) or `None`. No depth at all is depth without a measured pixel: the
            same terms, the same keys on every rank.
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W).
        frame_mask (`torch.Tensor`): (B, F) bool.

    Returns:
        `torch.Tensor`: (B, F, H, W), 0 in padded frames.
    """
    if depth_metres is None:
        depth_metres = torch.zeros_like(predicted_depth_metres)
    return torch.where(frame_mask[..., None, None], depth_metres, 0.0)


def igep_objective(
    *,
    predicted_depth_metres: Tensor | None = None,
    confidence: Tensor | None = None,
    student: Tensor | None = None,
    depth_metres: Tensor | None,
    intrinsics: Tensor | None,
    world_from_camera: Tensor | None,
    frame_mask: Tensor,
    neighbour_index: Tensor | None,
    teacher_descriptors: Tensor | None,
    geometry_weight: float,
    cross_view_weight: float,
    global_weight: float,
    uncertainty_alpha: float,
    pooled_alignment: bool,
    alignment_distance: str = "cosine",
    frame_colours: Tensor | None = None,
    photometric_weight: float = 0.0,
) -> dict[str, Tensor]:
    """Every geometric loss term of IGEP for one batch, unweighted.

    Only frames with measured depth are compared across views by their predictions, which agree with each other best
    where they are flat and near (in metres) or flat and far (relative to depth, or in inverse depth): without a
    measurement nothing holds them. The photometric term sees the other frames, and those alone.

    A weight only says whether its term is computed (0 = it is not, and its keys are absent). A target that is `None`
    makes the term a zero that keeps its gradient graph, so that all ranks build the same graph.

    Args:
        predicted_depth_metres (`torch.Tensor`, *optional*): (B, F, H, W), needed by the geometry and cross-view terms.
        confidence (`torch.Tensor`, *optional*): (B, F, H, W) S, needed by the geometry term.
        student (`torch.Tensor`, *optional*): (B, F, h, w, C) projected tokens. `None` when the model has no projector:
            then there is no global term.
        depth_metres (`torch.Tensor`): (B, F, H, W) or `None`; 0 = not measured.
        intrinsics (`torch.Tensor`): (B, F, 3, 3) or `None`; NaN = unknown.
        world_from_camera (`torch.Tensor`): (B, F, 4, 4) or `None`; NaN = unknown.
        frame_mask (`torch.Tensor`): (B, F) bool, real (not padded) frames.
        neighbour_index (`torch.Tensor`): (B, F) int64 or `None`; -1 = none.
        teacher_descriptors (`torch.Tensor`): (B, F, h', w', C) or `None`; zero or non-finite = missing.
        geometry_weight (`float`): Weight of `loss_geometry`.
        cross_view_weight (`float`): Weight of `loss_cross_view`.
        global_weight (`float`): Weight of `loss_global`.
        uncertainty_alpha (`float`): See `depth_loss`.
        pooled_alignment (`bool`): See `alignment_loss`.
        alignment_distance (`str`, *optional*, defaults to `"cosine"`): See `alignment_loss`.
        frame_colours (`torch.Tensor`, *optional*): (B, F, 3, H, W) uint8; needed by the photometric term.
        photometric_weight (`float`, *optional*, defaults to `0.0`): Weight of `loss_photometric`.

    Returns:
        `dict[str, torch.Tensor]`: scalars `loss_geometry`, `loss_cross_view`, `loss_photometric`, `loss_global` (means
        over B) and the detached metrics `confidence_mean`, `cross_view_coverage`, `photometric_coverage`,
        `depth_abs_rel`, `depth_delta_1` (the last two 0 when the batch has no measured pixel).

    Raises:
        ValueError: If a prediction that a term needs is missing, or a shape does not fit.
    """
    outputs: dict[str, Tensor] = {}
    predicts_depth = geometry_weight or cross_view_weight or photometric_weight
    if predicts_depth and predicted_depth_metres is None:
        raise ValueError("predicted_depth_metres is None: call add_training_heads() or set the depth weights to 0")
    if geometry_weight and confidence is None:
        raise ValueError("confidence is None: pass the verifier's confidence or set geometry_weight to 0")
    if teacher_descriptors is not None and global_weight and student is None:
        raise ValueError(
            "student is None but teacher_descriptors are given: set teacher_channels to the teacher's width"
        )
    if photometric_weight and frame_colours is None:
        raise ValueError("frame_colours is None: give the colours of the frames or set photometric_weight to 0")
    real = frame_mask[..., None, None]  # (B, F, 1, 1)
    has_cameras = intrinsics is not None and world_from_camera is not None and neighbour_index is not None

    # Measured depth of real frames, and how well the verifier meets it.
    if predicts_depth:
        depth_metres = real_depth(depth_metres, predicted_depth_metres, frame_mask)
        metrics = verifier_metrics(predicted_depth_metres, depth_metres)
        outputs["depth_abs_rel"], outputs["depth_delta_1"] = metrics["abs_rel"], metrics["delta_1"]
    # L_geometry
    if geometry_weight:
        loss = depth_loss(predicted_depth_metres, confidence, depth_metres, uncertainty_alpha)
        outputs["loss_geometry"] = loss.mean()
        mask = real.expand_as(confidence)
        outputs["confidence_mean"] = (full_precision(confidence.detach()) * mask).sum() / mask.sum().clamp_min(1)
    # L_cross_view
    if cross_view_weight:
        if not has_cameras:
            loss = graph_zero(predicted_depth_metres)
            coverage = torch.zeros_like(loss)
        else:
            loss, coverage = cross_view_loss(
                predicted_depth_metres,
                intrinsics,
                world_from_camera,
                _between_measured_frames(_between_real_frames(neighbour_index, frame_mask), depth_metres),
                depth_metres,
            )
        outputs["loss_cross_view"] = loss.mean()
        outputs["cross_view_coverage"] = coverage.detach().mean()
    # Beside the paper: colour, where no depth is measured
    if photometric_weight:
        if not has_cameras:
            loss = graph_zero(predicted_depth_metres)
            coverage = torch.zeros_like(loss)
        else:
            loss, coverage = photometric_loss(
                predicted_depth_metres,
                frame_colours,
                intrinsics,
                world_from_camera,
                _of_unmeasured_frames(_between_real_frames(neighbour_index, frame_mask), depth_metres),
            )
        outputs["loss_photometric"] = loss.mean()
        outputs["photometric_coverage"] = coverage.detach().mean()
    # L_global
    if global_weight and student is not None:
        if teacher_descriptors is None:
            loss = graph_zero(student)
        else:
            teacher = torch.where(real[..., None], teacher_descriptors, 0.0)
            loss = alignment_loss(student, teacher, pooled_alignment, alignment_distance)
        outputs["loss_global"] = loss.mean()
    return outputs


def _between_real_frames(neighbour_index: Tensor, frame_mask: Tensor) -> Tensor:
    neighbour_is_real = frame_mask.gather(1, neighbour_index.clamp_min(0))
    return torch.where(frame_mask & neighbour_is_real, neighbour_index, -1)


def _between_measured_frames(neighbour_index: Tensor, depth_metres: Tensor) -> Tensor:
    measured = _are_measured(depth_metres)
    return torch.where(measured & measured.gather(1, neighbour_index.clamp_min(0)), neighbour_index, -1)


def _of_unmeasured_frames(neighbour_index: Tensor, depth_metres: Tensor) -> Tensor:
    return torch.where(_are_measured(depth_metres), -1, neighbour_index)


def _are_measured(depth_metres: Tensor) -> Tensor:
    return measured_pixels(depth_metres).flatten(2).any(-1)
