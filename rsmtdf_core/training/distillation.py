"""The distillation loss: the distance between the student's translated tokens and the teachers'.

Counts and sums are separate, so that an objective can count tokens over a whole global batch and add
up the losses of its parts.
"""

from collections.abc import Mapping
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.training.settings import DistanceName, DistillationSettings

# Lower bound of a channel's spread, as a fraction of the mean spread: a nearly constant channel would
# amplify rounding.
LEAST_SPREAD = 0.01

KeptTokens = Mapping[str, Tensor | None]
"""By teacher name, the tokens that count, bool [B, h, w]; None if all of that teacher's tokens count."""


def distillation_loss(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    kept: KeptTokens | None = None,
    counts: Mapping[str, Tensor] | None = None,
    settings: DistillationSettings | None = None,
    spreads: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Mean over teachers of the mean distance of their tokens, in float32; weighted by `teacher_weights`.

    With only the two mappings of tokens it is the reference's loss: MSE over all tokens, including
    padding.

    Args:
        student: by teacher name, translated tokens [B, h, w, D].
        teacher: by the same names, the teachers' tokens [B, h, w, D] in any float dtype.
        kept: the tokens that count; None keeps all.
        counts: by teacher name, the divisor of the sum of distances: the number of tokens that count
            in the global batch, divided by the number of processes. The losses of a batch's parts then
            add up to the loss of the batch. None counts the given tokens.
        settings: the distance and the weights of teachers; None for the reference's.
        spreads: by teacher name, the `spread` of `distance`.

    Returns:
        A scalar.
    """
    assert student, "without teachers there is nothing to distill"
    assert student.keys() == teacher.keys(), (student.keys(), teacher.keys())
    settings = settings or DistillationSettings()
    kept = kept or dict.fromkeys(student)
    if counts is None:
        counts = {name: count.clamp(min=1) for name, count in token_counts(teacher, kept).items()}
    losses = [
        _summed(settings.loss, student[name], teacher[name], (spreads or {}).get(name), kept[name])
        / counts[name].float()
        for name in student
    ]
    stacked = torch.stack(losses)
    if settings.teacher_weights is None:
        return stacked.mean()
    # A teacher of weight 0 is multiplied, not skipped, because DDP expects a gradient of every parameter.
    weights = stacked.new_tensor([settings.teacher_weights.get(name, 1) for name in student])
    return (weights * stacked).sum() / weights.sum()


def distance(
    kind: DistanceName, student: Tensor, teacher: Tensor, spread: Tensor | None = None
) -> Tensor:
    """Return the distance of tokens [B, h, w, D]: the mean over channels, float32 [B, h, w].

    Args:
        kind: mse; smooth-l1 with beta 1; cosine, 1 minus the cosine similarity; or standardised-mse,
            the mse in units of `spread`.
        student: translated tokens.
        teacher: the teacher's tokens.
        spread: [D], the standard deviation of each of the teacher's channels, only used by
            standardised-mse.
    """
    student, teacher = student.float(), teacher.float()
    match kind:
        case "mse":
            return (student - teacher).square().mean(dim=-1)
        case "smooth-l1":
            return F.smooth_l1_loss(student, teacher, reduction="none", beta=1.0).mean(dim=-1)
        case "cosine":
            return 1 - F.cosine_similarity(student, teacher, dim=-1)
        case "standardised-mse":
            assert spread is not None, "standardised-mse needs the teacher's spread"
            floor = (LEAST_SPREAD * spread.mean()).clamp(min=torch.finfo(torch.float16).tiny)
            return ((student - teacher) / spread.maximum(floor)).square().mean(dim=-1)
        case _:
            assert_never(kind)


def kept_tokens(
    grid: tuple[int, int],
    labeled: int,
    valid: Tensor,
    settings: DistillationSettings,
    composed: Tensor | None = None,
) -> Tensor | None:
    """Return the tokens of a batch that count.

    Args:
        grid: rows and columns of the teacher's tokens.
        labeled: B, the number of labeled samples, which come first.
        valid: False for padding in the student's images, bool [B + U, S, S].
        settings: selects samples, and whether tokens on padding count.
        composed: bool [B + U, h, w], False for tokens that could not be composed.

    Returns:
        Bool [B + U, h, w]; None if all count.
    """
    kept = composed
    if not settings.padding:
        centers = _at_centers(valid, grid)
        kept = centers if kept is None else kept & centers
    if settings.samples != "both":
        is_labeled = torch.arange(len(valid), device=valid.device) < labeled
        wanted = is_labeled if settings.samples == "labeled" else ~is_labeled
        wanted_Bhw = wanted[:, None, None].expand(-1, *grid)
        kept = wanted_Bhw if kept is None else kept & wanted_Bhw
    return kept


def token_counts(tokens: Mapping[str, Tensor], kept: KeptTokens) -> dict[str, Tensor]:
    """Return the number of tokens [B, h, w, D] that count, by teacher name, as float64 scalars."""
    return {
        name: tokens_BHWD.new_tensor(tokens_BHWD.shape[:3].numel(), dtype=torch.float64)
        if (mask := kept[name]) is None
        else mask.sum(dtype=torch.float64)
        for name, tokens_BHWD in tokens.items()
    }


def _summed(
    kind: DistanceName, student: Tensor, teacher: Tensor, spread: Tensor | None, kept: Tensor | None
) -> Tensor:
    """Return the sum of the distances of the tokens that count."""
    if kept is not None:
        # Not a product: an omitted token may be NaN, which must not reach the distance or its
        # gradient.
        student = torch.where(kept[..., None], student.float(), 0.0)
        teacher = torch.where(kept[..., None], teacher.float(), 0.0)
    distances = distance(kind, student, teacher, spread)
    if kept is not None:
        distances = torch.where(kept, distances, 0.0)
    return distances.sum()


def _at_centers(planes_BSS: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the values of planes [B, S, S] at the center of each cell of a grid, [B, h, w]."""
    rows, columns = (
        torch.arange(cells, device=planes_BSS.device).mul(2).add(1).mul(side) // (2 * cells)
        for cells, side in zip(grid, planes_BSS.shape[1:], strict=True)
    )
    return planes_BSS[:, rows[:, None], columns]
