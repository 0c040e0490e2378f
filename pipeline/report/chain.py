"""Where a run's numbers come from, link by link, and what stage one cost for them."""

from pathlib import Path
from typing import Any

from pipeline.report.markup import bytes_text
from pipeline.runs import RunRecord
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.catalogue import Catalogue, StoreEntry, disk_bytes, read_catalogue
from rsmtdf_core.views.pixels import PIXELS


class Link(Settings):
    """One link of a chain.

    Attributes:
        step: scenes, view plan, teacher, store, run or report.
        name: what it is called.
        fingerprint: of its content, hexadecimal; empty where none was written down.
        facts: what else is known, a short sentence each.
        caution: what a reader must not miss; mostly empty.
    """

    step: str
    name: str
    fingerprint: str = ""
    facts: tuple[str, ...] = ()
    caution: str = ""


class StoreCost(Settings):
    """What stage one spent on a store.

    Attributes:
        key: `<group>/<store>`.
        teacher: whose tokens it holds; `pixels` for cached views.
        codec: how they are stored.
        fingerprint: the sha256 of the ledger that its commit promises; empty where it has none.
        state: as the cache says, or gone.
        views: committed records.
        scenes: scenes of its group.
        bytes: on disk.
        seconds: what extraction took, all commits together.
        runs: names of the runs that read it.
    """

    key: str
    teacher: str
    codec: str
    fingerprint: str
    state: str
    views: int
    scenes: int
    bytes: int
    seconds: float
    runs: tuple[str, ...]


class Shelf:
    """The stores that runs name, looked up in the caches of their configs."""

    def __init__(self) -> None:
        self._caches: dict[Path, Catalogue | None] = {}
        self._costs: dict[tuple[Path, str], StoreCost] = {}

    @property
    def costs(self) -> tuple[StoreCost, ...]:
        """All stores that were asked for, by name."""
        return tuple(sorted(self._costs.values(), key=lambda one: one.key))

    def find(self, record: RunRecord, run: str, teacher: str, key: str) -> StoreCost:
        """What is known of a store that a run reads."""
        cache = record.config.runtime.cache_folder
        known = self._costs.get((cache, key))
        cost = _cost(self._entry(cache, key), teacher, key) if known is None else known
        cost = cost.model_copy(update={"runs": tuple(dict.fromkeys((*cost.runs, run)))})
        self._costs[cache, key] = cost
        return cost

    def _entry(self, cache: Path, key: str) -> StoreEntry | None:
        if cache not in self._caches:
            try:
                self._caches[cache] = read_catalogue(cache)
            except (RsmtdfError, OSError):  # the page says that its stores are gone
                self._caches[cache] = None
        found = self._caches[cache]
        return next((one for one in found.stores if one.key == key), None) if found else None


def _cost(entry: StoreEntry | None, teacher: str, key: str) -> StoreCost:
    if entry is None:
        codec = key.rpartition("/")[2].split("-", 2)[-1]
        return StoreCost(
            key=key, teacher=teacher, codec=codec, fingerprint="", state="gone",
            views=0, scenes=0, bytes=0, seconds=0.0, runs=(),
        )  # fmt: skip
    commit = None if entry.store is None else entry.store.read_commit()
    return StoreCost(
        key=key,
        teacher=teacher,
        codec=entry.codec,
        fingerprint="" if commit is None else commit.ledger_sha256,
        state=entry.state,
        views=entry.views,
        scenes=0 if entry.store is None else len(entry.store.group.scenes),
        bytes=entry.bytes,
        seconds=entry.seconds,
        runs=(),
    )


def chain(record: RunRecord, name: str, found: EvaluationReport, shelf: Shelf) -> tuple[Link, ...]:
    """The links from a run's scenes to its report, in the order in which they were made."""
    lock = record.lock or {}
    return (
        _scenes(record, found),
        *_plan(record, lock),
        *_features(record, name, lock, shelf),
        _run(record, name, found),
        _report(found),
    )


