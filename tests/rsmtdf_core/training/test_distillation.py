"""The loss is the mean over teachers of an MSE that masks can narrow."""

import pytest
import torch
import torch.nn.functional as F

from rsmtdf_core.training.distillation import distillation_loss


def tokens(dtype=torch.float32) -> dict[str, torch.Tensor]:
    return {
        "dino": torch.randn(2, 4, 4, 6).to(dtype),
        "clip": torch.randn(2, 3, 2, 5).to(dtype),
    }


def test_each_teacher_weighs_the_same_whatever_its_size():
    student, teacher = tokens(), tokens()
    expected = (
        F.mse_loss(student["dino"], teacher["dino"]) + F.mse_loss(student["clip"], teacher["clip"])
    ) / 2
    torch.testing.assert_close(distillation_loss(student, teacher), expected)


def test_half_precision_is_compared_in_float32():
    student, teacher = tokens(torch.bfloat16), tokens(torch.float16)
    loss = distillation_loss(student, teacher)
    widened = [{name: value.float() for name, value in side.items()} for side in (student, teacher)]
    assert loss.dtype == torch.float32
    assert torch.equal(loss, distillation_loss(*widened))


def test_cells_that_are_not_kept_count_for_nothing_even_if_not_finite():
    student = {"dino": torch.randn(2, 4, 4, 6, requires_grad=True)}
    teacher = {"dino": torch.randn(2, 4, 4, 6)}
    kept = torch.rand(2, 4, 4) > 0.5
    teacher["dino"][~kept] = torch.nan
    loss = distillation_loss(student, teacher, {"dino": kept})
    expected = F.mse_loss(student["dino"][kept], teacher["dino"][kept])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert bool((student["dino"].grad[~kept] == 0).all())
    assert bool((student["dino"].grad[kept] != 0).all())


def test_keeping_all_equals_no_mask_and_keeping_none_gives_zero():
    student, teacher = tokens(), tokens()
    everywhere = {name: torch.ones(value.shape[:3]).bool() for name, value in student.items()}
    nowhere = {name: ~mask for name, mask in everywhere.items()}
    torch.testing.assert_close(
        distillation_loss(student, teacher, everywhere), distillation_loss(student, teacher)
    )
    assert distillation_loss(student, teacher, nowhere) == 0


def test_teachers_that_do_not_match_are_a_programming_error():
    student, teacher = tokens(), tokens()
    del teacher["clip"]
    with pytest.raises(AssertionError):
        distillation_loss(student, teacher)
    with pytest.raises(AssertionError):
        distillation_loss({}, {})
