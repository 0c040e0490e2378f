"""The loss is the mean over teachers of a distance that is set, over tokens that masks can narrow."""

import pytest
import torch
import torch.nn.functional as F

from rsmtdf_core.training.distillation import (
    LEAST_SPREAD,
    distance,
    distillation_loss,
    kept_tokens,
    token_counts,
)
from rsmtdf_core.training.settings import DistillationSettings


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


def test_cells_that_are_not_kept_do_not_count_even_if_not_finite():
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


@pytest.mark.parametrize("kind", ["mse", "smooth-l1", "cosine", "standardised-mse"])
def test_each_distance_matches_its_formula(kind):
    student, teacher, spread = (
        torch.randn(2, 3, 4, 6) * 2,
        torch.randn(2, 3, 4, 6),
        torch.rand(6) + 1,
    )
    distances = distance(kind, student, teacher, spread)
    for cell in [(0, 0, 0), (1, 2, 3)]:
        a, b = student[cell].tolist(), teacher[cell].tolist()
        differences = [abs(x - y) for x, y in zip(a, b, strict=True)]
        expected = {
            "mse": sum(d * d for d in differences) / 6,
            "smooth-l1": sum(d * d / 2 if d < 1 else d - 0.5 for d in differences) / 6,
            "cosine": 1
            - sum(x * y for x, y in zip(a, b, strict=True))
            / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5,
            "standardised-mse": sum(
                (d / s) ** 2 for d, s in zip(differences, spread.tolist(), strict=True)
            )
            / 6,
        }
        assert float(distances[cell]) == pytest.approx(expected[kind], rel=1e-5)


def test_a_channel_that_hardly_varies_does_not_amplify_rounding():
    spread = torch.tensor([1.0, 1.0, 0.0])
    floor = LEAST_SPREAD * 2 / 3
    student = torch.zeros(1, 1, 1, 3)
    teacher = torch.tensor([0.0, 0.0, 1e-3]).reshape(1, 1, 1, 3)
    standardized = float(distance("standardised-mse", student, teacher, spread))
    assert standardized == pytest.approx((1e-3 / floor) ** 2 / 3, rel=1e-5)


@pytest.mark.parametrize("kind", ["mse", "smooth-l1", "cosine", "standardised-mse"])
def test_a_token_left_out_gives_no_gradient_whatever_it_holds(kind):
    student = {"dino": torch.randn(2, 4, 4, 6, requires_grad=True)}
    teacher = {"dino": torch.randn(2, 4, 4, 6)}
    kept = torch.rand(2, 4, 4) > 0.5
    teacher["dino"][~kept] = torch.inf
    settings = DistillationSettings(loss=kind)
    loss = distillation_loss(
        student, teacher, {"dino": kept}, None, settings, {"dino": torch.rand(6) + 0.5}
    )
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert bool((student["dino"].grad[~kept] == 0).all())
    assert bool((student["dino"].grad[kept] != 0).any())


def test_the_loss_is_the_weighted_mean_over_teachers():
    student, teacher = tokens(), tokens()
    dino, clip = (
        float((student[name].double() - teacher[name].double()).square().mean())
        for name in ("dino", "clip")
    )
    for weights, expected in (
        ({"dino": 3.0, "clip": 0.5}, (3 * dino + 0.5 * clip) / 3.5),
        ({"dino": 3.0}, (3 * dino + clip) / 4),
        ({"clip": 0.0}, dino),
        ({}, (dino + clip) / 2),
    ):
        settings = DistillationSettings(teacher_weights=weights)
        loss = distillation_loss(student, teacher, settings=settings)
        assert float(loss) == pytest.approx(expected, rel=1e-6), weights


def test_a_teacher_of_weight_zero_is_left_out_of_the_loss_and_its_gradient():
    student, teacher = tokens(), tokens()
    for values in student.values():
        values.requires_grad_()
    settings = DistillationSettings(teacher_weights={"clip": 0.0})
    distillation_loss(student, teacher, settings=settings).backward()
    alone = student["dino"].detach().clone().requires_grad_()
    distillation_loss({"dino": alone}, {"dino": teacher["dino"]}).backward()
    torch.testing.assert_close(student["dino"].grad, alone.grad)
    assert bool((student["clip"].grad == 0).all())


@pytest.mark.parametrize("weights", [None, {"clip": 0.25}])
@pytest.mark.parametrize("kind", ["mse", "cosine"])
def test_losses_of_parts_add_up_to_the_batchs(kind, weights):
    student, teacher = tokens(), tokens()
    kept = {"dino": torch.rand(2, 4, 4) > 0.4, "clip": None}
    settings = DistillationSettings(loss=kind, teacher_weights=weights)
    whole = distillation_loss(student, teacher, kept, None, settings)
    counts = token_counts(teacher, kept)
    parts = [
        distillation_loss(
            {name: tensor[i : i + 1] for name, tensor in student.items()},
            {name: tensor[i : i + 1] for name, tensor in teacher.items()},
            {name: mask if mask is None else mask[i : i + 1] for name, mask in kept.items()},
            counts,
            settings,
        )
        for i in range(2)
    ]
    torch.testing.assert_close(sum(parts).float(), whole.float())


def _valid():
    """Two labeled samples and two unlabeled; padding at the bottom of the second of each, 8 of 32 rows."""
    valid = torch.ones(4, 32, 32, dtype=torch.bool)
    valid[1::2, 24:] = False
    return valid


def test_all_tokens_count_by_default():
    assert kept_tokens((4, 4), 2, _valid(), DistillationSettings()) is None
    composed = torch.rand(4, 4, 4) > 0.5
    kept = kept_tokens((4, 4), 2, _valid(), DistillationSettings(), composed)
    assert torch.equal(kept, composed)


@pytest.mark.parametrize(("samples", "rows"), [("labeled", [0, 1]), ("unlabeled", [2, 3])])
def test_tokens_of_one_kind_of_sample_can_be_left_out(samples, rows):
    kept = kept_tokens((3, 3), 2, _valid(), DistillationSettings(samples=samples))
    assert kept.flatten(1).all(dim=1).nonzero().flatten().tolist() == rows
    assert int(kept.sum()) == 18


def test_tokens_whose_centre_is_padding_can_be_left_out():
    settings = DistillationSettings(padding=False)
    kept = kept_tokens((4, 4), 2, _valid(), settings)
    assert bool(kept[::2].all())
    assert kept[1, :, 0].tolist() == [True, True, True, False]
    # Of three rows the last has its centre at row 26.
    assert kept_tokens((3, 3), 2, _valid(), settings)[3, :, 1].tolist() == [True, True, False]
    composed = torch.zeros(4, 4, 4, dtype=torch.bool)
    composed[0, 0, 0] = composed[1, 3, 3] = True
    both = kept_tokens((4, 4), 2, _valid(), settings, composed)
    assert both.nonzero().tolist() == [[0, 0, 0]]
