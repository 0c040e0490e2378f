"""RS-MTDF (arXiv 2506.08772): FixMatch plus distillation from several frozen teachers."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.distillation import distillation_loss
from rsmtdf_core.training.objectives.base import Models, semi_supervised
from rsmtdf_core.training.objectives.fixmatch import FixMatch
from rsmtdf_core.training.targets import Targets


class RsMtdf(FixMatch):
    """L = (L_x + L_u + L_distill) / 3; distillation covers every sample that the student sees."""

    uses_teachers = True

    def __call__(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Supervised, consistency and distillation losses of one student pass."""
        assert targets is not None, "rs-mtdf needs the teachers' tokens"
        output, losses = semi_supervised(models, batch, self._confidence, self._ignore_id)
        distill = distillation_loss(output.tokens, targets.tokens, targets.kept)
        total = (losses["loss_x"] + losses["loss_u"] + distill) / 3
        return {"loss": total, **losses, "loss_distill": distill}
