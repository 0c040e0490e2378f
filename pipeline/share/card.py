"""The model card of a shared folder: data, teachers, licenses, scores by protocol, and use (tests: test_run.py)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.calibration import read_calibration
from pipeline.origin import begun_from
from pipeline.trained import TrainedRun
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.evaluation.report import EvaluationReport, read_report
from rsmtdf_core.words import one_line

_TEMPLATES = Path(__file__).with_name("templates")
UNKNOWN = "not stated; see its page"
_IMPORTED = (
    "the checkpoint was imported: its training data are not those of this project's splits",
)


@dataclass(frozen=True)
class Weights:
    """Weights from others that the model learned from or started from.

    Attributes:
        use: their purpose, such as "teacher dino".
        model: name of the model.
        source: the weights: `hub`, `random`, or the name of a file.
        license: license as timm states it.
    """

    use: str
    model: str
    source: str
    license: str


@dataclass(frozen=True)
class Card:
    """The facts of a model card.

    Attributes:
        name: name of the run.
        kind: a run, or an export.
        license: the license that the sharer gives the model; None if none was given.
        cautions: warnings about the model's validity.
        dataset: title of the dataset.
        notes: facts about the data.
        splits: the scenes of each split, by a rule in words.
        classes: the class names.
        method: the method, and the student's encoder.
        weights: weights of others.
        reports: evaluation reports of this model.
        calibration: the temperature in words; empty without one.
        files: the files of an export.
    """

    name: str
    kind: str
    license: str | None
    cautions: tuple[str, ...]
    dataset: str
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    splits: tuple[tuple[str, str], ...] = ()
    method: str = ""
    weights: tuple[Weights, ...] = ()
    reports: tuple[EvaluationReport, ...] = ()
    calibration: str = ""
    files: tuple[str, ...] = ()

    def text(self, address: str) -> str:
        """Render the card in Markdown, with YAML facts for the hub at the top."""
        environment = Environment(  # noqa: S701 - Markdown; `plain` escapes its markup
            loader=FileSystemLoader(_TEMPLATES),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters |= {"plain": plain, "percent": _percent}
        return environment.get_template("card.md").render(card=self, address=address)


def run_card(trained: TrainedRun, terms: str | None) -> Card:
    """Collect the card of a run's best model; `terms` is its license, or None."""
    manifest, config = trained.manifest, trained.config
    calibration = read_calibration(trained, lambda _: None)
    begun = begun_from(trained.folder)
    imported = trained.folder.imported  # the manifest's splits are not those of its training
    student = f"{config.objective.method}, student {config.student.encoder}"
    return Card(
        name=trained.folder.path.resolve().name,
        kind="run",
        license=terms,
        cautions=trained.cautions,
        dataset=manifest.title,
        classes=tuple(manifest.class_names),
        notes=(*manifest.notes, *(_IMPORTED if imported else ()), *([begun] if begun else [])),
        splits=tuple(
            (name, spec.describe()) for name, spec in manifest.splits.items() if not imported
        ),
        method=f"{student}, seed {config.seed}, {trained.checkpoint.state['step']:,} steps",
        weights=tuple(_weights(trained)),
        reports=tuple(_reports(trained)),
        calibration="" if calibration is None else calibration.describe(),
    )


def export_card(facts: dict[str, Any], files: list[str], terms: str | None) -> Card:
    """Collect the card of an export from the JSON next to its file; `terms` is its license, or None."""
    return Card(
        name=str(facts["run"]),
        kind="export",
        license=terms,
        cautions=tuple(map(str, facts.get("cautions", ()))),
        dataset=str(facts["dataset"]),
        classes=tuple(str(spec["name"]) for spec in facts["classes"]),
        method=f"student {facts['student']['encoder']}",
        files=tuple(files),
    )


def _weights(trained: TrainedRun) -> Iterator[Weights]:
    config = trained.config
    if config.teacher_source != "none":
        for teacher in config.distilled:
            yield Weights(
                f"teacher {teacher.name}",
                teacher.model,
                _source(teacher.weights),
                _license(teacher.model, teacher.weights),
            )
    student = config.student
    yield Weights(
        "start of the student",
        student.encoder,
        _source(student.weights),
        _license(student.encoder, student.weights),
    )


def _source(weights: str) -> str:
    """Return the weights without the folders of this machine."""
    return weights if weights in {"hub", "random"} else Path(weights).name


def _license(model: str, weights: str) -> str:
    """Return the license of pretrained weights as timm states it; random weights have none."""
    if weights == "random":
        return "none: random"
    import timm

    try:
        terms = timm.get_pretrained_cfg_value(model, "license")
    except (RuntimeError, ValueError, AttributeError):  # not a name of timm
        return UNKNOWN
    return str(terms) if terms else UNKNOWN


def _reports(trained: TrainedRun) -> Iterator[EvaluationReport]:
    """Yield the reports of the loaded model that can be read."""
    for path in sorted(trained.folder.path.glob("evaluation/*/report.json")):
        try:
            report = read_report(path)
        except RsmtdfError:
            continue
        if report.parent == trained.checkpoint.fingerprint and report.weights == trained.weights:
            yield report


def plain(text: str) -> str:
    """Return text for a line of Markdown: printable, and without characters that Markdown or HTML interpret."""
    escaped = one_line(str(text))
    for character in "\\`*_[]<>|#":
        escaped = escaped.replace(character, f"\\{character}")
    return escaped


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
