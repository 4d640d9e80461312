"""IGEP's geometric losses as in its authors' code (`objective: release`), beside the paper's in `geometry_losses`.

Read in ChushanZhang/3D-IDE at 0002655; nothing of it is copied. The depth terms are those of VGGT's training: the
confidence weighs the error alone, an L1 beside it is not weighed, gradients are compared at several scales, and the
largest errors are left out. Across views the verifier is asked for the depth of *another* frame, from one frame's
features and the relative pose.

As in `geometry_losses`: pure functions, one value per sample, zeros that keep their graph where there is no target,
float32 outside autocast. The authors reduce over a batch of one sample, so that both are the same there.
"""

import torch
from torch import Tensor

from igep.camera_geometry import full_precision, relative_pose, warp_depth
from igep.trainers.supervision.geometry_losses import (
    alignment_loss,
    measured_pixels,
    real_depth,
    verifier_metrics,
)
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast, sample_mean


ERROR_WEIGHT = 1.0  # gamma
LARGEST_LOSS = 100.0
KEPT_SHARE = 0.98  # the losses above this quantile are left out
FEWEST_FOR_QUANTILE = 1000
FEWEST_PIXELS = 100  # a sample with fewer measured ones has no depth loss
FEWEST_COVISIBLE_PIXELS = 10  # nor a pair of frames with fewer that both see
SCALES = 4


def kept_pixels(losses: Tensor, mask: Tensor) -> Tensor:
    """The pixels of each sample whose loss is not among the largest.

    Args:
        losses (`torch.Tensor`): (B, N).
        mask (`torch.Tensor`): (B, N) bool, the pixels that count.

    Returns:
        (B, N) bool: those of the mask up to the quantile `KEPT_SHARE` of the sample, all where fewer than
        `FEWEST_FOR_QUANTILE` count.
    """
    kept = mask.clone()
    for sample, (values, counts) in enumerate(zip(losses.detach(), mask, strict=True)):
        number = int(counts.sum())
        if number >= FEWEST_FOR_QUANTILE:
            # Of sorted values: `torch.quantile` takes no more than 16 million.
            place = KEPT_SHARE * (number - 1)
            ordered = values[counts].sort().values
            low, high = ordered[int(place)], ordered[min(int(place) + 1, number - 1)]
            kept[sample] &= values <= low + (high - low) * (place - int(place))
    return kept


