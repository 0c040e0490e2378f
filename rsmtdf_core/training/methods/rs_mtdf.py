"""RS-MTDF (arXiv 2506.08772): FixMatch plus distillation from several frozen teachers."""

import torch
from torch import Tensor

from rsmtdf_core.training.data import Batch, mixed_valid
from rsmtdf_core.training.distillation import kept_tokens, token_counts
from rsmtdf_core.training.methods.base import Counts, Models, distilled
from rsmtdf_core.training.methods.fixmatch import FixMatch
from rsmtdf_core.training.methods.rows import RsMtdfSettings
from rsmtdf_core.training.targets import Targets


class RsMtdf(FixMatch):
    """L = (L_x + L_u + w * L_distill) / 3; w is 1 as published, or `distillation.weight` with its schedule."""

    def __init__(self, settings: RsMtdfSettings, ignore_id: int, seed: int) -> None:
        super().__init__(settings, ignore_id, seed)
        self._distillation = settings.distillation

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count the pixels as in FixMatch, and the compared tokens of each teacher."""
        assert targets is not None, "rs-mtdf needs the teachers' tokens"
        tokens = token_counts(targets.tokens, self._kept(batch, targets))
        pixels = super().counts(batch, targets)
        return pixels._replace(tokens=torch.stack(list(tokens.values())))

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised, consistency and distillation losses in one student pass."""
        assert targets is not None, "rs-mtdf needs the teachers' tokens"
        output, losses = self._losses(models, batch, counts)
        first = 0 if targets.labeled else len(batch.images)
        student = {name: tokens[first:] for name, tokens in output.tokens.items()}
        kept = self._kept(batch, targets)
        distill = distilled(models, student, targets, kept, counts, self._distillation)
        weight = self._distillation.weight_at(models.progress)
        total = (losses["loss_x"] + losses["loss_u"] + weight * distill) / 3
        return {"loss": total, **losses, "loss_distill": distill}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the factor on the distillation loss."""
        return {"weight_distill": self._distillation.weight_at(progress)}

    def _kept(self, batch: Batch, targets: Targets) -> dict[str, Tensor | None]:
        """Return the mask of the targets' tokens to compare by teacher, bool, or None for all tokens."""
        labeled = len(batch.images) if targets.labeled else 0
        valid = torch.cat([batch.valid[:labeled], *mixed_valid(batch)])
        composed = targets.kept or dict.fromkeys(targets.tokens)
        return {
            name: kept_tokens(
                (tokens.shape[1], tokens.shape[2]),
                labeled,
                valid,
                self._distillation,
                composed[name],
            )
            for name, tokens in targets.tokens.items()
        }
