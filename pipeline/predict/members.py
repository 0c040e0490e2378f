"""The models whose predictions make a map: one run, or several whose probabilities are averaged.

With several runs, the blocks of a map are made of the logarithms of the mean probabilities, so that their softmax is
that mean (Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation, NeurIPS 2017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.trained import TrainedRun, load_run, map_inference
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.averaging import averaged_logits
from rsmtdf_core.evaluation.inference import require_fitting_window
from rsmtdf_core.evaluation.scoring import require_finite_output
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.runs.best import Choice


class Block(NamedTuple):
    """The prediction of a part of a raster.

    Attributes:
        logits: float32 [C, rows, columns]; of several models the logarithms of the mean probabilities.
        disagreement: float32 [rows, columns] in [0, 1]; 0 with a single model.
    """

    logits: Tensor
    disagreement: Tensor


@dataclass(frozen=True, slots=True)
class Members:
    """The models of a map, with common classes, bands and windows.

    Attributes:
        runs: one run or several; the first decides windows, scales and flips.
        inference: the settings for all of them.
    """

    runs: tuple[TrainedRun, ...]
    inference: InferenceSettings

    def __post_init__(self) -> None:
        """Check that the models can predict together.

        Raises:
            ConfigError: If runs differ in their classes or bands, are given twice, or cannot have the same windows.
        """
        first = self.runs[0]
        seen = {first.checkpoint.fingerprint}
        for other in self.runs[1:]:
            _require_same(first, other)
            require_fitting_window(self.inference, other.student.patch)
            if other.checkpoint.fingerprint in seen:
                raise ConfigError(
                    "the run is given twice, so it would count twice",
                    where=other.folder.path,
                    remedy="give each run once",
                )
            seen.add(other.checkpoint.fingerprint)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Convert pixels, uint8 [bands, h, w], to the inputs of all models, float32 [models * bands, h, w]."""
        return torch.cat([run.student.normalise(pixels[None])[0] for run in self.runs])

    def logits(self, windows: Tensor) -> Tensor:
        """Predict windows, float32 [B, models * bands, h, w]: the logits [B, models * C, h, w]."""
        return torch.cat(
            [
                averaged_logits(
                    run.student.logits,
                    inputs.to(next(run.student.parameters()).device),
                    self.inference,
                    run.student.patch,
                )
                for run, inputs in zip(self.runs, windows.chunk(len(self.runs), dim=1), strict=True)
            ],
            dim=1,
        )

    def block(self, logits: Tensor) -> Block:
        """Average the logits of a block, float32 [models * C, rows, columns].

        Raises:
            RunError: If a model's output contains NaN or infinity.
        """
        require_finite_output(logits)
        if len(self.runs) == 1:
            return Block(logits, torch.zeros(logits.shape[1:]))
        return averaged(logits.unflatten(0, (len(self.runs), -1)))


def averaged(logits: Tensor) -> Block:
    """Average the probabilities of models, given their logits, float32 [models, C, rows, columns].

    The disagreement is the generalized Jensen-Shannon divergence of the models' probabilities, divided by its largest
    value, the logarithm of the number of models or of classes, whichever is smaller. It is 0 if all models predict the
    same probabilities, and 1 if each of them is certain of another class.
    """
    probabilities = logits.softmax(dim=1)
    mean = probabilities.mean(dim=0)
    divergence = _entropy(mean) - _entropy(probabilities.movedim(1, 0)).mean(dim=0)
    largest = math.log(min(logits.shape[:2]))
    tiny = torch.finfo(mean.dtype).tiny
    return Block(mean.clamp_min(tiny).log(), (divergence / largest).clamp(0, 1))


def _entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy over the first dimension, in nats."""
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=0)
    return entropy


def _require_same(first: TrainedRun, other: TrainedRun) -> None:
    """Check that two runs have the same classes, in the same order, and read the same bands in the same way.

    Raises:
        ConfigError: If they differ; the message lists the differences.
    """
    changes = list(differences(_common(first), _common(other)))
    if changes:
        raise ConfigError(
            f"the run does not predict the same as {first.folder.path.name}: {'; '.join(changes)}",
            where=other.folder.path,
            remedy="average runs with the same classes, bands and scale",
        )


def _common(run: TrainedRun) -> dict[str, object]:
    """Return the facts that the members share."""
    manifest = run.manifest
    bands = None if manifest.bands is None else manifest.bands.model_dump(mode="json")
    return {
        "classes": ", ".join(manifest.class_names),
        "ignore_id": manifest.ignore_id,
        "bands": bands,
        "number of bands": run.student.bands,
    }


def facts_of(run: TrainedRun) -> dict[str, object]:
    """Return the facts that identify a model."""
    return {
        "run": run.folder.path.resolve().name,
        "checkpoint": run.checkpoint.fingerprint,
        "weights": run.weights,
    }


def load_members(
    run: Path, ensemble: Sequence[Path], overrides: Sequence[str], checkpoint: Choice | None
) -> Members:
    """Load a run, and the best models of further runs.

    Args:
        run: the first run, which decides windows, scales and flips.
        ensemble: further runs.
        overrides: `key=value` for keys of `evaluation.inference` and for `runtime.device`.
        checkpoint: the checkpoint of the first run; see `load_run`.

    Raises:
        RunError: If there is no such run or checkpoint.
        ConfigError: If an override is invalid, or the runs cannot predict together.
    """
    first = load_run(run, overrides=overrides, checkpoint=checkpoint)
    others = (load_run(path, overrides=overrides) for path in ensemble)
    return Members((first, *others), map_inference(first))
