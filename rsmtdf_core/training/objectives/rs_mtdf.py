"""RS-MTDF (arXiv 2506.08772): FixMatch plus distillation from several frozen teachers."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.distillation import distillation_loss
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


class RsMtdf:
    """L = (L_x + L_u + L_distill) / 3; distillation covers every sample that the student sees."""

    uses_unlabeled = True
    uses_teachers = True

    def __init__(self, settings: ObjectiveSettings, ignore_id: int) -> None:
        self._confidence = settings.confidence
        self._ignore_id = ignore_id

    def __call__(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Supervised, consistency and distillation losses of one student pass."""
        assert targets is not None, "rs-mtdf needs the teachers' tokens"
        pseudo = pseudo_labels(models, batch, self._confidence)
        output = forward(models, student_images(batch))
        labeled = len(batch.images)
        loss_x = labeled_loss(output.logits[:labeled], batch.masks, self._ignore_id)
        loss_u = unlabeled_loss(output.logits[labeled:], pseudo)
        loss_distill = distillation_loss(output.tokens, targets.tokens, targets.kept)
        return {
            "loss": (loss_x + loss_u + loss_distill) / 3,
            "loss_x": loss_x,
            "loss_u": loss_u,
            "loss_distill": loss_distill,
            "trusted": pseudo.trusted.sum() / pseudo.valid.sum().clamp(min=1),
        }
