"""Reads the scores of a run from its best validation, or from the evaluation report of a split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.runs import RunRecord
from pipeline.runs.compare.values import RunScore
from rsmtdf_core.errors import RsmtdfError, RunError
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.evaluation.report import EvaluationReport, read_report
from rsmtdf_core.runs.checkpoint_state import checkpoint_fingerprint, read_state

ReportSplit = Literal["val", "test"]


@dataclass(frozen=True)
class ScoredRun:
    """A run with its score.

    Attributes:
        record: the contents of the run's folder.
        score: the score, with the name of the run.
        report: the source of the score; None for the best validation.
        protocol: protocol of the score.
    """

    record: RunRecord
    score: RunScore
    report: EvaluationReport | None
    protocol: str


def score_runs(
    records: Sequence[tuple[str, RunRecord]], split: ReportSplit | None, protocol: str | None = None
) -> list[ScoredRun]:
    """Read the scores of runs.

    Args:
        records: the runs and their names.
        split: split of the reports to read; None reads the best validations.
        protocol: protocol of the scores to read; None reads the report's first.

    Raises:
        RunError: If runs were not evaluated on the split or by the protocol; the remedy lists the commands.
    """
    reports: list[EvaluationReport | None] = [None] * len(records)
    if split is not None:
        reports = list(_read_reports([record for _, record in records], split, protocol))
    return [
        _scored(name, record, report, protocol)
        for (name, record), report in zip(records, reports, strict=True)
    ]


def _read_reports(
    records: Sequence[RunRecord], split: ReportSplit, protocol: str | None
) -> list[EvaluationReport]:
    folders = [record.folder.path for record in records]
    paths = [record.folder.report(split, record.config.evaluation.weights) for record in records]
    if missing := [
        folder for folder, path in zip(folders, paths, strict=True) if not path.is_file()
    ]:
        raise RunError(
            f"{len(missing)} of {len(records)} runs have not been scored on {split}",
            where=missing[0],
            remedy="; ".join(f"rsmtdf evaluate {folder} --split {split}" for folder in missing),
        )
    reports = [read_report(path) for path in paths]
    commands = {
        folder: f"rsmtdf evaluate {folder} --split {split} --protocol "
        + " --protocol ".join([*report.by_protocol, protocol])
        for folder, report in zip(folders, reports, strict=True)
        if protocol is not None and protocol not in report.by_protocol
    }
    if commands:
        raise RunError(
            f"{len(commands)} of {len(records)} runs have not been scored by protocol {protocol}",
            where=next(iter(commands)),
            remedy="; ".join(commands.values()),
        )
    return reports


def _scored(
    name: str, record: RunRecord, report: EvaluationReport | None, protocol: str | None
) -> ScoredRun:
    best = record.best
    miou, accuracy, classes = None, None, dict.fromkeys(record.manifest.class_names)
    if report is not None:
        protocol = protocol or report.protocol
        scores = report.by_protocol[protocol].scores
        miou, accuracy = scores.miou, scores.overall_accuracy
        classes = {row.name: row.iou for row in scores.classes}
    elif best is not None:
        validations = {
            line["step"] + 1: line for line in record.lines if line.get("split") == "val"
        }
        line = validations.get(best.steps, {})
        miou, accuracy = best.miou, line.get("overall_accuracy")
        classes |= line.get("iou", {})
    score = RunScore(
        run=name,
        path=record.folder.path,
        seed=record.config.seed,
        fold=record.config.data.fold,
        status=record.status,
        steps=record.steps,
        miou=miou,
        overall_accuracy=accuracy,
        best_steps=None if best is None else best.steps,
        classes=classes,
    )
    return ScoredRun(record, score, report, protocol or RSMTDF.name)


def is_stale(scored: ScoredRun) -> bool:
    """Whether the report scores a checkpoint that the run has deleted."""
    return scored.report is not None and scored.report.parent not in _kept(scored.record)


def is_of_another_step(scored: ScoredRun) -> bool:
    """Whether the report scores another checkpoint than the best in the metrics."""
    report, best = scored.report, scored.record.best
    return report is not None and best is not None and report.steps not in (None, best.steps)


def predicts_one_class(scored: ScoredRun) -> bool:
    """Whether the scored model predicts the same class for every pixel."""
    if scored.report is not None:
        return scored.report.only_class is not None
    best = scored.record.best
    return best is not None and best.only_class is not None


def _kept(record: RunRecord) -> Iterator[str]:
    """Yield the fingerprints of the run's checkpoints, without reading weights."""
    for folder in (record.folder.best, record.folder.checkpoints):
        for path in sorted(folder.glob("step-*[0-9]")):
            try:
                yield checkpoint_fingerprint(*read_state(path))
            except RsmtdfError:
                continue
