"""Means over a logging interval: losses, pseudo-labels by class, and explained variance by teacher.

A step only queues additions on the device. The host reads the sums when it waits for the device anyway: before a line
is logged or a checkpoint is saved. All values are sums, so that those of a step's parts, of several processes and of
the steps before and after a checkpoint add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

_STEPS = "steps"
_LOSS = "loss/"
_LABELED, _TRUSTED = "pseudo-labels/all", "pseudo-labels/trusted"
_THRESHOLDS, _SAMPLES = "thresholds/sum", "thresholds/samples"
_ROUNDING = 1e-7  # of a square in float32
_TOKENS, _ERRORS, _MEANS, _SQUARES = "tokens/", "errors/", "means/", "squares/"


@dataclass(frozen=True, slots=True)
class Measures:
    """The means over an interval of steps and over all processes.

    Attributes:
        steps: number of steps in the interval.
        losses: mean of each scalar that the method returns, by name.
        trusted: for each class, the share in 0..1 of trusted pixels among the pixels of strong views that the EMA model
            labels as this class, without padding; None if there is no such pixel. Empty without pseudo-labels.
        explained: for each teacher, the explained variance of its tokens, at most 1: 1 - mse / variance, where the mse
            and the variance are sums over channels, and the variance is about each channel's mean over the interval.
            0 is the score of a student that predicts these means. Empty for methods that do not distill.
        thresholds: for each class, the mean of its self-adaptive threshold in 0..1. Empty without such thresholds.
    """

    steps: int
    losses: dict[str, float]
    trusted: tuple[float | None, ...] = ()
    explained: dict[str, float] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()

    @classmethod
    def of(cls, sums: Mapping[str, Tensor]) -> "Measures":
        """Compute the means from the sums of all processes, which are on the CPU."""
        steps = max(1, round(float(sums.get(_STEPS, torch.ones(())))))
        losses = {
            name.removeprefix(_LOSS): float(total) / steps
            for name, total in sums.items()
            if name.startswith(_LOSS)
        }
        trusted: tuple[float | None, ...] = ()
        if _LABELED in sums:
            pairs = zip(sums[_TRUSTED].tolist(), sums[_LABELED].tolist(), strict=True)
            trusted = tuple(part / whole if whole else None for part, whole in pairs)
        thresholds: tuple[float, ...] = ()
        if _THRESHOLDS in sums:
            thresholds = tuple((sums[_THRESHOLDS] / sums[_SAMPLES]).tolist())
        return cls(steps, losses, trusted, _explained(sums), thresholds)


def _explained(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the explained variance of each teacher whose tokens vary by more than rounding."""
    explained = {}
    for key in sums:
        if not key.startswith(_TOKENS):
            continue
        teacher = key.removeprefix(_TOKENS)
        count, means = float(sums[key]), sums[_MEANS + teacher]
        squares = float(sums[_SQUARES + teacher])
        spread = squares - float(means.square().sum()) / max(count, 1.0)
        if spread > _ROUNDING * squares:
            explained[teacher] = 1 - float(sums[_ERRORS + teacher]) / spread
    return explained


class Meter:
    """Sums over the steps of an interval, in float64 on the device of the training.

    Args:
        processes: number of processes that share each step.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self._sums: dict[str, Tensor] = {}

    @property
    def sums(self) -> dict[str, Tensor]:
        """The sums of this process by name, in the same order in all processes."""
        return dict(sorted(self._sums.items()))

    def clear(self) -> None:
        """Start a new interval."""
        self._sums = {}

    def load(self, sums: Mapping[str, Tensor]) -> None:
        """Continue an interval with the sums of all processes up to a checkpoint; one process loads them."""
        self._sums = dict(sums)

    def step(self, losses: Mapping[str, Tensor]) -> None:
        """Count a step, with the scalars of this process by name."""
        for name, loss in losses.items():
            self._add(_LOSS + name, loss.detach().double() / self._processes)
        if losses:
            # On the device like all others, so that they are reduced together.
            self._add(_STEPS, torch.ones_like(loss, dtype=torch.float64) / self._processes)

    @torch.no_grad()
    def pseudo_labels(self, labels: Tensor, trusted: Tensor, valid: Tensor, classes: int) -> None:
        """Count pseudo-labels by class.

        Args:
            labels: class ids, int64 [U, H, W].
            trusted: pixels that train the student, bool [U, H, W].
            valid: pixels without padding, bool [U, H, W].
            classes: number of classes.
        """
        for name, mask in ((_LABELED, valid), (_TRUSTED, trusted & valid)):
            rows = labels.flatten(0, 1)
            # Row by row, because many additions to few counters would wait for each other on a GPU.
            counts = rows.new_zeros(len(rows), classes)
            counts.scatter_add_(1, rows, mask.flatten(0, 1).to(rows.dtype))
            self._add(name, counts.sum(dim=0).double())

    def thresholds(self, by_class: Tensor, samples: int) -> None:
        """Add the threshold of each class, float32 [C], in a part of a step with this many unlabeled samples."""
        self._add(_THRESHOLDS, samples * by_class.double())
        self._add(_SAMPLES, torch.full_like(by_class[0], samples, dtype=torch.float64))

    @torch.no_grad()
    def tokens(
        self,
        student: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor],
        kept: Mapping[str, Tensor | None] | None = None,
    ) -> None:
        """Add the student's errors and the teachers' moments.

        Args:
            student: by teacher, translated tokens [B, h, w, D].
            teacher: by teacher, the teacher's tokens [B, h, w, D].
            kept: by teacher, the tokens that count, bool [B, h, w]; None keeps all.
        """
        for name, tokens_BHWD in teacher.items():
            target, translated = tokens_BHWD.float(), student[name].float()
            mask = (kept or {}).get(name)
            count = target.new_tensor(target.shape[:3].numel(), dtype=torch.float64)
            if mask is not None:
                # Not a product: an omitted token may be NaN.
                target = torch.where(mask[..., None], target, 0.0)
                translated = torch.where(mask[..., None], translated, 0.0)
                count = mask.sum(dtype=torch.float64)
            self._add(_TOKENS + name, count)
            errors = (translated - target).square_()
            self._add(_ERRORS + name, errors.sum(dtype=torch.float64))
            self._add(_MEANS + name, target.sum(dim=(0, 1, 2), dtype=torch.float64))
            self._add(_SQUARES + name, target.square().sum(dtype=torch.float64))

    def _add(self, name: str, sums: Tensor) -> None:
        before = self._sums.get(name)
        self._sums[name] = sums if before is None else before.to(sums.device) + sums
