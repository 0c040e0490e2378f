"""The lower bound: cross-entropy on the labeled views alone."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.objectives.base import Models, forward, labeled_loss
from rsmtdf_core.training.settings import ObjectiveSettings
from rsmtdf_core.training.targets import Targets


class Supervised:
    """L = L_x."""

    uses_unlabeled = False
    uses_teachers = False

    def __init__(self, settings: ObjectiveSettings, ignore_id: int) -> None:
        del settings
        self._ignore_id = ignore_id

    def __call__(self, models: Models, batch: Batch, targets: Targets | None) -> dict[str, Tensor]:
        """Cross-entropy of the labeled weak views."""
        del targets
        return {
            "loss": labeled_loss(forward(models, batch.images).logits, batch.masks, self._ignore_id)
        }