def _scenes(record: RunRecord, found: EvaluationReport) -> Link:
    manifest = record.manifest
    labeled = record.config.data.labeled
    return Link(
        step="scenes",
        name=manifest.title,
        fingerprint=fingerprint(manifest.model_dump(mode="json")),
        facts=(
            f"manifest {manifest.name}, {len(manifest.classes)} classes",
            *(f"{split}: {spec.describe()}" for split, spec in manifest.splits.items()),
            f"{labeled:.4g} of the training scenes labeled (seed {record.config.data.labeled_seed})",
            f"{found.images} scenes of {found.split} scored",
        ),
    )


def _plan(record: RunRecord, lock: dict[str, Any]) -> tuple[Link, ...]:
    views = record.config.views
    counts = f"{views.unlabeled_views} views of each unlabeled scene, {views.labeled_views} of each labeled one"
    facts = (
        f"crops of {views.crop} px, {counts}",
        f"seed {record.config.views_seed}, the teachers see {views.teacher_sees} views",
    )
    plan = lock.get("plan")
    written = plan if isinstance(plan, str) else ""
    return (
        Link(
            step="view plan",
            name=str(lock.get("views", "not cached"))[:16],
            fingerprint=written,
            facts=facts,
        ),
    )


def _features(record: RunRecord, name: str, lock: dict[str, Any], shelf: Shelf) -> tuple[Link, ...]:
    if not record.distils:
        method = record.config.objective.method
        return (
            Link(step="teacher", name="none", facts=(f"{method} needs none",)),
            *_pixels(record, name, lock, shelf),
        )
    links: list[Link] = []
    for teacher in record.config.distilled:
        locked = lock.get("stores", {}).get(teacher.name, {})
        identity = locked.get("identity", {})
        random = teacher.name in record.random_teachers
        links.append(
            Link(
                step="teacher",
                name=teacher.name,
                fingerprint=fingerprint(identity) if identity else "",
                facts=(
                    f"{teacher.family} {teacher.model}",
                    f"weights {identity.get('weights_sha256', teacher.weights)}",
                ),
                caution="RANDOM WEIGHTS" if random else "",
            )
        )
        if locked:
            links.append(_store(shelf.find(record, name, teacher.name, locked["store"])))
        else:
            links.append(Link(step="store", name="none", facts=("the teacher ran in the loop",)))
    return (*links, *_pixels(record, name, lock, shelf))


def _pixels(record: RunRecord, name: str, lock: dict[str, Any], shelf: Shelf) -> tuple[Link, ...]:
    key = lock.get(PIXELS)
    return (_store(shelf.find(record, name, PIXELS, key)),) if isinstance(key, str) else ()


def _store(cost: StoreCost) -> Link:
    if cost.state == "gone":
        return Link(
            step="store",
            name=cost.key,
            caution="gone from its cache: its cost is not known any more",
        )
    return Link(
        step="store",
        name=cost.key,
        fingerprint=cost.fingerprint,
        facts=(
            f"{cost.views:,} views of {cost.scenes:,} scenes, {cost.codec}, {bytes_text(cost.bytes)}",
            f"{cost.seconds:.1f} s of the teacher",
        ),
        caution="" if cost.state == "committed" else f"the store is {cost.state}",
    )


def _run(record: RunRecord, name: str, found: EvaluationReport) -> Link:
    config = record.config
    best = record.best
    facts = [
        f"{config.objective.method}, seed {config.seed}, student {config.student.encoder}",
        f"{record.steps:,} steps, {record.status}",
        f"{bytes_text(disk_bytes(record.folder.path))} on disk",
    ]
    if best is not None:
        facts.append(f"best validation mIoU {100 * best.miou:.2f} after {best.steps:,} steps")
    return Link(step="run", name=name, fingerprint=found.parent, facts=tuple(facts))


def _report(found: EvaluationReport) -> Link:
    inference = found.inference
    how: str = inference.mode
    if inference.mode == "slide":
        how += f", window {inference.window} px, overlap {inference.overlap:g}"
    return Link(
        step="report",
        name=f"{found.split}, {found.weights} model",
        fingerprint=found.fingerprint(),
        facts=(f"protocol {found.protocol}", f"inference {how}"),
    )
