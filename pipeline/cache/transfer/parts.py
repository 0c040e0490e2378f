"""Parts shared by export and import: the choice of shards, parallel transfers, the report."""

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

# Enough to keep an object store busy without slowing a local disk.
_THREADS = 8


class TransferReport(Settings):
    """The report of a transfer.

    Attributes:
        stores: `<group>/<store>` of each store.
        views: number of records of these stores at the destination.
        files: number of files that were copied.
        bytes: size of the copied files.
        there: number of files that the destination already had.
    """

    stores: tuple[str, ...]
    views: int
    files: int
    bytes: int
    there: int


def parse_views(text: str) -> range:
    """Parse view numbers like "0:4" (0 to 3), "4:" (4 and up) or ":4".

    Raises:
        ConfigError: If the text is not such a range, or the range is empty.
    """
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    start, stop = (match[1] or "0", match[2] or str(2**31)) if match else ("0", "0")
    if int(start) >= int(stop):
        raise ConfigError(
            f"{text!r} is not a range of view numbers", remedy="write it like 0:4 for 0 to 3"
        )
    return range(int(start), int(stop))


def chosen_entries(store: FeatureStore, views: range | None) -> list[LedgerEntry]:
    """Return the ledger's shards that hold views of these numbers, in the ledger's order.

    Raises:
        StoreNotFoundError: If no shard does.
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
            remedy="use other --views, or omit the option",
        )
    return entries


def shard_name(store: FeatureStore, shard: int) -> str:
    """Return the path of a shard's file in a cache or an export."""
    inside = store.shard_path(shard).relative_to(store.path).as_posix()
    return f"{store_key(store.path)}/{inside}"


def side_by_side(
    tasks: Sequence[Callable[[], _Result]], label: str, reporter: Reporter
) -> list[_Result]:
    """Run the tasks in threads and return their results in order; the first error cancels the rest."""
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
