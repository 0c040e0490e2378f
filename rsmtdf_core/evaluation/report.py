"""The evaluation report: scores with everything one must know to compare them with others."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.counts import PixelCounts, only_class
from rsmtdf_core.evaluation.scores import ProtocolScores, Scores
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.files import atomic_file, read_json, write_json
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.words import one_line

_COLUMNS = ("run", "split", "weights", "protocol", "cautions", "class", "scored", "support")
_MEASURES = ("iou", "f1", "precision", "recall", "overall_accuracy", "kappa")


def cautions(random_teachers: Sequence[str], approximations: Sequence[str]) -> tuple[str, ...]:
    """What one must know before believing a run, a sentence each."""
    if not random_teachers:
        return tuple(approximations)
    names = ", ".join(random_teachers)
    warning = f"RANDOM WEIGHTS in teachers {names}: scores say nothing about the method"
    return warning, *approximations


class EvaluationReport(ProtocolScores):
    """What one checkpoint scores on one split, by one protocol and maybe by others.

    Attributes:
        run: name of the run.
        dataset: name of the manifest.
        split: the split that was scored.
        weights: whether the EMA model or the student was scored.
        parent: fingerprint of the checkpoint.
        inference: how scenes passed through the model.
        images: number of scenes with a mask.
        others: the same predictions under other protocols than `protocol`.
        confusion: pixel counts, a row for each class of the truth.
        ignored: predictions by class on pixels that the truth ignores.
        random_teachers: teachers of the run that had random weights; with any, its scores say
            nothing about the method.
        approximations: where the run departs from the exact method, one sentence each.
        notes: what else a reader must know, such as how the splits were made.
        steps: steps that the scored model was trained for; None in reports of earlier versions.
        unfinished: whether the run had not come to its end.
    """

    run: str
    dataset: str
    split: str
    weights: ModelName
    parent: str
    inference: InferenceSettings
    images: int
    others: tuple[ProtocolScores, ...] = ()
    confusion: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...] = ()
    random_teachers: tuple[str, ...] = ()
    approximations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    steps: int | None = None
    unfinished: bool = False

    @property
    def cautions(self) -> tuple[str, ...]:
        """What one must know before believing the scores, a sentence each."""
        found = list(cautions(self.random_teachers, self.approximations))
        if self.unfinished:
            found.append(f"the run has not ended: these are the scores of step {self.steps}")
        if (name := self.only_class) is not None:
            found.append(f"the model predicts {name} everywhere: it tells no classes apart")
        return tuple(found)

    @property
    def only_class(self) -> str | None:
        """The class that is predicted for every pixel; None where there are several."""
        counts = PixelCounts(self.matrix, np.array(self.ignored or (0,) * len(self.confusion)))
        return only_class(counts, [one.name for one in self.scores.classes])

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """The confusion matrix as an array, int64 [C, C]."""
        return np.array(self.confusion, dtype=np.int64)

    @property
    def by_protocol(self) -> dict[str, ProtocolScores]:
        """All scores by the name of their protocol, those under `protocol` first."""
        first = ProtocolScores(
            protocol=self.protocol,
            protocol_description=self.protocol_description,
            scores=self.scores,
        )
        return {one.protocol: one for one in (first, *self.others)}

    def fingerprint(self) -> str:
        """The sha256 of all fields; the parent's fingerprint is one of them."""
        return fingerprint(self.model_dump(mode="json"))


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write the report as JSON, with its fingerprint."""
    write_json(path, {"fingerprint": report.fingerprint(), **report.model_dump(mode="json")})


def read_report(path: Path) -> EvaluationReport:
    """Read what `write_report` wrote.

    Raises:
        RunError: if the file is missing, is no report, or was changed after it was written.
    """
    fields = read_json(path, RunError)
    written = fields.pop("fingerprint", None)
    # Of what is written, not of the model: a report from before a field was there stays whole.
    found = fingerprint(fields)
    remedy = "score the run again: rsmtdf evaluate"
    try:
        report = EvaluationReport.model_validate(fields)
    except ValidationError as problems:
        first = problems.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(
            f"not an evaluation report: {key}: {first['msg']}", where=path, remedy=remedy
        ) from None
    if found != written:
        raise RunError(
            "the report was changed after it was written: its fingerprint does not match",
            where=path,
            remedy=remedy,
        )
    return report


def written_fingerprint(path: Path) -> str:
    """The fingerprint in a report's file: an earlier version's report had fewer fields than one of today has."""
    return str(read_json(path, RunError)["fingerprint"])


def write_csv(path: Path, report: EvaluationReport) -> None:
    """Write the scores as a table: for each protocol a row for each class and a last one, `(all scored)`, for all.

    Every row names run, split, weights, protocol and cautions, so that the tables of several runs can be
    joined. A score that does not exist is an empty cell.
    """
    common = {key: getattr(report, key) for key in ("run", "split", "weights")}
    common["cautions"] = "; ".join(report.cautions)
    rows = [
        {**common, "protocol": name, **row}
        for name, one in report.by_protocol.items()
        for row in _rows(one.scores)
    ]
    text = io.StringIO()
    table = csv.DictWriter(text, [*_COLUMNS, *_MEASURES], lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _rows(scores: Scores) -> Iterator[dict[str, object]]:
    for one in scores.classes:
        yield {"class": one.name, **one.model_dump(exclude={"name"})}
    yield {
        "class": "(all scored)",
        "scored": True,
        "support": sum(one.support for one in scores.classes if one.scored),
        "iou": scores.miou,
        "f1": scores.mf1,
        "overall_accuracy": scores.overall_accuracy,
        "kappa": scores.kappa,
    }


def _cell(value: object) -> object:
    if isinstance(value, str):
        return one_line(value)
    return f"{value:.6f}" if isinstance(value, float) else value
