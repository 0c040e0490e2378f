"""The calibrate stage: fits a temperature to a run's model on the validation scenes."""

from pathlib import Path

from pipeline.calibration import Calibration, calibration_file, write_calibration
from pipeline.reporter import Reporter, Silent
from pipeline.trained import load_run, map_inference
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.scoring import ScenePrediction, count_confusion, scored_scenes
from rsmtdf_core.evaluation.temperature import LIMITS, PixelSample
from rsmtdf_core.files import require_writable
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.words import counted

SPLIT: SplitName = "val"
"""The temperature is never fitted on the test split, whose scores would then no longer be those of unseen scenes."""


def calibrate(
    path: Path,
    weights: ModelName | None = None,
    root: Path | None = None,
    reporter: Reporter | None = None,
    *,
    checkpoint: Choice | None = None,
) -> Calibration:
    """Fit a temperature to a run's model, and write it into the run's folder.

    The validation scenes are predicted as `predict` does, in blended windows, because its confidences are calibrated.

    Args:
        path: the run's folder.
        weights: the EMA model or the student; None uses the model validated during training.
        root: the data root; None uses the root in the run's config.
        reporter: shows progress.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.

    Raises:
        DataError: If no validation scene has a labeled pixel.
        WriteError: If the file cannot be written.
    """
    reporter = reporter or Silent()
    run = load_run(path, weights, checkpoint=checkpoint)
    require_writable(calibration_file(run))
    dataset = find_scenes(run.manifest, root or run.config.data.root)
    scenes = scored_scenes(dataset.splits.get(SPLIT, ()))
    if not scenes:
        raise DataError(
            f"the split {SPLIT!r} has no scene with a mask",
            where=run.config.data.root,
            remedy=f"rsmtdf data check {run.config.data.manifest} --root {run.config.data.root}",
        )
    tested = {scene.id for scene in dataset.splits.get("test", ())}
    shared = sum(scene.id in tested for scene in scenes)
    if shared:
        reporter.warn(
            f"{counted(shared, 'scene')} of the split {SPLIT!r} are in the test split too: the calibration error on "
            "test will be too low"
        )
    area = sum(scene.width * scene.height for scene in scenes)
    sample = PixelSample(area, run.manifest.ignore_id)
    inference = map_inference(run)
    with reporter.bar(f"calibrate on {SPLIT}", len(scenes)) as bar:

        def draw(prediction: ScenePrediction) -> None:
            sample.add(prediction.logits, prediction.truth)
            bar.advance()

        count_confusion(run.student, SceneReader(dataset), scenes, inference, draw)
    fit = sample.fit()
    if not LIMITS[0] * 1.01 < fit.temperature < LIMITS[1] / 1.01:
        reporter.warn(
            f"the temperature {fit.temperature:.3g} is at its limit: the model is almost always right or almost always "
            "wrong on these scenes, so its confidences cannot be calibrated well"
        )
    calibration = Calibration(
        checkpoint=run.checkpoint.fingerprint,
        weights=run.weights,
        steps=run.checkpoint.state["step"],
        split=SPLIT,
        scenes=len(scenes),
        tested=shared,
        inference=inference,
        fit=fit,
        ece=sample.reliability(1.0).ece,
        fitted_ece=sample.reliability(fit.temperature).ece,
    )
    write_calibration(run, calibration)
    return calibration
