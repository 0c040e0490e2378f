"""FixMatch with an EMA model and CutMix: what RS-MTDF builds on and is compared with."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.objectives.base import (
    Models,
    forward,
    labeled_loss,
    pseudo_labels,
    student_images,
    unlabeled_loss,
)
from rsmtdf_core.training.settings import ObjectiveSettings
from rsmtdf_core.training.targets import Targets


class FixMatch:
    """L = (L_x + L_u) / 2 (Sohn et al. 2020, as UniMatch has it for segmentation)."""

    uses_unlabeled = True
    uses_teachers = False

    def __init__(self, settings: ObjectiveSettings, ignore_id: int) -> None:
        self._confidence = settings.confidence
        self._ignore_id = ignore_id

    def __call__(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Supervised loss on weak labeled views, consistency loss on mixed unlabeled ones."""
        del targets
        pseudo = pseudo_labels(models, batch, self._confidence)
        logits = forward(models, student_images(batch)).logits
        labeled = len(batch.images)
        loss_x = labeled_loss(logits[:labeled], batch.masks, self._ignore_id)
        loss_u = unlabeled_loss(logits[labeled:], pseudo)
        return {
            "loss": (loss_x + loss_u) / 2,
            "loss_x": loss_x,
            "loss_u": loss_u,
            "trusted": pseudo.trusted.sum() / pseudo.valid.sum().clamp(min=1),
        }
