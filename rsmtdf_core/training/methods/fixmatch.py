"""FixMatch with an EMA model and CutMix, the basis and baseline of RS-MTDF."""

from collections.abc import Callable

from torch import Tensor

from rsmtdf_core.student.model import StudentOutput
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import (
    Confidence,
    Counts,
    Models,
    ObjectiveHooks,
    pixel_counts,
    semi_supervised,
)
from rsmtdf_core.training.methods.labeled import LabeledLoss, Task
from rsmtdf_core.training.methods.rows import SemiSupervisedSettings
from rsmtdf_core.training.methods.thresholds import SelfAdaptiveThresholds
from rsmtdf_core.training.settings import SupervisedLossSettings
from rsmtdf_core.training.targets import Targets


class FixMatch(ObjectiveHooks):
    """L = (L_x + L_u) / 2 (Sohn et al. 2020, in the variant for segmentation of UniMatch)."""

    _confidence: Confidence

    def __init__(self, settings: SemiSupervisedSettings, ignore_id: int, seed: int) -> None:
        self._momentum: float | None = None
        if settings.thresholds == "self-adaptive":
            self._momentum = settings.threshold_momentum  # `prepare` creates the thresholds
        else:
            self._confidence = settings.confidence
        # The settings of a method of another package may lack these keys.
        self._labeled_loss = (
            LabeledLoss(settings, ignore_id)
            if isinstance(settings, SupervisedLossSettings)
            else None
        )
        self._ignore_id = ignore_id
        self._seed = seed

    @property
    def notes(self) -> tuple[str, ...]:
        """The weights of classes."""
        note = self._labeled_loss.note if self._labeled_loss else ""
        return (note,) if note else ()

    @property
    def state(self) -> dict[str, Tensor]:
        """The weights of classes and the self-adaptive thresholds, if they are set."""
        state: dict[str, Tensor] = self._labeled_loss.state if self._labeled_loss else {}
        if isinstance(self._confidence, SelfAdaptiveThresholds):
            return state | self._confidence.state
        return state

    def prepare(self, task: Task) -> None:
        """Compute the weights of classes and create the thresholds.

        Raises:
            ConfigError: If the weights do not fit the classes.
        """
        if self._labeled_loss is not None:
            self._labeled_loss.prepare(task)
        if self._momentum is not None:
            self._confidence = SelfAdaptiveThresholds(
                len(task.classes), self._momentum, task.device
            )

    def end_step(self, summed: Callable[[Tensor], Tensor]) -> None:
        """Update the self-adaptive thresholds."""
        if isinstance(self._confidence, SelfAdaptiveThresholds):
            self._confidence.end_step(summed)

    def counts(self, batch: Batch, targets: Targets | None) -> Counts:
        """Count labeled pixels, and the pixels of strong views without padding."""
        del targets
        return pixel_counts(batch, self._ignore_id, self._labeled_loss)

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised loss on weak labeled views and the consistency loss on mixed unlabeled views."""
        del targets
        _, losses = self._losses(models, batch, counts)
        return {"loss": (losses["loss_x"] + losses["loss_u"]) / 2, **losses}

    def _losses(
        self, models: Models, batch: Batch, counts: Counts, channel_scale: Tensor | None = None
    ) -> tuple[StudentOutput, dict[str, Tensor]]:
        """Return the result of `semi_supervised` with this method's settings."""
        return semi_supervised(
            models,
            batch,
            counts,
            self._confidence,
            self._ignore_id,
            channel_scale,
            self._labeled_loss,
        )
