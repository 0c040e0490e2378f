"""The scores of one run: its best validation, or the report that `rsmtdf evaluate` wrote of a split."""

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
        record: what its folder holds.
        score: the score, with the name that the run was given.
        report: where the score was read; None where it is the best validation of the metrics.
        protocol: whose score it is.
    """

    record: RunRecord
    score: RunScore
    report: EvaluationReport | None
    protocol: str


def score_runs(
    records: Sequence[tuple[str, RunRecord]], split: ReportSplit | None, protocol: str | None = None
) -> list[ScoredRun]:
    """The scores of runs, each given with its name.

    Args:
        records: the runs.
        split: whose reports are read; None takes the best validations.
        protocol: the rule whose scores are read of a report; None takes the report's first.

    Raises:
        RunError: where a run was not evaluated on the split or by the protocol; the commands for all such
            are named.
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
    places = [record.folder.path for record in records]
    paths = [one.folder.report(split, one.config.evaluation.weights) for one in records]
    if missing := [place for place, path in zip(places, paths, strict=True) if not path.is_file()]:
        raise RunError(
            f"{len(missing)} of {len(records)} runs have not been scored on {split}",
            where=missing[0],
            remedy="; ".join(f"rsmtdf evaluate {place} --split {split}" for place in missing),
        )
    reports = [read_report(path) for path in paths]
    commands = {
        place: f"rsmtdf evaluate {place} --split {split} --protocol "
        + " --protocol ".join([*report.by_protocol, protocol])
        for place, report in zip(places, reports, strict=True)
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
        classes = {one.name: one.iou for one in scores.classes}
    elif best is not None:
        steps = {one["step"] + 1: one for one in record.lines if one.get("split") == "val"}
        line = steps.get(best.steps, {})
        miou, accuracy = best.miou, line.get("overall_accuracy")
        classes |= line.get("iou", {})
    score = RunScore(
        run=name,
        path=record.folder.path,
        seed=record.config.seed,
        status=record.status,
        steps=record.steps,
        miou=miou,
        overall_accuracy=accuracy,
        best_steps=None if best is None else best.steps,
        classes=classes,
    )
    return ScoredRun(record, score, report, protocol or RSMTDF.name)


def is_stale(scored: ScoredRun) -> bool:
    """Whether the report is of a checkpoint that the run does not keep any more."""
    return scored.report is not None and scored.report.parent not in _kept(scored.record)


def is_of_another_step(scored: ScoredRun) -> bool:
    """Whether the report is of another checkpoint than the best by the metrics."""
    report, best = scored.report, scored.record.best
    return report is not None and best is not None and report.steps not in (None, best.steps)


def predicts_one_class(scored: ScoredRun) -> bool:
    """Whether the scored model predicts the same class for every pixel."""
    if scored.report is not None:
        return scored.report.only_class is not None
    best = scored.record.best
    return best is not None and best.only_class is not None


def _kept(record: RunRecord) -> Iterator[str]:
    """Fingerprints of the run's checkpoints, from what they say of themselves: no weights are read."""
    for place in (record.folder.best, record.folder.checkpoints):
        for path in sorted(place.glob("step-*[0-9]")):
            try:
                yield checkpoint_fingerprint(*read_state(path))
            except RsmtdfError:
                continue
