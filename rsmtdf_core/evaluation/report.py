"""The evaluation report: scores and the context needed to compare them with others."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.counts import PixelCounts, only_class
from rsmtdf_core.evaluation.reliability import Reliability
from rsmtdf_core.evaluation.scores import ProtocolScores, SceneScores, Scores
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.files import atomic_file, read_json, write_json
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.student.settings import ModelName
from rsmtdf_core.words import one_line

_COLUMNS = ("run", "split", "weights", "protocol", "cautions", "class", "scored", "support")
_MEASURES = ("iou", "f1", "precision", "recall", "overall_accuracy", "kappa")


def cautions(random_teachers: Sequence[str], approximations: Sequence[str]) -> tuple[str, ...]:
    """Return warnings about the validity of a run's scores, one sentence each.

    Args:
        random_teachers: teachers with random weights.
        approximations: departures of the run from the exact method.
    """
    if not random_teachers:
        return tuple(approximations)
    names = ", ".join(random_teachers)
    warning = f"RANDOM WEIGHTS in teachers {names}: the scores do not reflect the method"
    return warning, *approximations


class EvaluationReport(ProtocolScores):
    """The scores of a checkpoint on a split, under one or more protocols.

    Attributes:
        run: name of the run.
        dataset: name of the manifest.
        split: the scored split.
        weights: the scored model, EMA model or student.
        parent: fingerprint of the checkpoint.
        inference: settings for predicting whole scenes.
        images: number of scenes with a mask.
        others: scores of the same predictions under further protocols.
        confusion: pixel counts of `crops`, with a row for each true class. `others` may have scored other crops.
        ignored: predictions by class on pixels that the truth ignores.
        random_teachers: teachers of the run with random weights. If there are any, the scores do not
            reflect the method.
        approximations: departures of the run from the exact method, one sentence each.
        notes: further context, such as the rule of the splits.
        steps: training steps of the scored model; None in reports of earlier versions.
        unfinished: whether the training of the run was incomplete.
        scenes: scores of each scene by the main protocol; empty in reports of earlier versions.
        reliability: accuracy by confidence: of the model, then with the run's temperature if one was fitted.
        interval: 95 % interval of the main protocol's mean IoU over resampled scenes, see `interval`; None with few
            scenes and in reports of earlier versions.
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
    scenes: tuple[SceneScores, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    interval: tuple[float, float] | None = None

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings about the validity of the scores, one sentence each."""
        sentences = list(cautions(self.random_teachers, self.approximations))
        if self.unfinished:
            sentences.append(f"the run is unfinished: these are the scores of step {self.steps}")
        if (name := self.only_class) is not None:
            sentences.append(f"the model predicts {name} everywhere and distinguishes no classes")
        return tuple(sentences)

    @property
    def only_class(self) -> str | None:
        """The class predicted for every pixel, or None if several classes are predicted."""
        counts = PixelCounts(self.matrix, np.array(self.ignored or (0,) * len(self.confusion)))
        return only_class(counts, [row.name for row in self.scores.classes])

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """The confusion matrix as an array, int64 [C, C]."""
        return np.array(self.confusion, dtype=np.int64)

    @property
    def by_protocol(self) -> dict[str, ProtocolScores]:
        """All scores by protocol name, starting with `protocol`."""
        first = ProtocolScores(
            protocol=self.protocol,
            protocol_description=self.protocol_description,
            scores=self.scores,
            crops=self.crops,
        )
        return {scores.protocol: scores for scores in (first, *self.others)}

    def fingerprint(self) -> str:
        """Return the sha256 of all fields, including the parent's fingerprint."""
        return fingerprint(self.model_dump(mode="json"))


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write the report as JSON, with its fingerprint."""
    write_json(path, {"fingerprint": report.fingerprint(), **report.model_dump(mode="json")})


def read_report(path: Path) -> EvaluationReport:
    """Read a report written by `write_report`.

    Raises:
        RunError: If the file is missing, not a report, or was changed after it was written.
    """
    fields = read_json(path, RunError)
    written = fields.pop("fingerprint", None)
    # Hash the fields in the file, not those of the model: reports of earlier versions have fewer fields.
    digest = fingerprint(fields)
    remedy = "score the run again: rsmtdf evaluate"
    try:
        report = EvaluationReport.model_validate(fields)
    except ValidationError as problems:
        first = problems.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(
            f"not an evaluation report: {key}: {first['msg']}", where=path, remedy=remedy
        ) from None
    if digest != written:
        raise RunError(
            "the report was changed after it was written: its fingerprint does not match",
            where=path,
            remedy=remedy,
        )
    return report


def written_fingerprint(path: Path) -> str:
    """Return the fingerprint in a report's file; computed on all fields of the version that wrote the file."""
    return str(read_json(path, RunError)["fingerprint"])


def write_csv(path: Path, report: EvaluationReport) -> None:
    """Write the scores as a table. Each protocol has a row for each class and a last row, `(all scored)`, for all.

    Every row names run, split, weights, protocol and cautions, so that the tables of several runs can be joined. A
    missing score is an empty cell.
    """
    common = {key: getattr(report, key) for key in ("run", "split", "weights")}
    common["cautions"] = "; ".join(report.cautions)
    rows = [
        {**common, "protocol": name, **row}
        for name, scores in report.by_protocol.items()
        for row in _rows(scores.scores)
    ]
    _write_table(path, [*_COLUMNS, *_MEASURES], rows)


def write_scenes_csv(path: Path, report: EvaluationReport) -> None:
    """Write a row for each scene with its scores by the main protocol, and a column for the IoU of each class."""
    ious = [f"iou {row.name}" for row in report.scores.classes]
    measures = ("pixels", "wrong", "error", "overall_accuracy", "miou")
    rows: list[dict[str, object]] = [
        {"scene": scene.scene}
        | {measure: getattr(scene, measure) for measure in measures}
        | dict(zip(ious, scene.iou, strict=True))
        for scene in report.scenes
    ]
    _write_table(path, ["scene", *measures, *ious], rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writerow({column: _cell(column) for column in columns})
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _rows(scores: Scores) -> Iterator[dict[str, object]]:
    for row in scores.classes:
        yield {"class": row.name, **row.model_dump(exclude={"name"})}
    yield {
        "class": "(all scored)",
        "scored": True,
        "support": sum(row.support for row in scores.classes if row.scored),
        "iou": scores.miou,
        "f1": scores.mf1,
        "overall_accuracy": scores.overall_accuracy,
        "kappa": scores.kappa,
    }


def _cell(value: object) -> object:
    if isinstance(value, str):
        return one_line(value)
    return f"{value:.6f}" if isinstance(value, float) else value
