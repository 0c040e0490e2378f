"""FixMatch with an EMA model and CutMix, the basis and baseline of RS-MTDF."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import (
    Counts,
    Models,
    ObjectiveHooks,
    pixel_counts,
    semi_supervised,
)
from rsmtdf_core.training.methods.rows import SemiSupervisedSettings
from rsmtdf_core.training.targets import Targets


class FixMatch(ObjectiveHooks):
    """L = (L_x + L_u) / 2 (Sohn et al. 2020, in the variant for segmentation of UniMatch)."""

    def __init__(self, settings: SemiSupervisedSettings, ignore_id: int, seed: int) -> None:
        self._confidence = settings.confidence
        self._ignore_id = ignore_id
        self._seed = seed

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count labeled pixels, and the pixels of strong views without padding."""
        del targets
        return pixel_counts(batch, self._ignore_id)

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised loss on weak labeled views and the consistency loss on mixed unlabeled views."""
        del targets
        _, losses = semi_supervised(models, batch, counts, self._confidence, self._ignore_id)
        return {"loss": (losses["loss_x"] + losses["loss_u"]) / 2, **losses}
