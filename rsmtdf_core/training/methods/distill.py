"""Distillation alone: the encoder and the translators learn the teachers' tokens of all scenes.

A step is one pass of the encoder over the views that the teachers saw. No view is decoded and no label is used, so a
step costs less than that of a method with a head, and it may train many more views.
"""

import torch
from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.distillation import kept_tokens, token_counts
from rsmtdf_core.training.methods.base import Counts, Models, ObjectiveHooks, distilled
from rsmtdf_core.training.methods.rows import DistillSettings
from rsmtdf_core.training.targets import Targets


class Distill(ObjectiveHooks):
    """L = w * L_distill over views of labeled and unlabeled scenes; w is `distillation.weight` with its schedule."""

    def __init__(self, settings: DistillSettings, ignore_id: int, seed: int) -> None:
        del ignore_id, seed
        # The schedule only draws the samples to compare.
        self._distillation = settings.distillation.model_copy(update={"samples": "both"})

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count the compared tokens of each teacher."""
        assert targets is not None, "distill needs the teachers' tokens"
        tokens = token_counts(targets.tokens, self._kept(batch, targets))
        counts = torch.stack(list(tokens.values()))
        return Counts(counts.new_zeros(()), counts.new_zeros(0), counts)

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the distillation loss of a part of a step; `models.student` computes tokens only."""
        assert targets is not None, "distill needs the teachers' tokens"
        models.clock.begin("student")
        tokens = models.student(models.ema.normalise(batch.images))
        models.clock.begin("loss")
        kept = self._kept(batch, targets)
        loss = distilled(models, tokens, targets, kept, counts, self._distillation)
        weight = self._distillation.weight_at(models.progress)
        return {"loss": weight * loss, "loss_distill": loss}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the factor on the distillation loss."""
        return {"weight_distill": self._distillation.weight_at(progress)}

    def _kept(self, batch: Batch, targets: Targets) -> dict[str, Tensor | None]:
        """Return the mask of tokens to compare by teacher, bool [N, h, w], or None for all tokens."""
        composed = targets.kept or dict.fromkeys(targets.tokens)
        return {
            name: kept_tokens(
                (tokens.shape[1], tokens.shape[2]),
                len(batch.images),
                batch.valid,
                self._distillation,
                composed[name],
            )
            for name, tokens in targets.tokens.items()
        }
