"""The method."""

import torch
from rsmtdf.rsmtdf_core.training.methods.base import semi_supervised
from rsmtdf.rsmtdf_core.training.methods.fixmatch import FixMatch


class Nearest(FixMatch):
    """L = (L_x + L_u) / 2 + weight * the absolute distance of tokens."""

    def __init__(self, settings, ignore_id, seed):
        super().__init__(settings, ignore_id, seed)
        self._weight = settings.weight

    def __call__(self, models, batch, targets, counts):
        output, losses = semi_supervised(models, batch, counts, self._confidence, self._ignore_id)
        distances = [
            (output.tokens[name] - tokens).abs().mean() for name, tokens in targets.tokens.items()
        ]
        nearest = self._weight * torch.stack(distances).mean()
        total = (losses["loss_x"] + losses["loss_u"]) / 2 + nearest
        return {"loss": total, **losses, "loss_nearest": nearest}
