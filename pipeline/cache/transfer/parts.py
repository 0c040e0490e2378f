"""What export and import share: which shards are meant, files side by side, the report."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import numpy as np

from pipeline.reporter import Reporter
from rsmtdf_core.cache.usage import store_key
from rsmtdf_core.errors import ConfigError, StoreNotFoundError
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.store import FeatureStore

_Result = TypeVar("_Result")

# Enough to keep an object store busy; a local disk is not slowed by them.
_THREADS = 8


class TransferReport(Settings):
    """What a transfer did.

    Attributes:
        stores: `<group>/<store>` of each store.
        views: records of these stores at the destination.
        files: that were copied now.
        bytes: of these.
        there: files that were at the destination already.
    """

    stores: tuple[str, ...]
    views: int
    files: int
    bytes: int
    there: int


def parse_views(text: str) -> range:
    """View numbers from "0:4" (0 to 3), "4:" (4 and all after) or ":4".

    Raises:
        ConfigError: where it is no such range, or an empty one.
    """
    found = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    start, stop = (found[1] or "0", found[2] or str(2**31)) if found else ("0", "0")
    if int(start) >= int(stop):
        raise ConfigError(
            f"{text!r} is no range of view numbers", remedy="write it like 0:4, which is 0 to 3"
        )
    return range(int(start), int(stop))


def chosen_entries(store: FeatureStore, views: range | None) -> list[LedgerEntry]:
    """The ledger's shards that hold views of these numbers, in the ledger's order.

    Raises:
        StoreNotFoundError: where there is none.
    """
    entries = list(store.entries().values())
    if views is not None:
        table = store.group.table[: store.metadata.rows]
        number = table["number"]
        wanted = (table["scene"] >= 0) & (number >= views.start) & (number < views.stop)
        shards = set(np.unique(np.flatnonzero(wanted) // store.metadata.shard_records).tolist())
        entries = [entry for entry in entries if entry.shard in shards]
    if not entries:
        raise StoreNotFoundError(
            f"{store_key(store.path)} has no views of these numbers",
            where=store.path,
            remedy="ask for other --views, or leave the option out",
        )
    return entries


def shard_name(store: FeatureStore, shard: int) -> str:
    """The path of a shard's file in a cache or an export."""
    inside = store.shard_path(shard).relative_to(store.path).as_posix()
    return f"{store_key(store.path)}/{inside}"


def side_by_side(
    tasks: Sequence[Callable[[], _Result]], label: str, reporter: Reporter
) -> list[_Result]:
    """Run the tasks in threads and return what they do, in order; the first error ends all."""
    with reporter.bar(label, len(tasks)) as bar, ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
                bar.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]
