"""The scores of one run: its best validation, or the report that `rsmtdf evaluate` wrote of a split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.compare.values import RunScore
from pipeline.runs import RunRecord
from rsmtdf_core.errors import RsmtdfError, RunError
from rsmtdf_core.evaluation.report import EvaluationReport, read_report
from rsmtdf_core.files import read_json
from rsmtdf_core.fingerprints import fingerprint

Split = Literal["val", "test"]


@dataclass(frozen=True)
class Scored:
    """A run with its score.

    Attributes:
        name: how the run was named.
        record: what its folder holds.
        score: the score.
        report: where the score was read; None where it is the best validation of the metrics.
    """

    name: str
    record: RunRecord
    score: RunScore
    report: EvaluationReport | None


def score_runs(records: Sequence[tuple[str, RunRecord]], split: Split | None) -> list[Scored]:
    """The scores of runs, each given with its name; `split` None takes the best validations.

    Raises:
        RunError: where a run was not evaluated on the split; the commands for all such are named.
    """
    reports: list[EvaluationReport | None] = [None] * len(records)
    if split is not None:
        paths = [_report_path(record, split) for _, record in records]
        missing = [
            record.folder.path
            for (_, record), path in zip(records, paths, strict=True)
            if not path.is_file()
        ]
        if missing:
            raise RunError(
                f"{len(missing)} of {len(records)} runs have not been scored on {split}",
                where=missing[0],
                remedy="; ".join(f"rsmtdf evaluate {path} --split {split}" for path in missing),
            )
        reports = [read_report(path) for path in paths]
    return [
        Scored(name, record, _score(name, record, report), report)
        for (name, record), report in zip(records, reports, strict=True)
    ]


def _report_path(record: RunRecord, split: Split) -> Path:
    weights = record.config.evaluation.weights
    return record.folder.path / "evaluation" / f"{split}-{weights}" / "report.json"


def _score(name: str, record: RunRecord, report: EvaluationReport | None) -> RunScore:
    best = record.best
    miou, accuracy, classes = None, None, dict.fromkeys(record.manifest.class_names)
    if report is not None:
        miou, accuracy = report.scores.miou, report.scores.overall_accuracy
        classes = {one.name: one.iou for one in report.scores.classes}
    elif best is not None:
        line = next(
            one
            for one in record.lines
            if one.get("split") == "val" and one["step"] + 1 == best.steps
        )
        miou, accuracy = best.miou, line.get("overall_accuracy")
        classes |= line["iou"]
    return RunScore(
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


def is_stale(scored: Scored) -> bool:
    """Whether the report is of a checkpoint that the run does not keep any more."""
    return scored.report is not None and scored.report.parent not in _kept(scored.record)


def _kept(record: RunRecord) -> Iterator[str]:
    """Fingerprints of the run's checkpoints, from what they say of themselves: no weights are read."""
    for place in (record.folder.best, record.folder.checkpoints):
        for path in sorted(place.glob("step-*[0-9]")):
            try:
                state = read_json(path / "state.json", RunError)
            except RsmtdfError:
                continue
            digests = state.pop("digests", None)
            yield fingerprint({"state": state, "digests": digests})
