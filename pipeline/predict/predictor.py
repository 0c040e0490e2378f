"""The models and settings of a prediction, and the blocks that they predict (tests: test_members.py)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.calibration import Calibration, read_calibration
from pipeline.predict.inputs import OutputKind
from pipeline.predict.members import Members, load_members
from pipeline.predict.settings import PredictSettings
from pipeline.predict.sources import Source
from pipeline.reporter import Reporter
from pipeline.trained import TrainedRun
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import blended_blocks
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.scenes.bands import SHOWN, BandSettings


@dataclass(frozen=True, slots=True)
class Predictor:
    """The models and the settings shared by all inputs.

    Attributes:
        members: the models.
        calibration: the temperature of a single model; None without one.
        bands: the bands to read; None reads those that the file shows.
        settings: the outputs.
    """

    members: Members
    calibration: Calibration | None
    bands: BandSettings | None
    settings: PredictSettings

    @property
    def trained(self) -> TrainedRun:
        """The first run, whose classes, colors and windows are used."""
        return self.members.runs[0]

    @property
    def inference(self) -> InferenceSettings:
        """How windows are predicted."""
        return self.members.inference

    @property
    def temperature(self) -> float:
        """The divisor of the logits in probabilities and confidences."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def tags(self, kind: OutputKind) -> dict[str, str]:
        """Facts that a reader of an output must know."""
        tags = {}
        if self.calibration is not None and kind in ("probabilities", "confidence"):
            tags["calibration"] = self.calibration.describe()
        if len(self.members.runs) > 1:
            names = (run.folder.path.resolve().name for run in self.members.runs)
            tags["ensemble"] = f"mean probabilities of the runs {', '.join(names)}"
        return tags


@dataclass(frozen=True, slots=True)
class Models:
    """The names of the models, with which any process can load them.

    Attributes:
        run: the run's folder.
        ensemble: further runs.
        overrides: `key=value` for keys of `evaluation.inference` and for `runtime.device`.
        checkpoint: the checkpoint of the first run; see `load_run`.
    """

    run: Path
    ensemble: tuple[Path, ...]
    overrides: tuple[str, ...]
    checkpoint: Choice | None


def load_predictor(models: Models, settings: PredictSettings, reporter: Reporter) -> Predictor:
    """Load the models and their calibration.

    Raises:
        RunError: If there is no such run or checkpoint, or the calibration is damaged.
        ConfigError: If an override is invalid, the runs cannot predict together, or the number of bands differs.
    """
    members = load_members(models.run, models.ensemble, models.overrides, models.checkpoint)
    calibration = find_calibration(members, settings, reporter)
    return Predictor(members, calibration, _bands(members.runs[0], settings), settings)


def _bands(trained: TrainedRun, settings: PredictSettings) -> BandSettings | None:
    """Choose the bands to read, as many as the student expects.

    Raises:
        ConfigError: If the number of bands differs.
    """
    bands = settings.bands or trained.manifest.bands
    count = SHOWN if bands is None else len(bands.indices)
    if count != trained.student.bands:
        raise ConfigError(
            f"the run's student expects {trained.student.bands} bands, found {count}",
            where="--bands",
            remedy=f"name {trained.student.bands} bands in the order of the manifest's bands.indices",
        )
    return bands


def find_calibration(
    members: Members, settings: PredictSettings, reporter: Reporter
) -> Calibration | None:
    """Return the run's calibration if probabilities or confidences are written; an ensemble has none.

    Raises:
        RunError: If the run's calibration is damaged.
    """
    if settings.uncalibrated or not settings.soft:
        return None
    if len(members.runs) > 1:
        reporter.say("the probabilities of an ensemble are not calibrated")
        return None
    calibration = read_calibration(members.runs[0], reporter.warn)
    if calibration is not None:
        now, fitted = (
            deciding(inference, Role.SCORING)
            for inference in (members.inference, calibration.inference)
        )
        if now != fitted:
            reporter.warn(
                "the run's temperature was fitted with other inference settings: "
                + "; ".join(differences(fitted, now))
            )
        reporter.say(f"confidences are calibrated: {calibration.describe()}")
    return calibration


def predict_blocks(predictor: Predictor, source: Source) -> Iterator[tuple[int, int, Tensor]]:
    """Yield top and left in px and the logits of each block, float32 [models * C, rows, columns] on the CPU."""
    members = predictor.members

    def read(top: int, left: int, height: int, width: int) -> Tensor:
        pixels = source.read(top, left, height, width)
        return members.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1))

    return blended_blocks(members.logits, read, source.size, predictor.inference)
