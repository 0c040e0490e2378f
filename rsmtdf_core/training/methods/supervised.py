"""The baseline without unlabeled data: cross-entropy on labeled views only."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import (
    Counts,
    Models,
    forward,
    labeled_loss,
    pixel_counts,
)
from rsmtdf_core.training.settings import MethodSettings
from rsmtdf_core.training.targets import Targets


class Supervised:
    """L = L_x."""

    def __init__(self, settings: MethodSettings, ignore_id: int, seed: int) -> None:
        del settings, seed
        self._ignore_id = ignore_id

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count the labeled pixels."""
        del targets
        return pixel_counts(batch, self._ignore_id)

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy on weak labeled views."""
        del targets
        logits = forward(models, batch.images).logits
        return {"loss": labeled_loss(logits, batch.masks, self._ignore_id, counts.labeled)}
