"""What Vid-LLM's first stage learns from two teachers: geometry tokens, language tokens, and how both hang together.

Pure functions, one value per sample, in float32 with autocast off, as in `geometry_losses`. Students come already
projected to their teacher's width. Where the paper is silent: `Norm` is to unit length, `Pool` the mean over a frame's
tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional

from igep.camera_geometry import full_precision
from igep.trainers.supervision.geometry_losses import alignment_loss, descriptors_on_grid
from igep.trainers.supervision.per_sample import graph_zero, outside_autocast


GRAM_STACKINGS = ("channels", "tokens")


def geometry_distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of unit vectors, token by token: Vid-LLM's `L_geo`.

    Args:
        student (`torch.Tensor`): (B, F, h, w, C) projected geometry tokens, behind the adapter.
        teacher (`torch.Tensor`): (B, F, h', w', C), averaged over areas to the student's grid; zero or not
            finite = missing.

    Returns:
        `torch.Tensor`: (B,) mean of `|s - t|^2` over the tokens that have a teacher; between 0 and 4.

    Raises:
        ValueError: Shapes do not fit.
    """
    return alignment_loss(student, teacher, distance="squared")


def language_distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of each frame's mean token with the teacher's: Vid-LLM's `L_lang`.

    Args:
        student (`torch.Tensor`): (B, F, h, w, C) projected language tokens, behind the adapter.
        teacher (`torch.Tensor`): (B, F, h', w', C), as in `geometry_distillation_loss`.

    Returns:
        `torch.Tensor`: (B,) mean over the frames that have a teacher; between 0 and 2.

    Raises:
        ValueError: Shapes do not fit.
    """
    return alignment_loss(student, teacher, pooled=True)


@outside_autocast
def structure_consistency_loss(
    geometry_student: Tensor,
    language_student: Tensor,
    geometry_teacher: Tensor,
    language_teacher: Tensor,
    stacking: str = "channels",
) -> Tensor:
    """Difference of the Gram matrices of both streams taken together: Vid-LLM's `L_sc`.

    `1 / M^2 |Z_s Z_s^T - Z_t Z_t^T|_F^2` over the tokens of a sample, `Z = [Norm(geometry); Norm(language)]`. No
    matrix of M x M is formed: `|A A^T - B B^T|_F^2 = |A^T A|_F^2 - 2 |A^T B|_F^2 + |B^T B|_F^2`, products as wide as
    the channels.

    Args:
        geometry_student (`torch.Tensor`): (B, F, h, w, Cg).
        language_student (`torch.Tensor`): (B, F, h, w, Cl).
        geometry_teacher (`torch.Tensor`): (B, F, h', w', Cg), as in `geometry_distillation_loss`.
        language_teacher (`torch.Tensor`): (B, F, h'', w'', Cl), likewise.
        stacking (`str`, *optional*, defaults to `"channels"`): What `[;]` means, which the paper leaves open.
            `"channels"`: one row per token with both descriptors, for teachers of any widths; a token counts where
            both teachers have it.
            `"tokens"`: two rows per token, for teachers of one width; the blocks between the
            streams are compared as well.

    Returns:
        `torch.Tensor`: (B,), 0 for a sample without teachers.

    Raises:
        ValueError: Shapes do not fit, or the stacking is unknown.
    """
    if stacking not in GRAM_STACKINGS:
        raise ValueError(f"stacking={stacking!r} is unknown: use one of {', '.join(GRAM_STACKINGS)}.")
    _check_streams(geometry_student, language_student, geometry_teacher, language_teacher)
    if stacking == "tokens" and geometry_student.shape[-1] != language_student.shape[-1]:
        raise ValueError(
            f"stacking='tokens' needs teachers of one width, these have {geometry_student.shape[-1]} and "
            f"{language_student.shape[-1]} channels: use stacking='channels'."
        )
    grid = geometry_student.shape[2:4]
    students, targets, present = [], [], []
    for student, teacher in ((geometry_student, geometry_teacher), (language_student, language_teacher)):
        student = full_precision(student)
        target, weight = descriptors_on_grid(teacher.to(student.dtype), grid)
        students.append(functional.normalize(student, dim=-1).flatten(1, 3))
        targets.append(functional.normalize(target, dim=-1).flatten(1, 3))
        present.append(((weight > 0) & (target != 0).any(-1)).flatten(1, 3)[..., None])
    if stacking == "channels":
        present = [present[0] & present[1]] * 2
    axis = -1 if stacking == "channels" else 1
    # By selection: a row without a teacher must not carry what is not finite into the products.
    student = torch.cat([torch.where(here, rows, 0.0) for here, rows in zip(present, students, strict=True)], axis)
    target = torch.cat([torch.where(here, rows, 0.0) for here, rows in zip(present, targets, strict=True)], axis)
    rows = present[0].sum((1, 2)) if stacking == "channels" else sum(here.sum((1, 2)) for here in present)
    count = rows.clamp_min(1).to(student.dtype)[:, None, None]

    def squared_product(left: Tensor, right: Tensor) -> Tensor:
        return (left.transpose(1, 2) @ right / count).square().sum((1, 2))

    difference = squared_product(student, student) - 2 * squared_product(student, target)
    return difference + squared_product(target, target) + graph_zero(geometry_student, language_student)


def distillation_objective(
    *,
    geometry_student: Tensor,
    language_student: Tensor,
    geometry_teacher: Tensor,
    language_teacher: Tensor,
    frame_mask: Tensor,
    structure_weight: float,
    stacking: str = "channels",
) -> dict[str, Tensor]:
    """The loss terms of Vid-LLM's first stage for one batch, unweighted.

    Args:
        geometry_student (`torch.Tensor`): (B, F, h, w, Cg) projected geometry tokens.
        language_student (`torch.Tensor`): (B, F, h, w, Cl) projected language tokens.
        geometry_teacher (`torch.Tensor`): (B, F, h', w', Cg).
        language_teacher (`torch.Tensor`): (B, F, h'', w'', Cl).
        frame_mask (`torch.Tensor`): (B, F) bool, real (not padded) frames.
        structure_weight (`float`): Weight of `loss_structure`; 0 = it is not computed.
        stacking (`str`, *optional*, defaults to `"channels"`): See `structure_consistency_loss`.

    Returns:
        `dict[str, torch.Tensor]`: scalars `loss_geometry_teacher`, `loss_language_teacher` and `loss_structure`, means
        over B.

    Raises:
        ValueError: Shapes do not fit.
    """
    _check_streams(geometry_student, language_student, geometry_teacher, language_teacher)
    real = frame_mask[..., None, None, None]
    geometry_teacher = torch.where(real, geometry_teacher, 0.0)
    language_teacher = torch.where(real, language_teacher, 0.0)
    terms = {
        "loss_geometry_teacher": geometry_distillation_loss(geometry_student, geometry_teacher).mean(),
        "loss_language_teacher": language_distillation_loss(language_student, language_teacher).mean(),
    }
    if structure_weight:
        terms["loss_structure"] = structure_consistency_loss(
            geometry_student, language_student, geometry_teacher, language_teacher, stacking
        ).mean()
    return terms


def _check_streams(
    geometry_student: Tensor, language_student: Tensor, geometry_teacher: Tensor, language_teacher: Tensor
) -> None:
    if geometry_student.shape[:4] != language_student.shape[:4]:
        raise ValueError(
            f"geometry_student is {tuple(geometry_student.shape)}, language_student {tuple(language_student.shape)}: "
            "both streams must have the same samples, frames and grid."
        )
    for name, student, teacher in (
        ("geometry_teacher", geometry_student, geometry_teacher),
        ("language_teacher", language_student, language_teacher),
    ):
        if student.ndim != 5 or teacher.ndim != 5 or student.shape[:2] != teacher.shape[:2]:
            raise ValueError(
                f"{name} is {tuple(teacher.shape)}, its student {tuple(student.shape)}: both must be (B, F, h, w, C) "
                "of the same samples and frames."
            )
        if student.shape[-1] != teacher.shape[-1]:
            raise ValueError(
                f"{name} has {teacher.shape[-1]} channels, its student {student.shape[-1]}: project the student first."
            )
