"""The distillation loss: how far the student's translated tokens are from the teachers'.

It is made of parts, so that an objective can count tokens over a whole global batch and add up the
losses of its parts.
"""

from collections.abc import Mapping
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from rsmtdf_core.training.settings import DistanceName, DistillationSettings

# Share of a teacher's mean spread below which no channel's spread is taken to be: a channel that
# hardly varies would amplify rounding.
LEAST_SPREAD = 0.01

KeptTokens = Mapping[str, Tensor | None]
"""By teacher name, which tokens count, bool [B, h, w]; None where all of that teacher's do."""


def distillation_loss(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    kept: KeptTokens | None = None,
    counts: Mapping[str, Tensor] | None = None,
    settings: DistillationSettings | None = None,
    spreads: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Mean over teachers of the mean distance of their tokens, in float32.

    With the two mappings of tokens alone it is the reference's loss: MSE over all tokens, padding
    included.

    Args:
        student: by teacher name, translated tokens [B, h, w, D].
        teacher: the same names, the teachers' tokens [B, h, w, D] in any float dtype.
        kept: which tokens count; None keeps all.
        counts: by teacher name, what sums of distances are divided by: the tokens that count in the
            whole global batch over the number of processes, so that the losses of a batch's parts add
            up to the batch's. None counts those given here.
        settings: which distance; None for the reference's.
        spreads: by teacher name, what `distance` needs to standardise.

    Returns:
        A scalar.
    """
    assert student, "without teachers there is nothing to distill"
    assert student.keys() == teacher.keys(), (student.keys(), teacher.keys())
    kind = (settings or DistillationSettings()).loss
    kept = kept or dict.fromkeys(student)
    if counts is None:
        found = token_counts(teacher, kept)
        counts = {name: count.clamp(min=1) for name, count in found.items()}
    losses = [
        _summed(kind, student[name], teacher[name], (spreads or {}).get(name), kept[name])
        / counts[name].float()
        for name in student
    ]
    return torch.stack(losses).mean()


def distance(
    kind: DistanceName, student: Tensor, teacher: Tensor, spread: Tensor | None = None
) -> Tensor:
    """How far tokens [B, h, w, D] are from each other: the mean over channels, float32 [B, h, w].

    Args:
        kind: mse; smooth-l1, with its bend at 1; cosine, 1 minus the cosine similarity; or
            standardised-mse, the mse in units of `spread`.
        student: translated tokens.
        teacher: the teacher's tokens.
        spread: [D], the standard deviation of each of the teacher's channels, for standardised-mse
            alone.
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
    """Which tokens of a batch count.

    Args:
        grid: rows and columns of the teacher's tokens.
        labeled: B, how many of the samples are labeled; they come first.
        valid: False where the student sees padding, bool [B + U, S, S].
        settings: which samples' tokens count, and whether those on padding do.
        composed: bool [B + U, h, w], False where a token could not be composed.

    Returns:
        Bool [B + U, h, w]; None where all count.
    """
    kept = composed
    if not settings.padding:
        centres = _at_centres(valid, grid)
        kept = centres if kept is None else kept & centres
    if settings.samples != "both":
        is_labeled = torch.arange(len(valid), device=valid.device) < labeled
        wanted = is_labeled if settings.samples == "labeled" else ~is_labeled
        wanted_Bhw = wanted[:, None, None].expand(-1, *grid)
        kept = wanted_Bhw if kept is None else kept & wanted_Bhw
    return kept


def token_counts(tokens: Mapping[str, Tensor], kept: KeptTokens) -> dict[str, Tensor]:
    """By teacher name, how many of the tokens [B, h, w, D] count, float64 scalars."""
    return {
        name: found.new_tensor(found.shape[:3].numel(), dtype=torch.float64)
        if (mask := kept[name]) is None
        else mask.sum(dtype=torch.float64)
        for name, found in tokens.items()
    }


def _summed(
    kind: DistanceName, student: Tensor, teacher: Tensor, spread: Tensor | None, kept: Tensor | None
) -> Tensor:
    """The sum of the distances of the tokens that count."""
    if kept is not None:
        # `where`, not a product: a token left out may hold anything, NaN included, and neither its
        # distance nor its gradient must come of that.
        student = torch.where(kept[..., None], student.float(), 0.0)
        teacher = torch.where(kept[..., None], teacher.float(), 0.0)
    distances = distance(kind, student, teacher, spread)
    if kept is not None:
        distances = torch.where(kept, distances, 0.0)
    return distances.sum()


def _at_centres(planes_BSS: Tensor, grid: tuple[int, int]) -> Tensor:
    """The values of planes [B, S, S] at the centre of each cell of a grid, [B, h, w]."""
    rows, columns = (
        torch.arange(cells, device=planes_BSS.device).mul(2).add(1).mul(side) // (2 * cells)
        for cells, side in zip(grid, planes_BSS.shape[1:], strict=True)
    )
    return planes_BSS[:, rows[:, None], columns]
