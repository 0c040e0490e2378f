"""Thresholds of confidence for pseudo-labels that follow the model (FreeMatch)."""

from collections.abc import Callable

import torch
from torch import Tensor


class SelfAdaptiveThresholds:
    """Global and class-local thresholds of FreeMatch (Wang et al. 2023, arXiv 2205.07246, equations 5 to 8).

    With q the probabilities of the model at the pixels of a step, C classes and momentum m:

        t = m t + (1 - m) mean(max_c q[c])        the global threshold, initially 1 / C
        p[c] = m p[c] + (1 - m) mean(q[c])        the mean prediction, initially 1 / C
        threshold[c] = t p[c] / max(p)

    Unlike in the paper, a step uses the thresholds of the steps before it. So all parts of a step, in all processes,
    use the same thresholds. The paper's class fairness objective is not included.

    Args:
        classes: C.
        momentum: m.
        device: the device of the training.
    """

    def __init__(self, classes: int, momentum: float, device: torch.device) -> None:
        self._momentum = momentum
        self._confidence = torch.full((), 1 / classes, dtype=torch.float64, device=device)
        self._chances = torch.full((classes,), 1 / classes, dtype=torch.float64, device=device)
        # Over the pixels of the current step: number, sum of the largest probability, sums by class.
        self._sums = torch.zeros(2 + classes, dtype=torch.float64, device=device)

    @property
    def state(self) -> dict[str, Tensor]:
        """The global threshold and the mean prediction, which a resumed run continues."""
        return {"confidence": self._confidence, "chances": self._chances}

    @property
    def by_class(self) -> Tensor:
        """The threshold of each class, float32 [C]."""
        return (self._chances / self._chances.max() * self._confidence).float()

    def observe(self, chances: Tensor, valid: Tensor) -> None:
        """Add the probabilities [B, C, H, W] of a part of a step at its valid pixels, bool [B, H, W]."""
        kept = chances * valid[:, None]
        by_class = kept.sum(dim=(0, 2, 3), dtype=torch.float64)
        largest = kept.amax(dim=1).sum(dtype=torch.float64)
        self._sums += torch.cat([valid.sum().double()[None], largest[None], by_class])

    def end_step(self, summed: Callable[[Tensor], Tensor]) -> None:
        """Update the thresholds after all parts of a step.

        Args:
            summed: returns the sum of a tensor over all processes.
        """
        sums = summed(self._sums)
        means = sums[1:] / sums[0].clamp(min=1)
        ratio = (1 - self._momentum) * (sums[0] > 0)
        self._confidence.lerp_(means[0], ratio)
        self._chances.lerp_(means[1:], ratio)
        self._sums.zero_()
