"""Traces the provenance of a run's scores, link by link."""

from collections.abc import Iterator

from pipeline.labeled import labeled_rule
from pipeline.origin import begun_from
from pipeline.runs import RunRecord
from pipeline.runs.report.costs import Shelf, StoreCost
from rsmtdf_core.cache.catalogue import disk_bytes
from rsmtdf_core.evaluation.report import EvaluationReport, written_fingerprint
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.settings import Settings
from rsmtdf_core.views.records import PIXELS
from rsmtdf_core.words import bytes_text


class Link(Settings):
    """A link of a provenance chain.

    Attributes:
        step: scenes, view plan, teacher, store, run or report.
        name: name of the link.
        fingerprint: fingerprint of its content, hexadecimal; empty if none was recorded.
        facts: further facts, one short sentence each.
        caution: a warning for readers, usually empty.
    """

    step: str
    name: str
    fingerprint: str = ""
    facts: tuple[str, ...] = ()
    caution: str = ""


def chain(record: RunRecord, name: str, report: EvaluationReport, shelf: Shelf) -> tuple[Link, ...]:
    """Return the links from a run's scenes to its report, in the order of their creation."""
    if (
        record.folder.imported
    ):  # the config has the views, teachers and seed of trainings that go on from it
        return (_scenes(record, report), _official(record, name, report), _report(record, report))
    return (
        _scenes(record, report),
        _plan(record),
        *_teachers(record, name, shelf),
        *_pixels(record, name, shelf),
        _run(record, name, report),
        _report(record, report),
    )


def _scenes(record: RunRecord, report: EvaluationReport) -> Link:
    manifest = record.manifest
    return Link(
        step="scenes",
        name=manifest.title,
        fingerprint=fingerprint(manifest.model_dump(mode="json")),
        facts=(
            f"manifest {manifest.name}, {len(manifest.classes)} classes",
            *_split_facts(record, report),
            f"{report.images} scenes of {report.split} scored",
        ),
    )


def _split_facts(record: RunRecord, report: EvaluationReport) -> tuple[str, ...]:
    if record.folder.imported:  # the manifest's splits are not those of the training
        return report.notes
    splits = record.manifest.splits.items()
    rules = [f"{split}: {spec.describe()}" for split, spec in splits]
    begun = begun_from(record.folder)
    return (*rules, labeled_rule(record.config, record.manifest), *([begun] if begun else []))


def _official(record: RunRecord, name: str, report: EvaluationReport) -> Link:
    source = record.facts.get("initial", {})
    return Link(
        step="run",
        name=name,
        fingerprint=report.parent,
        facts=(
            f"imported from {source.get('path', 'an official checkpoint')}",
            f"sha256 {source.get('fingerprint', 'unknown')}",
            f"student {record.config.student.encoder}",
        ),
    )


def _plan(record: RunRecord) -> Link:
    views, lock = record.config.views_in_force, record.lock or {}
    counts = f"{views.unlabeled_views} views of each unlabeled scene, {views.labeled_views} of each labeled scene"
    return Link(
        step="view plan",
        name=str(lock.get("views", "not cached"))[:16],
        fingerprint=lock.get("plan", ""),
        facts=(
            f"crops of {views.crop} px, {counts}",
            f"seed {record.config.views_seed}, the teachers see {views.teacher_sees} views",
        ),
    )


def _teachers(record: RunRecord, name: str, shelf: Shelf) -> Iterator[Link]:
    """Yield each distilled teacher and the store of its tokens."""
    if not record.distils:
        yield Link(
            step="teacher", name="none", facts=(f"{record.config.objective.method} needs none",)
        )
        return
    stores = (record.lock or {}).get("stores", {})
    for teacher in record.config.distilled:
        locked = stores.get(teacher.name, {})
        identity = locked.get("identity", {})
        yield Link(
            step="teacher",
            name=teacher.name,
            fingerprint=fingerprint(identity) if identity else "",
            facts=(
                f"{teacher.family} {teacher.model}",
                f"weights {identity.get('weights_sha256', teacher.weights)}",
            ),
            caution="RANDOM WEIGHTS" if teacher.name in record.random_teachers else "",
        )
        if locked:
            yield _store(shelf.find(record, name, teacher.name, locked["store"]))
        else:
            yield Link(step="store", name="none", facts=("the teacher ran in the loop",))


def _pixels(record: RunRecord, name: str, shelf: Shelf) -> Iterator[Link]:
    """Yield the store of the views' pixels if the run reads it."""
    if record.pixels is not None:
        yield _store(shelf.find(record, name, PIXELS, record.pixels))


def _store(cost: StoreCost) -> Link:
    if cost.state == "gone":
        return Link(
            step="store",
            name=cost.key,
            caution="deleted from its cache, so its cost is unknown",
        )
    return Link(
        step="store",
        name=cost.key,
        fingerprint=cost.fingerprint,
        facts=(
            f"{cost.views:,} views of {cost.scenes:,} scenes, {cost.codec}, {bytes_text(cost.bytes)}",
            *((f"{cost.seconds:.1f} s of the teacher",) if cost.holds == "tokens" else ()),
        ),
        caution="" if cost.state == "committed" else f"the store is {cost.state}",
    )


def _run(record: RunRecord, name: str, report: EvaluationReport) -> Link:
    config = record.config
    best = record.best
    model = f"student {config.student.encoder}"
    if config.method.predicts_from == "tokens":
        model = "a head on the teachers' tokens"
    facts = [
        f"{config.objective.method}, seed {config.seed}, {model}",
        f"{record.steps:,} steps, {record.status}",
        f"{bytes_text(disk_bytes(record.folder.path))} on disk",
    ]
    if best is not None:
        facts.append(f"best validation mIoU {100 * best.miou:.2f} after {best.steps:,} steps")
    return Link(step="run", name=name, fingerprint=report.parent, facts=tuple(facts))


def _report(record: RunRecord, report: EvaluationReport) -> Link:
    return Link(
        step="report",
        name=f"{report.split}, {report.weights} model",
        fingerprint=written_fingerprint(record.folder.report(report.split, report.weights)),
        facts=(f"protocol {report.protocol}", f"inference {report.inference.describe()}"),
    )
