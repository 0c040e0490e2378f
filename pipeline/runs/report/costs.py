"""The cost of stage one for the stores that runs read, as recorded in their caches."""

from pathlib import Path

from pipeline.runs import RunRecord
from rsmtdf_core.cache.catalogue import Catalogue, StoreEntry, read_catalogue
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.kinds import Holds
from rsmtdf_core.settings import Settings


class StoreCost(Settings):
    """The cost of stage one for a store. For a deleted store, only the facts in its name are known.

    Attributes:
        key: `<group>/<store>`.
        teacher: name of the teacher; `pixels` for cached views.
        codec: codec of the records.
        state: state in the cache, or `gone`.
        fingerprint: sha256 of the committed ledger; empty without a commit.
        holds: tokens of a teacher, or pixels of views.
        views: number of committed records.
        scenes: number of scenes of its group.
        bytes: size on disk.
        seconds: duration of extraction, over all commits.
        runs: names of the runs that read the store.
    """

    key: str
    teacher: str
    codec: str
    state: str
    holds: Holds = "tokens"
    fingerprint: str = ""
    views: int = 0
    scenes: int = 0
    bytes: int = 0
    seconds: float = 0.0
    runs: tuple[str, ...] = ()


class Shelf:
    """Finds the stores of runs in the caches of their configs."""

    def __init__(self) -> None:
        self._caches: dict[Path, Catalogue | None] = {}
        self._costs: dict[tuple[Path, str], StoreCost] = {}

    @property
    def costs(self) -> tuple[StoreCost, ...]:
        """The costs of all requested stores, sorted by name."""
        return tuple(sorted(self._costs.values(), key=lambda cost: cost.key))

    def find(self, record: RunRecord, run: str, teacher: str, key: str) -> StoreCost:
        """Return the cost of a store that a run reads."""
        cache = record.config.runtime.cache_folder
        cost = self._costs.get((cache, key))
        if cost is None:
            cost = _cost(self._entry(cache, key), teacher, key)
        cost = cost.model_copy(update={"runs": tuple(dict.fromkeys((*cost.runs, run)))})
        self._costs[cache, key] = cost
        return cost

    def _entry(self, cache: Path, key: str) -> StoreEntry | None:
        if cache not in self._caches:
            try:
                self._caches[cache] = read_catalogue(cache)
            except (RsmtdfError, OSError):  # the page lists its stores as gone
                self._caches[cache] = None
        catalogue = self._caches[cache]
        if catalogue is None:
            return None
        return next((entry for entry in catalogue.stores if entry.key == key), None)


def _cost(entry: StoreEntry | None, teacher: str, key: str) -> StoreCost:
    if entry is None:
        codec = key.rpartition("/")[2].split("-", 2)[-1]
        return StoreCost(key=key, teacher=teacher, codec=codec, state="gone")
    commit = None if entry.store is None else entry.store.read_commit()
    return StoreCost(
        key=key,
        teacher=teacher,
        codec=entry.codec,
        holds="tokens" if entry.store is None else entry.store.holds,
        state=entry.state,
        fingerprint="" if commit is None else commit.ledger_sha256,
        views=entry.views,
        scenes=0 if entry.store is None else len(entry.store.group.scenes),
        bytes=entry.bytes,
        seconds=entry.seconds,
    )
