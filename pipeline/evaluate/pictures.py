"""Draws the pictures next to a report (tests: test_run.py)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.evaluate.scenes import SceneLog, Shown
from pipeline.trained import TrainedRun
from rsmtdf_core.charts.confusion import confusion_picture
from rsmtdf_core.charts.panels import PanelRow, legend_picture, panel_picture
from rsmtdf_core.charts.reliability import ReliabilityCurve, reliability_picture
from rsmtdf_core.charts.training import curves_picture
from rsmtdf_core.evaluation.reliability import Reliability
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.metrics import Metrics
from rsmtdf_core.scenes.reader import SceneReader

NAMES = (
    "confusion.png",
    "panel.png",
    "errors.png",
    "reliability.png",
    "legend.png",
    "curves.png",
)


def draw_pictures(
    out: Path,
    report: EvaluationReport,
    run: TrainedRun,
    log: SceneLog,
    reader: SceneReader,
    metrics: Metrics,
) -> None:
    """Draw all pictures of a report into the folder `out`."""
    manifest = run.manifest
    warning = " (teachers with RANDOM WEIGHTS)" if report.random_teachers else ""
    names, title = manifest.class_names, f"Confusion matrix{warning}"
    confusion_picture(out / "confusion.png", report.matrix, names, title)
    panel_picture(out / "panel.png", list(_rows(log.chosen, report, reader, warning)), manifest)
    worst, errors = list(_rows(log.worst, report, reader, warning)), out / "errors.png"
    if worst:
        panel_picture(errors, worst, manifest, errors=True)
    else:
        with writing(errors):
            errors.unlink(missing_ok=True)  # of an earlier report
    reliability_picture(
        out / "reliability.png",
        [reliability_curve(entry) for entry in report.reliability],
        f"Reliability{warning}",
    )
    legend_picture(out / "legend.png", manifest)
    if metrics.records:  # an imported run has none
        curves_picture(out / "curves.png", metrics.records, run.config.method.losses)


def reliability_curve(reliability: Reliability) -> ReliabilityCurve:
    """Return the curve of a diagram, named by its temperature."""
    name = "as trained"
    if reliability.temperature != 1:
        name = f"temperature {reliability.temperature:.3g}"
    bins = reliability.bins
    return ReliabilityCurve(
        f"{name}: calibration error {100 * reliability.ece:.2f} %",
        [entry.pixels for entry in bins],
        [entry.confidence for entry in bins],
        [entry.accuracy for entry in bins],
    )


def _rows(
    scenes: Sequence[Shown], report: EvaluationReport, reader: SceneReader, warning: str
) -> Iterator[PanelRow]:
    errors = {score.scene: score.error for score in report.scenes}
    for scene, ids in scenes:
        title = f"{scene.id}: {100 * errors[scene.id]:.1f} % wrong{warning}"
        yield PanelRow(title, reader.picture(scene), reader.mask(scene), ids)
