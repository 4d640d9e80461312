"""What the reconstruction of Vid-LLM's second stage learns from: cameras, depth and points, after VGGT's losses.

Pure functions, one value per sample, in float32 with autocast off, as in `geometry_losses`: a sample without a target
gives an exact zero that keeps its graph, and a prediction that is not finite a loss that is not finite. Targets are
those of `reconstruction_targets`: the first camera's frame, in a unit of the scene's own.
"""

import torch
from torch import Tensor
from torch.nn import functional

from igep.camera_geometry import full_precision
from igep.pose_encoding import FIELD_OF_VIEW, QUATERNION, TRANSLATION
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast, sample_mean
from igep.trainers.supervision.reconstruction_targets import ReconstructionTargets


TRANSLATION_DISTANCES = ("l1", "huber")
HUBER_DELTA = 0.1  # in units of the scene: squares below, absolute values above
GRADIENT_SCALES = 4
KEPT_SHARE = 0.98  # of a sample's errors; the largest are left out as faults of the measurement
TRIMMED_FROM = 1000  # pixels, below which nothing is left out


@outside_autocast
def camera_loss(
    camera_encodings: Tensor,
    targets: ReconstructionTargets,
    *,
    translation_weight: float = 1.0,
    rotation_weight: float = 1.0,
    field_of_view_weight: float = 0.5,
    iteration_decay: float = 0.6,
    translation_distance: str = "l1",
) -> tuple[Tensor, dict[str, Tensor]]:
    """Error of all iterations' cameras, the last weighing most: `1/n sum_i decay^(n - 1 - i) (w_T T + w_R R + w_F F)`.

    Of the two quaternions of one rotation the nearer is compared with, which VGGT leaves out.

    Args:
        camera_encodings (`torch.Tensor`): (iterations, B, F, 9) as `ReconstructionTargets.cameras`, the translation in
            the scene's unit.
        targets (`ReconstructionTargets`): Cameras and which of them are known.
        translation_weight (`float`, *optional*, defaults to `1.0`): w_T.
        rotation_weight (`float`, *optional*, defaults to `1.0`): w_R.
        field_of_view_weight (`float`, *optional*, defaults to `0.5`): w_F.
        iteration_decay (`float`, *optional*, defaults to `0.6`): VGGT's gamma.
        translation_distance (`str`, *optional*, defaults to `"l1"`): `"l1"` (VGGT's code) or `"huber"` (its paper).
            Rotation and field of view are compared by L1.

    Returns:
        `tuple[torch.Tensor, dict[str, torch.Tensor]]`: (B,) loss; and the last iteration's detached (B,)
        `camera_translation`, `camera_rotation` and `camera_field_of_view`, each the mean error over its numbers.

    Raises:
        ValueError: Shapes do not fit, or the distance is unknown.
    """
    if translation_distance not in TRANSLATION_DISTANCES:
        raise ValueError(
            f"translation_distance={translation_distance!r} is unknown: use one of {', '.join(TRANSLATION_DISTANCES)}."
        )
    if camera_encodings.ndim != 4 or camera_encodings.shape[1:] != targets.cameras.shape:
        raise ValueError(
            f"camera_encodings is {tuple(camera_encodings.shape)}, the targets are {tuple(targets.cameras.shape)}: "
            "give (iterations, B, F, 9)."
        )
    predicted = full_precision(camera_encodings)
    truth = targets.cameras.to(predicted.dtype)
    iterations = len(predicted)
    loss = graph_zero(predicted.transpose(0, 1))
    parts: dict[str, Tensor] = {}
    for number, cameras in enumerate(predicted):
        translation_error = (cameras - truth)[..., TRANSLATION].abs()
        if translation_distance == "huber":
            small = translation_error.square() / (2 * HUBER_DELTA)
            translation_error = torch.where(
                translation_error < HUBER_DELTA, small, translation_error - HUBER_DELTA / 2
            )
        quaternion = truth[..., QUATERNION]
        same_side = (cameras[..., QUATERNION] * quaternion).sum(-1, keepdim=True) >= 0
        quaternion = torch.where(same_side, quaternion, -quaternion)
        parts = {
            "camera_translation": _frame_mean(translation_error, targets.has_translation),
            "camera_rotation": _frame_mean((cameras[..., QUATERNION] - quaternion).abs(), targets.has_rotation),
            "camera_field_of_view": _frame_mean(
                (cameras - truth)[..., FIELD_OF_VIEW].abs(), targets.has_field_of_view
            ),
        }
        weights = (translation_weight, rotation_weight, field_of_view_weight)
        error = sum(weight * part for weight, part in zip(weights, parts.values(), strict=True))
        loss = loss + iteration_decay ** (iterations - 1 - number) / iterations * error
    return loss, {name: part.detach() for name, part in parts.items()}


