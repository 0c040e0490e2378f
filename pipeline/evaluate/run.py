"""Scores a run on a split: report, tables and pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.plan import labeled_rule
from pipeline.reporter import Reporter, Silent
from pipeline.trained import TrainedRun, load_run
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.confusion import confusion_picture
from rsmtdf_core.charts.panels import PanelRow, legend_picture, panel_picture
from rsmtdf_core.charts.training import curves_picture
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import (
    EvaluationReport,
    write_csv,
    write_report,
)
from rsmtdf_core.evaluation.scoring import count_confusion, evenly, scored_scenes
from rsmtdf_core.refusals import require_no_folder, writing
from rsmtdf_core.runs.folder import UNFINISHED
from rsmtdf_core.runs.metrics import Metrics
from rsmtdf_core.scenes.find import Dataset, Scene, find_scenes
from rsmtdf_core.scenes.manifest import SplitName
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.splits import split_notes
from rsmtdf_core.student.settings import ModelName

PANEL_SCENES = 4
BESIDE = ("scores.csv", "confusion.png", "panel.png", "legend.png", "curves.png")
"""The files beside a report."""


def evaluate(
    path: Path,
    split: SplitName = "test",
    weights: ModelName | None = None,
    root: Path | None = None,
    reporter: Reporter | None = None,
    *,
    protocols: Sequence[str] = ("rsmtdf",),
    overrides: Sequence[str] = (),
    checkpoint: Path | None = None,
) -> tuple[EvaluationReport, Path]:
    """Score a run on a split; the report and the folder that holds it with its tables and pictures.

    Args:
        path: the run's folder.
        split: which scenes are scored; those without a mask are left out.
        weights: the EMA model or the student; by default the one the run was selected by.
        root: the data root, where it is not that of the run's config any more.
        reporter: shows progress.
        protocols: names of the rules for the scores, at least one; the first is the report's own.
        overrides: `key=value` for keys of `evaluation.inference`, and for `runtime.device`.
        checkpoint: the folder of another checkpoint than the best.

    Raises:
        ConfigError: where a protocol is unknown or an override is wrong.
        DataError: where the split has no scene with a mask.
        WriteError: the system refuses to write a file.
    """
    reporter = reporter or Silent()
    rules = find_protocols(protocols)
    run = load_run(path, weights, overrides, checkpoint)
    manifest = run.manifest
    metrics = run.folder.metrics_lines()
    status = run.folder.facts.get("status")
    for sentence in _warnings(run, metrics, status):
        reporter.warn(sentence)
    dataset = find_scenes(manifest, root or run.config.data.root)
    for sentence in dataset.cautions:
        reporter.warn(sentence)
    scenes = scored_scenes(dataset.splits.get(split, ()))
    if not scenes:
        raise DataError(
            f"the split {split!r} has no scene with a mask",
            where=run.config.data.root,
            remedy=f"rsmtdf data check {run.config.data.manifest} --root {run.config.data.root}",
        )
    place = run.folder.report(split, run.weights)
    require_no_folder(place, *(place.with_name(name) for name in BESIDE))
    reader = SceneReader(dataset)
    predictions: dict[str, Pixels] = {}
    shown = evenly(scenes, PANEL_SCENES)
    with reporter.bar(f"evaluate {split}", len(scenes)) as bar:

        def seen(scene: Scene, ids: Pixels) -> None:
            if scene in shown:
                predictions[scene.id] = ids
            bar.advance()

        counts = count_confusion(run.student, reader, scenes, run.config.evaluation.inference, seen)
    state = run.checkpoint.state
    first, *others = (rule(counts, manifest) for rule in rules)
    report = EvaluationReport(
        **dict(first),
        others=tuple(others),
        run=run.folder.path.name,
        dataset=manifest.name,
        split=split,
        weights=run.weights,
        parent=run.checkpoint.fingerprint,
        inference=run.config.evaluation.inference,
        images=len(scenes),
        confusion=tuple(tuple(row) for row in counts.matrix.tolist()),
        ignored=tuple(counts.ignored.tolist()),
        random_teachers=tuple(state["random_teachers"]),
        approximations=tuple(state["approximations"]),
        notes=_notes(run, dataset),
        steps=state["step"],
        unfinished=status in UNFINISHED,
    )
    out = place.parent
    with writing(place):
        place.unlink(missing_ok=True)  # it must not be beside the files of another one
    write_csv(out / "scores.csv", report)
    warning = " (teachers with RANDOM WEIGHTS)" if report.random_teachers else ""
    confusion_picture(
        out / "confusion.png", counts.matrix, manifest.class_names, f"Confusion matrix{warning}"
    )
    rows = [
        PanelRow(one.id + warning, reader.picture(one), reader.mask(one), predictions[one.id])
        for one in shown
    ]
    panel_picture(out / "panel.png", rows, manifest)
    legend_picture(out / "legend.png", manifest)
    if metrics.records:  # an imported run has none
        curves_picture(out / "curves.png", metrics.records)
    write_report(place, report)  # last: a report is there once all that belongs to it is
    return report, out


def _warnings(run: TrainedRun, metrics: Metrics, status: str | None) -> Iterator[str]:
    """What is to be known before the scores of a run are waited for."""
    step = run.checkpoint.state["step"]
    if run.folder.is_live:
        yield f"the run is still training: the model of step {step} is scored, which is the best so far"
    elif status in UNFINISHED:
        yield (
            f"the run has not ended: the model of step {step} is scored; "
            f"rsmtdf train {run.folder.config} --run {run.folder.path} --resume goes on"
        )
    if metrics.damage:
        yield f"{metrics.damage}: the curves lack them ({metrics.path})"


def _notes(run: TrainedRun, dataset: Dataset) -> tuple[str, ...]:
    """How scenes were split and labeled: scores of other splits do not compare."""
    rule, *more = split_notes(dataset)
    return (f"{rule}; {labeled_rule(run.config, run.manifest)}", *more)
