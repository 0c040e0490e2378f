"""Reads and writes the temperature of a run, bound to one of its models (tests: calibrate/test_run.py).

calibration.json lies in the run's folder, sealed like the run's other files.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from pipeline.trained import TrainedRun
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.temperature import TemperatureFit
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.runs.seals import read_sealed_json, write_sealed_json
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.words import counted

FILE = "calibration.json"
FORMAT = FileFormat("calibration")


class Calibration(Settings):
    """The temperature of a model, and how it was fitted.

    Attributes:
        checkpoint: fingerprint of the checkpoint.
        weights: the model of the checkpoint.
        steps: training steps of the model.
        split: split of the scenes.
        scenes: number of scenes.
        tested: number of these scenes that are also in the test split.
        inference: how the scenes were predicted.
        fit: the temperature and its likelihoods.
        ece: expected calibration error of the sample at temperature 1, in [0, 1].
        fitted_ece: the same at the fitted temperature.
    """

    checkpoint: str
    weights: ModelName
    steps: int
    split: str
    scenes: int
    tested: int = 0
    inference: InferenceSettings
    fit: TemperatureFit
    ece: float = Field(ge=0, le=1)
    fitted_ece: float = Field(ge=0, le=1)

    @property
    def temperature(self) -> float:
        """The divisor of the logits."""
        return self.fit.temperature

    def describe(self) -> str:
        """Describe the temperature and its origin in words, for reports and the tags of maps."""
        return (
            f"temperature {self.temperature:.4g}, fitted on {counted(self.fit.pixels, 'pixel')} of the "
            f"{self.split} split"
        )


def calibration_file(trained: TrainedRun) -> Path:
    """Return the path of the run's calibration."""
    return trained.folder.path / FILE


def write_calibration(trained: TrainedRun, calibration: Calibration) -> None:
    """Write the run's calibration, atomically; it replaces an earlier one.

    Raises:
        WriteError: If the file cannot be written.
    """
    values = FORMAT.stamped(calibration.model_dump(mode="json"))
    write_sealed_json(calibration_file(trained), values)


def read_calibration(trained: TrainedRun, warn: Callable[[str], None]) -> Calibration | None:
    """Return the calibration of the loaded model, or None without one.

    Args:
        trained: the run with one of its models.
        warn: called with a sentence if the run's calibration belongs to another model, which is ignored.

    Raises:
        RunError: If the file is damaged.
    """
    path = calibration_file(trained)
    if not path.is_file():
        return None
    remedy = f"rsmtdf calibrate {shlex.quote(str(trained.folder.path))}"
    try:
        values = FORMAT.current(read_sealed_json(path, ()), path, RunError)
        calibration = Calibration.model_validate(
            {key: value for key, value in values.items() if key != "format"}
        )
    except (RunError, ValidationError) as damage:
        what = damage.what if isinstance(damage, RunError) else "the file is not a calibration"
        raise RunError(what, where=path, remedy=remedy) from None
    model = trained.checkpoint.fingerprint, trained.weights
    if (calibration.checkpoint, calibration.weights) != model:
        steps = trained.checkpoint.state["step"]
        warn(
            f"confidences are not calibrated: the temperature of the run belongs to the {calibration.weights} model "
            f"of step {calibration.steps}, not to the {trained.weights} model of step {steps}; "
            f"to fit another: {remedy} --checkpoint {steps} --weights {trained.weights}"
        )
        return None
    return calibration
