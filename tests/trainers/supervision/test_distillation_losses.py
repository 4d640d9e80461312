import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from igep.trainers.supervision.distillation_losses import (
    distillation_objective,
    geometry_distillation_loss,
    language_distillation_loss,
    structure_consistency_loss,
)


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_difference(students: list[torch.Tensor], teachers: list[torch.Tensor], axis: int) -> torch.Tensor:
    """The formula as it is written, of one sample's (M, C) rows."""
    student = torch.cat([functional.normalize(rows, dim=-1) for rows in students], axis)
    teacher = torch.cat([functional.normalize(rows, dim=-1) for rows in teachers], axis)
    return (student @ student.T - teacher @ teacher.T).square().sum() / len(student) ** 2


def test_geometry_is_the_squared_distance_of_unit_vectors():
    student, teacher = tokens(2, 3, 2, 2, 5), tokens(2, 3, 2, 2, 5, seed=1)
    distance = (functional.normalize(student, dim=-1) - functional.normalize(teacher, dim=-1)).square().sum(-1)
    torch.testing.assert_close(geometry_distillation_loss(student, teacher), distance.mean((1, 2, 3)))
    assert geometry_distillation_loss(3 * teacher, teacher).abs().max() < 1e-12
    torch.testing.assert_close(geometry_distillation_loss(-teacher, teacher), torch.full((2,), 4.0).double())


def test_language_compares_the_mean_token_of_each_frame():
    student, teacher = tokens(2, 3, 2, 2, 5), tokens(2, 3, 2, 2, 5, seed=1)
    apart = 1 - functional.cosine_similarity(student.mean((2, 3)), teacher.mean((2, 3)), dim=-1)
    torch.testing.assert_close(language_distillation_loss(student, teacher), apart.mean(1))


@pytest.mark.parametrize(("stacking", "axis", "widths"), [("channels", -1, (5, 7)), ("tokens", 0, (6, 6))])
def test_structure_is_the_difference_of_the_gram_matrices(stacking, axis, widths):
    students = [tokens(2, 3, 2, 2, width, seed=number) for number, width in enumerate(widths)]
    teachers = [tokens(2, 3, 2, 2, width, seed=9 + number) for number, width in enumerate(widths)]
    found = structure_consistency_loss(*students, *teachers, stacking)
    for sample in range(2):
        rows = [[part[sample].flatten(0, 2) for part in side] for side in (students, teachers)]
        torch.testing.assert_close(found[sample], gram_difference(*rows, axis))


@given(st.integers(0, 1000))
def test_structure_knows_no_rotation_of_the_channels(seed):
    student = [tokens(1, 2, 2, 2, 4, seed=seed), tokens(1, 2, 2, 2, 3, seed=seed + 1)]
    teacher = [tokens(1, 2, 2, 2, 4, seed=seed + 2), tokens(1, 2, 2, 2, 3, seed=seed + 3)]
    turn = torch.linalg.qr(tokens(4, 4, seed=seed + 4)).Q
    torch.testing.assert_close(
        structure_consistency_loss(student[0] @ turn, student[1], *teacher),
        structure_consistency_loss(*student, *teacher),
    )
    assert structure_consistency_loss(teacher[0] @ turn, 2 * teacher[1], *teacher).abs().max() < 1e-12


def test_missing_descriptors_and_padded_frames_take_no_part():
    parts = {
        "geometry_student": tokens(3, 2, 2, 2, 4).requires_grad_(),
        "language_student": tokens(3, 2, 2, 2, 5, seed=1).requires_grad_(),
        "geometry_teacher": tokens(3, 2, 2, 2, 4, seed=2),
        "language_teacher": tokens(3, 2, 2, 2, 5, seed=3),
    }
    parts["geometry_teacher"][0, 0, 0, 0] = torch.nan
    parts["language_teacher"][0, 0, 0, 1] = 0
    parts["geometry_teacher"][2] = 0  # a sample that no teacher describes
    parts["language_teacher"][2] = 0
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    terms = distillation_objective(**parts, frame_mask=mask, structure_weight=1.0)
    sum(terms.values()).backward()
    for name in ("geometry_student", "language_student"):
        gradient = parts[name].grad
        assert gradient.isfinite().all()
        assert (gradient[2] == 0).all()
        assert (gradient[1, 1] == 0).all()
    assert (parts["geometry_student"].grad[0, 0, 0, 0] == 0).all()
    with torch.no_grad():
        keep = torch.ones(2, 2, 2, dtype=torch.bool)
        keep[0, 0] = False
        rows = [
            [parts[f"{stream}_{side}"][0][keep] for stream in ("geometry", "language")]
            for side in ("student", "teacher")
        ]
        single = {name: value[:1] for name, value in parts.items()}
        found = distillation_objective(**single, frame_mask=mask[:1], structure_weight=1.0)["loss_structure"]
        torch.testing.assert_close(found, gram_difference(*rows, -1))
    without = distillation_objective(**parts, frame_mask=mask, structure_weight=0.0)
    assert list(without) == ["loss_geometry_teacher", "loss_language_teacher"]


def test_a_prediction_that_is_not_finite_is_seen():
    students = [tokens(1, 1, 2, 2, 4), tokens(1, 1, 2, 2, 4)]
    students[0][0, 0, 0, 0] = torch.nan
    nothing = torch.zeros(1, 1, 2, 2, 4).double()
    assert structure_consistency_loss(*students, nothing, nothing).isnan()


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(1, 1, 2, 2, 4), (1, 1, 2, 3, 4), (1, 1, 2, 2, 4), (1, 1, 2, 2, 4)], {}, "same samples, frames and grid"),
        ([(1, 1, 2, 2, 4), (1, 1, 2, 2, 4), (1, 1, 2, 2, 4), (1, 1, 2, 2, 5)], {}, "language_teacher has 5 channels"),
        ([(1, 1, 2, 2, 4), (1, 1, 2, 2, 4), (1, 2, 2, 2, 4), (1, 1, 2, 2, 4)], {}, "geometry_teacher is"),
        ([(1, 1, 2, 2, 4), (1, 1, 2, 2, 5), (1, 1, 2, 2, 4), (1, 1, 2, 2, 5)], {"stacking": "tokens"}, "one width"),
        ([(1, 1, 2, 2, 4)] * 4, {"stacking": "rows"}, "stacking='rows'"),
    ],
)
def test_what_does_not_fit_is_named(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        structure_consistency_loss(*(tokens(*shape) for shape in shapes), **options)