@outside_autocast
def confident_regression_loss(
    error: Tensor, confidence: Tensor, mask: Tensor, *, alpha: float = 0.2
) -> tuple[Tensor, dict[str, Tensor]]:
    """Error weighted by a predicted confidence, the plain error, and the error's steps between neighbouring pixels.

    With `r = |e|` and confidence c: mean of `r c - alpha log c`, plus mean of `r`, plus the mean over four scales
    (every first, second, fourth and eighth pixel) of `|e_x| + |e_y|`. From 1000 pixels on, the 2 % of a sample's
    pixels with the largest r take no part in the first two.

    Args:
        error (`torch.Tensor`): (B, F, H, W, D) difference of prediction and target: D = 1 for depth, 3 for points.
        confidence (`torch.Tensor`): (B, F, H, W), positive where `mask` is.
        mask (`torch.Tensor`): (B, F, H, W) bool, pixels with a target.
        alpha (`float`, *optional*, defaults to `0.2`): Weight of the logarithm, VGGT's.

    Returns:
        `tuple[torch.Tensor, dict[str, torch.Tensor]]`: (B,) their sum, and the detached (B,) `confident`, `plain` and
        `gradient`.

    Raises:
        ValueError: Shapes do not fit.
    """
    if error.ndim != 5 or confidence.shape != error.shape[:4] or mask.shape != error.shape[:4]:
        raise ValueError(
            f"error is {tuple(error.shape)}, confidence {tuple(confidence.shape)}, mask {tuple(mask.shape)}: give (B, "
            "F, H, W, D) errors and (B, F, H, W) maps."
        )
    error, confidence = full_precision(error), full_precision(confidence)
    here = torch.where(mask[..., None], error, 0.0)
    length = torch.linalg.vector_norm(here, dim=-1)
    kept = (mask & ~_among_largest(length.detach(), mask)).to(error.dtype)
    weight = torch.where(mask, confidence, 1.0)
    parts = {
        "confident": sample_mean(length * weight - alpha * weight.log(), kept),
        "plain": sample_mean(length, kept),
        "gradient": sum(_step_loss(here, mask, 2**scale) for scale in range(GRADIENT_SCALES)) / GRADIENT_SCALES,
    }
    loss = sum(parts.values()) + graph_zero(error, confidence)
    return loss, {name: part.detach() for name, part in parts.items()}


def reconstruction_objective(
    *,
    relative_depth: Tensor,
    depth_confidence: Tensor,
    points: Tensor,
    camera_encodings: Tensor,
    targets: ReconstructionTargets,
    confidence_alpha: float = 0.2,
    **camera_options: float | str,
) -> dict[str, Tensor]:
    """The reconstruction terms of Vid-LLM's second stage for one batch, unweighted.

    Points come from depth and cameras, for the model has no head of their own for them; they share the depth's
    confidence.

    Args:
        relative_depth (`torch.Tensor`): (B, F, H, W) z-depth in the scene's unit.
        depth_confidence (`torch.Tensor`): (B, F, H, W) above 0.
        points (`torch.Tensor`): (B, F, H, W, 3) of that depth and the predicted cameras, in the first camera's frame.
        camera_encodings (`torch.Tensor`): See `camera_loss`.
        targets (`ReconstructionTargets`): What `reconstruction_targets` returned.
        confidence_alpha (`float`, *optional*, defaults to `0.2`): See `confident_regression_loss`.
        **camera_options: Weights and distance of `camera_loss`.

    Returns:
        `dict[str, torch.Tensor]`: scalars `loss_camera`, `loss_depth` and `loss_points`, means over B; and the
        detached parts `camera_translation`, `camera_rotation`, `camera_field_of_view`, `depth_confident`,
        `depth_plain`, `depth_gradient` and the like of `points_`.

    Raises:
        ValueError: Shapes do not fit.
    """
    for name, value, target in (
        ("relative_depth", relative_depth, targets.depth),
        ("points", points, targets.points),
    ):
        if value.shape != target.shape:
            raise ValueError(
                f"{name} is {tuple(value.shape)}, its target {tuple(target.shape)}: give targets at the size of the "
                "frames."
            )
    outputs: dict[str, Tensor] = {}
    loss, parts = camera_loss(camera_encodings, targets, **camera_options)
    outputs["loss_camera"] = loss.mean()
    outputs |= {name: part.mean() for name, part in parts.items()}
    for name, error, mask in (
        ("depth", (relative_depth - targets.depth)[..., None], targets.has_depth),
        ("points", points - targets.points, targets.has_points),
    ):
        loss, parts = confident_regression_loss(error, depth_confidence, mask, alpha=confidence_alpha)
        outputs[f"loss_{name}"] = loss.mean()
        outputs |= {f"{name}_{part}": value.mean() for part, value in parts.items()}
    return outputs


def _frame_mean(error: Tensor, known: Tensor) -> Tensor:
    """(B, F, N) -> (B,) mean over the known frames' numbers. By selection: what is unknown may be anything."""
    return sample_mean(torch.where(known[..., None], error, 0.0).mean(-1), known.to(error.dtype))


def _among_largest(errors: Tensor, mask: Tensor) -> Tensor:
    """Which pixels are among the largest errors of their sample. One that is not finite is not: it has to be seen."""
    largest = torch.zeros_like(mask)
    for number, (values, here) in enumerate(zip(errors, mask, strict=True)):
        measured = values[here]
        if len(measured) > TRIMMED_FROM:
            limit = measured.kthvalue(int(KEPT_SHARE * len(measured))).values
            largest[number] = (values > limit) & values.isfinite()
    return largest


def _step_loss(error: Tensor, mask: Tensor, stride: int) -> Tensor:
    """(B,) mean over the masked pixels of every `stride`-th row and column of the error's steps right and down."""
    error, mask = error[:, :, ::stride, ::stride], mask[:, :, ::stride, ::stride]
    step_x = (error[..., 1:, :] - error[..., :-1, :]).abs().sum(-1) * (mask[..., 1:] & mask[..., :-1])
    step_y = (error[..., 1:, :, :] - error[..., :-1, :, :]).abs().sum(-1) * (mask[..., 1:, :] & mask[..., :-1, :])
    steps = functional.pad(step_x, (0, 1)) + functional.pad(step_y, (0, 0, 0, 1))
    return sample_mean(steps, mask.to(error.dtype))
