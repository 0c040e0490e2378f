"""What stage one cost for the stores that runs read, as far as their caches still tell."""

from pathlib import Path

from pipeline.runs import RunRecord
from rsmtdf_core.cache.catalogue import Catalogue, StoreEntry, read_catalogue
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.kinds import Holds
from rsmtdf_core.settings import Settings


class StoreCost(Settings):
    """What stage one spent on a store; of one that is gone no more is known than its name tells.

    Attributes:
        key: `<group>/<store>`.
        teacher: whose tokens it holds; `pixels` for cached views.
        codec: how they are stored.
        state: as the cache says, or gone.
        fingerprint: the sha256 of the ledger that its commit promises; empty where it has none.
        holds: tokens of a teacher, or pixels of views.
        views: committed records.
        scenes: scenes of its group.
        bytes: on disk.
        seconds: what extraction took, all commits together.
        runs: names of the runs that read it.
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