def _trimmed_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean of the (B, ...) losses over the mask without the largest, 0 where too few pixels are measured."""
    losses, mask = losses.flatten(1).clamp(max=LARGEST_LOSS), mask.flatten(1)
    enough = mask.sum(1, keepdim=True) >= FEWEST_PIXELS
    return sample_mean(losses, (kept_pixels(losses, mask) & enough).to(losses.dtype))


@outside_autocast
def confidence_loss(predicted_depth_metres: Tensor, confidence: Tensor, depth_metres: Tensor, alpha: float) -> Tensor:
    """Depth error weighed by a confidence that is paid for by its logarithm: `gamma |e| c - alpha log c`, gamma = 1.

    For a fixed error the minimum lies at `c = alpha / |e|`. Unlike `depth_loss` the gradient of the error is not in
    it.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W).
        confidence (`torch.Tensor`): (B, F, H, W) c, positive.
        depth_metres (`torch.Tensor`): (B, F, H, W); 0, negative or non-finite = not measured.
        alpha (`float`): Weight of the logarithm.

    Returns:
        `torch.Tensor`: (B,).
    """
    error, mask = _errors(predicted_depth_metres, depth_metres)
    trusted = torch.where(mask, full_precision(confidence), 1.0).clamp_min(1e-6)
    loss = _trimmed_mean(ERROR_WEIGHT * error.abs() * trusted - alpha * trusted.log(), mask)
    return loss + graph_zero(predicted_depth_metres, confidence)


@outside_autocast
def regression_loss(predicted_depth_metres: Tensor, depth_metres: Tensor) -> Tensor:
    """Mean absolute depth error, which no confidence weighs.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W).
        depth_metres (`torch.Tensor`): (B, F, H, W); 0, negative or non-finite = not measured.

    Returns:
        `torch.Tensor`: (B,) metres.
    """
    error, mask = _errors(predicted_depth_metres, depth_metres)
    return _trimmed_mean(error.abs(), mask) + graph_zero(predicted_depth_metres)


@outside_autocast
def gradient_loss(predicted_depth_metres: Tensor, depth_metres: Tensor) -> Tensor:
    """Differences of neighbouring errors, `|e_x| + |e_y|`, at every pixel, every second, fourth and eighth.

    Args:
        predicted_depth_metres (`torch.Tensor`): (B, F, H, W).
        depth_metres (`torch.Tensor`): (B, F, H, W); 0, negative or non-finite = not measured.

    Returns:
        `torch.Tensor`: (B,) mean over the scales of the sum over the measured pixels of a scale, divided by their
        number. A difference counts where both of its pixels are measured.
    """
    error, mask = _errors(predicted_depth_metres, depth_metres)
    enough = mask.flatten(1).sum(1) >= FEWEST_PIXELS
    total = error.new_zeros(len(error))
    for scale in range(SCALES):
        step = 2**scale
        e, m = error[..., ::step, ::step], mask[..., ::step, ::step]
        across = (e[..., 1:] - e[..., :-1]).abs().clamp(max=LARGEST_LOSS) * (m[..., 1:] & m[..., :-1])
        down = (e[..., 1:, :] - e[..., :-1, :]).abs().clamp(max=LARGEST_LOSS) * (m[..., 1:, :] & m[..., :-1, :])
        summed = across.flatten(1).sum(1) + down.flatten(1).sum(1)
        total = total + summed / m.flatten(1).sum(1).clamp_min(1)
    return torch.where(enough, total / SCALES, 0.0) + graph_zero(predicted_depth_metres)


@torch.no_grad()
@outside_autocast
def covisible_pixels(
    source_depth_metres: Tensor,
    source_intrinsics: Tensor,
    target_depth_metres: Tensor,
    target_intrinsics: Tensor,
    target_from_source: Tensor,
) -> Tensor:
    """The measured pixels of target frames on which a point that the source frame measured lands, hidden there or not.

    Args:
        source_depth_metres (`torch.Tensor`): (P, H, W); 0, negative or non-finite = not measured.
        source_intrinsics (`torch.Tensor`): (P, 3, 3).
        target_depth_metres (`torch.Tensor`): (P, H, W).
        target_intrinsics (`torch.Tensor`): (P, 3, 3).
        target_from_source (`torch.Tensor`): (P, 4, 4).

    Returns:
        `torch.Tensor`: (P, H, W) bool; nothing where a camera is unknown.
    """
    warped = warp_depth(source_depth_metres, source_intrinsics, target_from_source, target_intrinsics)
    return (warped.target_depth_metres > 0) & measured_pixels(target_depth_metres)


@outside_autocast
def pair_depth_loss(predicted_depth_metres: Tensor, depth_metres: Tensor, covisible: Tensor) -> Tensor:
    """Mean absolute depth error of each pair of frames over what both see.

    Args:
        predicted_depth_metres (`torch.Tensor`): (P, H, W) depth of the target frames: predicted from the source's
            features and the relative pose, or from their own.
        depth_metres (`torch.Tensor`): (P, H, W) measured.
        covisible (`torch.Tensor`): (P, H, W) bool, see `covisible_pixels`.

    Returns:
        `torch.Tensor`: (P,) metres; 0 for a pair with fewer than `FEWEST_COVISIBLE_PIXELS`.
    """
    predicted = full_precision(predicted_depth_metres)
    seen = covisible & (covisible.flatten(1).sum(1) >= FEWEST_COVISIBLE_PIXELS)[:, None, None]
    truth = torch.where(seen, full_precision(depth_metres), 0.0)
    return sample_mean((predicted - truth).abs(), seen.to(predicted.dtype)) + graph_zero(predicted_depth_metres)


def release_objective(
    *,
    predicted_depth_metres: Tensor | None = None,
    confidence: Tensor | None = None,
    pairs: Tensor | None = None,
    pair_predicted_depth_metres: Tensor | None = None,
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
    alignment_distance: str = "squared",
) -> dict[str, Tensor]:
    """Every geometric loss term of the authors' code for one batch, unweighted; in place of `igep_objective`.

    `loss_geometry` is the sum of confidence, regression and gradient terms; `loss_cross_view` that of the two terms of
    pairs: the neighbour's depth as it is predicted from a frame and the relative pose, and as it is predicted from its
    own features, both where both see. A mean over the pairs of each sample with enough such pixels.

    Args:
        predicted_depth_metres (`torch.Tensor`, *optional*): (B, F, H, W), needed by the geometry and cross-view terms.
        confidence (`torch.Tensor`, *optional*): (B, F, H, W), needed by the geometry term.
        pairs (`torch.Tensor`, *optional*): (P, 3) long: sample, frame and neighbour. Needed by the cross-view term.
        pair_predicted_depth_metres (`torch.Tensor`, *optional*): (P, H, W) depth of the neighbours, predicted from the
            frames.
        student (`torch.Tensor`, *optional*): As in `igep_objective`, like all that follow but one.
        depth_metres (`torch.Tensor`): As there.
        intrinsics (`torch.Tensor`): As there.
        world_from_camera (`torch.Tensor`): As there.
        frame_mask (`torch.Tensor`): As there.
        neighbour_index (`torch.Tensor`): (B, F, K), from which `pairs` were made; not used here.
        teacher_descriptors (`torch.Tensor`): As there.
        geometry_weight (`float`): As there.
        cross_view_weight (`float`): As there.
        global_weight (`float`): As there.
        uncertainty_alpha (`float`): See `confidence_loss`.
        pooled_alignment (`bool`): As there.
        alignment_distance (`str`, *optional*, defaults to `"squared"`): As there.

    Returns:
        `dict[str, torch.Tensor]`: As `igep_objective`. `cross_view_coverage` is the share of the neighbours' pixels
        that the pairs saw.

    Raises:
        ValueError: A prediction that a term needs is missing.
    """
    outputs: dict[str, Tensor] = {}
    if (geometry_weight or cross_view_weight) and (predicted_depth_metres is None or confidence is None):
        raise ValueError("predicted depth or confidence is None: call add_training_heads() or set both weights to 0")
    if geometry_weight or cross_view_weight:
        depth_metres = real_depth(depth_metres, predicted_depth_metres, frame_mask)
        metrics = verifier_metrics(predicted_depth_metres, depth_metres)
        outputs["depth_abs_rel"], outputs["depth_delta_1"] = metrics["abs_rel"], metrics["delta_1"]
    # L_conf + L_reg + L_grad
    if geometry_weight:
        loss = confidence_loss(predicted_depth_metres, confidence, depth_metres, uncertainty_alpha)
        loss = loss + regression_loss(predicted_depth_metres, depth_metres)
        outputs["loss_geometry"] = (loss + gradient_loss(predicted_depth_metres, depth_metres)).mean()
        mask = frame_mask[..., None, None].expand_as(confidence)
        outputs["confidence_mean"] = (full_precision(confidence.detach()) * mask).sum() / mask.sum().clamp_min(1)
    # L_cv_pred + L_cv_consistency
    if cross_view_weight:
        loss, coverage = _pair_terms(
            predicted_depth_metres, pairs, pair_predicted_depth_metres, depth_metres, intrinsics, world_from_camera
        )
        outputs["loss_cross_view"] = loss.mean()
        outputs["cross_view_coverage"] = coverage.mean()
    # L_global
    if global_weight and student is not None:
        if teacher_descriptors is None:
            loss = graph_zero(student)
        else:
            teacher = torch.where(frame_mask[..., None, None, None], teacher_descriptors, 0.0)
            loss = alignment_loss(student, teacher, pooled_alignment, alignment_distance)
        outputs["loss_global"] = loss.mean()
    return outputs


def _pair_terms(
    predicted: Tensor,
    pairs: Tensor | None,
    pair_predicted: Tensor | None,
    depth: Tensor,
    intrinsics: Tensor | None,
    world_from_camera: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """(B,) sum of the two terms, a mean over the pairs that count, and (B,) share of pixels that the pairs saw."""
    samples = len(predicted)
    loss, coverage = graph_zero(predicted), torch.zeros(samples, device=predicted.device)
    if pair_predicted is not None:
        loss = loss + graph_zero(pair_predicted.reshape(1, -1))
    if pairs is None or not len(pairs) or intrinsics is None or world_from_camera is None:
        return loss, coverage
    sample, frame, neighbour = pairs.unbind(1)
    seen = covisible_pixels(
        depth[sample, frame],
        intrinsics[sample, frame],
        depth[sample, neighbour],
        intrinsics[sample, neighbour],
        pair_poses(world_from_camera, pairs),
    )
    truth = depth[sample, neighbour]
    terms = pair_depth_loss(pair_predicted, truth, seen) + pair_depth_loss(predicted[sample, neighbour], truth, seen)
    shares = seen.flatten(1).to(coverage.dtype).mean(1)
    counted = (seen.flatten(1).sum(1) >= FEWEST_COVISIBLE_PIXELS).to(terms.dtype)
    number = torch.zeros_like(loss).index_add(0, sample, counted).clamp(min=1)
    loss = loss + torch.zeros_like(loss).index_add(0, sample, terms) / number
    return loss, coverage.index_add(0, sample, shares) / torch.bincount(sample, minlength=samples).clamp(min=1)


def pair_poses(world_from_camera: Tensor, pairs: Tensor) -> Tensor:
    """(P, 4, 4) `neighbour_from_frame` of pairs, see `release_objective`."""
    sample, frame, neighbour = pairs.unbind(1)
    return relative_pose(world_from_camera[sample, neighbour], world_from_camera[sample, frame])


def _errors(predicted_depth_metres: Tensor, depth_metres: Tensor) -> tuple[Tensor, Tensor]:
    """(B, F, H, W) error, 0 where nothing is measured, and the mask of what is."""
    if predicted_depth_metres.shape != depth_metres.shape or depth_metres.ndim != 4:
        raise ValueError(
            f"predicted_depth_metres is {tuple(predicted_depth_metres.shape)}, depth_metres "
            f"{tuple(depth_metres.shape)}: give (B, F, H, W) of one size"
        )
    measured = measured_pixels(depth_metres)
    predicted = full_precision(predicted_depth_metres)
    truth = torch.where(measured, depth_metres, 0.0).to(predicted.dtype)
    return torch.where(measured, predicted - truth, 0.0), measured
