"""The baseline without unlabeled data: cross-entropy on labeled views only."""

from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import (
    Counts,
    Models,
    ObjectiveHooks,
    forward,
    pixel_counts,
)
from rsmtdf_core.training.methods.labeled import LabeledLoss, Task
from rsmtdf_core.training.settings import SupervisedLossSettings
from rsmtdf_core.training.targets import Targets


class Supervised(ObjectiveHooks):
    """L = L_x."""

    def __init__(self, settings: SupervisedLossSettings, ignore_id: int, seed: int) -> None:
        del seed
        self._labeled_loss = LabeledLoss(settings, ignore_id)
        self._ignore_id = ignore_id

    @property
    def notes(self) -> tuple[str, ...]:
        """The weights of classes."""
        return (self._labeled_loss.note,) if self._labeled_loss.note else ()

    @property
    def state(self) -> dict[str, Tensor]:
        """The weights of classes, if they are set."""
        return self._labeled_loss.state

    def prepare(self, task: Task) -> None:
        """Compute the weights of classes.

        Raises:
            ConfigError: If the weights do not fit the classes.
        """
        self._labeled_loss.prepare(task)

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count the labeled pixels."""
        del targets
        return pixel_counts(batch, self._ignore_id, self._labeled_loss)

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised loss on weak labeled views."""
        del targets
        logits = forward(models, batch.images).logits
        return self._losses(logits, batch, counts)

    def _losses(self, logits: Tensor, batch: Batch, counts: Counts) -> dict[str, Tensor]:
        """Compute the supervised loss of logits of the labeled views, [B, C, S, S]."""
        losses = self._labeled_loss(logits, batch.masks, counts.labeled, counts.images)
        return {"loss": losses.pop("loss_x"), **losses}
