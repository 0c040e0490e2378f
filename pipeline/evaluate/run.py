"""The evaluate stage: scores a run on a split, and writes a report, tables and pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.calibration import Calibration, read_calibration
from pipeline.evaluate.pictures import NAMES, draw_pictures
from pipeline.evaluate.scenes import SceneLog
from pipeline.labeled import labeled_rule
from pipeline.origin import begun_from
from pipeline.reporter import Reporter, Silent
from pipeline.trained import TrainedRun, load_run
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.crops import count_crops, crop_readers, score_crops
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.report import (
    EvaluationReport,
    write_csv,
    write_report,
    write_scenes_csv,
)
from rsmtdf_core.evaluation.scoring import ScenePrediction, evenly, scored_scenes
from rsmtdf_core.files import require_writable
from rsmtdf_core.refusals import writing
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.runs.folder import UNFINISHED
from rsmtdf_core.runs.history import ranked
from rsmtdf_core.runs.metrics import Metrics
from rsmtdf_core.scenes.find import Dataset, find_scenes
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.scenes.splits import imported_notes, shared_with, split_notes
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.words import counted

PANEL_SCENES = 4
COMPANIONS = ("scores.csv", "scenes.csv", *NAMES)
"""The files next to a report."""


def evaluate(
    path: Path,
    split: SplitName = "test",
    weights: ModelName | None = None,
    root: Path | None = None,
    reporter: Reporter | None = None,
    *,
    protocols: Sequence[str] = ("rsmtdf",),
    overrides: Sequence[str] = (),
    checkpoint: Choice | None = None,
) -> tuple[EvaluationReport, Path]:
    """Score a run on a split.

    Args:
        path: the run's folder.
        split: the split to score; scenes without a mask are skipped.
        weights: the EMA model or the student; None uses the model validated during training.
        root: the data root; None uses the root in the run's config.
        reporter: shows progress.
        protocols: names of the protocols, at least one; the first gives the report's main scores.
        overrides: `key=value` for keys of `evaluation.inference` and for `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.

    Returns:
        The report, and the folder that contains it with its tables and pictures.

    Raises:
        ConfigError: If a protocol is unknown or an override is invalid.
        DataError: If the split has no scene with a mask.
        WriteError: If a file cannot be written.
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
    report_path = run.folder.report(split, run.weights)
    require_writable(report_path, *(report_path.with_name(name) for name in COMPANIONS))
    readers = crop_readers(dataset, rules)
    # Pictures, the confusion matrix and the scores of scenes are of the first protocol.
    main = rules[0].padded
    calibration = read_calibration(run, reporter.warn)
    temperatures = (1.0,) if calibration is None else (1.0, calibration.temperature)
    log = SceneLog(rules[0], manifest, evenly(scenes, PANEL_SCENES), temperatures)
    with reporter.bar(f"evaluate {split}", len(scenes)) as bar:

        def record(padded: bool, prediction: ScenePrediction) -> None:
            if padded == main:
                log.add(prediction)
                bar.advance()

        inference = run.config.evaluation.inference
        all_counts = count_crops(run.student, readers, scenes, inference, record)
    state = run.checkpoint.state
    counts, reader = all_counts[main], readers[main]
    first, *others = (
        score_crops(rule, all_counts[rule.padded], manifest, scenes) for rule in rules
    )
    report = EvaluationReport(
        **dict(first),
        others=tuple(others),
        run=run.folder.path.name,
        dataset=manifest.name,
        split=split,
        weights=run.weights,
        parent=run.checkpoint.fingerprint,
        inference=inference,
        images=len(scenes),
        confusion=tuple(tuple(row) for row in counts.matrix.tolist()),
        ignored=tuple(counts.ignored.tolist()),
        random_teachers=tuple(state["random_teachers"]),
        approximations=tuple(state["approximations"]),
        notes=(*_notes(run, dataset, split), *_calibration_notes(calibration, split)),
        steps=state["step"],
        unfinished=status in UNFINISHED,
        scenes=log.scores,
        reliability=tuple(counter.reliability for counter in log.counters),
        interval=log.interval,
    )
    out = report_path.parent
    with writing(report_path):
        report_path.unlink(missing_ok=True)  # an old report must not remain next to the new files
    write_csv(out / "scores.csv", report)
    write_scenes_csv(out / "scenes.csv", report)
    draw_pictures(out, report, run, log, reader, metrics)
    write_report(report_path, report)  # last, so that an existing report has all its files
    return report, out


def _warnings(run: TrainedRun, metrics: Metrics, status: str | None) -> Iterator[str]:
    """Yield warnings about the state of the run, to show before scoring."""
    step = run.checkpoint.state["step"]
    if run.folder.is_live:
        yield f"the run is still training: scoring the model of step {step}"
    elif status in UNFINISHED:
        yield (
            f"the run is unfinished: scoring the model of step {step}; "
            f"to continue: rsmtdf train {run.folder.config} --run {run.folder.path} --resume"
        )
    if metrics.damage:
        yield f"{metrics.damage}; the curves lack these lines ({metrics.path})"


def _notes(run: TrainedRun, dataset: Dataset, split: SplitName) -> tuple[str, ...]:
    """Describe how scenes were split and labeled, and another model than the best: such scores are not comparable."""
    if run.folder.imported:
        return imported_notes(dataset, split, run.trained_on)
    rule, *more = split_notes(dataset)
    notes = [f"{rule}; {labeled_rule(run.config, run.manifest)}", *more, *run.notes]
    if (begun := begun_from(run.folder)) is not None:
        notes.append(begun)
        notes += [shared_with(dataset, split, run.trained_on)] if run.trained_on else []
    step, best = run.checkpoint.state["step"], run.folder.validations
    if best and (first := ranked(best)[0]).steps != step:
        notes.append(
            f"the model after {step} steps, not that of the best validation, after {first.steps}"
        )
    return tuple(notes)


def _calibration_notes(calibration: Calibration | None, split: SplitName) -> Iterator[str]:
    """Yield the origin of the temperature, and a warning if it was fitted on scored scenes."""
    if calibration is None:
        return
    yield calibration.describe()
    if split == calibration.split:
        yield "so the calibration error on these scenes is lower than on others"
    elif split == "test" and calibration.tested:
        yield (
            f"{counted(calibration.tested, 'scene')} of the fit are in the test split too, so the calibration error "
            "is too low"
        )
