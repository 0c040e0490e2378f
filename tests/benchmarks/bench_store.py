"""The cost of the store compared with raw files: ratios, which hold on any machine, instead of times.

    python tests/benchmarks/bench_store.py [FOLDER]

Every ratio is of medians over rounds that take the contestants in turn, page cache warm, files read
afresh from the disk once before (how a file came into the page cache is worth 10 %). Needs up to
2.5 GB in FOLDER (a temporary one by default), which is removed again. Nothing else should run.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import zarr
from timing import Line, alternate, table

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import ChecksumPolicy, FeatureReader
from rsmtdf_core.store.ring import Ring
from rsmtdf_core.store.shards import write_shard
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import ViewSettings

SHAPES = {"A": TokenShape("a", 37, 37, 768), "B": TokenShape("b", 16, 16, 1024, 224)}
RECORDS = {"A": 256, "B": 512}
LOADER_BATCH = {"A": 16, "B": 64}  # 33.6 MB each
READER_BARS = {"A": 0.95, "B": 0.75}
BATCH = 16
DISTINCT = 64
SLOTS = 3
ROUNDS = 15
CHECKS: tuple[ChecksumPolicy, ...] = ("never", "first", "always")
MILLION = 1_000_000
SECONDS_BAR, MB_BAR = 0.2, 200
SMALL_READ = 512


def main() -> None:
    """Measure everything and print a markdown table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    lines: list[Line] = []
    for name in SHAPES:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            lines += measure_writing(Path(scratch), name)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            lines += measure_reading(Path(scratch), name)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        lines += measure_large(Path(scratch))
    for codec in ("fp16", "int8"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            lines += compare_clients(Path(scratch), codec)
    sys.stdout.write(table(lines))


def measure_writing(folder: Path, name: str) -> list[Line]:
    """Speed of writing one shard over raw `tofile` of the same numbers."""
    tokens = record_numbers(SHAPES[name], DISTINCT)
    store = make_store(folder, SHAPES[name], RECORDS[name])
    rows = range(store.metadata.shard_records)

    def store_shard() -> None:
        packed = (store.codec.encode(tokens[row % DISTINCT]) for row in rows)
        write_shard(folder / "shard", packed, len(rows))

    def block() -> None:
        write_block(store.path, rows, (tokens[row % DISTINCT] for row in rows))

    def unsynced(write: Callable[[], None]) -> None:
        with patch("os.fsync"):
            write()

    def raw(*, sync: bool) -> None:
        with (folder / "raw").open("wb") as file:
            for row in rows:
                tokens[row % DISTINCT].tofile(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())

    contestants = {
        "own": store_shard,
        "own, no fsync": partial(unsynced, store_shard),
        "block": block,
        "block, no fsync": partial(unsynced, block),
        "raw": partial(raw, sync=False),
        "raw, fsync": partial(raw, sync=True),
    }
    for contestant in contestants.values():
        contestant()
    times = alternate(contestants, ROUNDS)
    synced, loose = times["raw, fsync"], times["raw"]
    return [
        (f"{name}: shard writer / tofile, fsync", synced / times["own"], ">=0.8"),
        (f"{name}: shard writer / tofile, no fsync", loose / times["own, no fsync"], ">=0.8"),
        (f"{name}: the same and measuring fidelity, fsync", synced / times["block"], ""),
        (f"{name}: the same, no fsync", loose / times["block, no fsync"], ""),
    ]


def measure_reading(folder: Path, name: str) -> list[Line]:
    """Speed of filling a buffer with random records over np.memmap's; and the loader's."""
    shape, records, size = SHAPES[name], RECORDS[name], LOADER_BATCH[name]
    store = make_store(folder, shape, records)
    fill(store, records)
    tokens = record_numbers(shape, DISTINCT)
    with (folder / "raw").open("wb") as file:
        for row in range(records):
            tokens[row % DISTINCT].tofile(file)
    raw = np.memmap(folder / "raw", np.float16, "r", shape=(records, *shape.record_shape))
    forget(folder)
    order = np.random.default_rng(0).permutation(records)
    out = np.zeros((size, *shape.record_shape), np.float16)
    array = zarr.open_array(store.path, mode="r")
    readers = {check: FeatureReader(store, np.arange(records), check) for check in CHECKS}

    def copy(get: Callable[[int], np.ndarray], rows: np.ndarray, batch: int) -> None:
        for group in rows.reshape(-1, batch).tolist():
            for slot, row in zip(out, group, strict=False):
                slot[...] = get(row)

    def gather(reader: FeatureReader) -> None:
        for rows in order.reshape(-1, BATCH):
            reader.gather(rows, out[:BATCH])

    contestants: dict[str, Callable[[], None]] = {
        "memmap": partial(copy, raw.__getitem__, order, BATCH),
        "memmap loop": partial(copy, raw.__getitem__, order, size),
    }
    for check in CHECKS:
        contestants[check] = partial(gather, readers[check])
    steps = order.reshape(-1, size)
    with ExitStack() as stack:
        ring = stack.enter_context(
            Ring(
                {name: readers["never"]},
                lambda step: steps[step % len(steps)],
                0,
                2**40,
                batch=size,
                slots=SLOTS,
            )
        )
        loader = Loader(ring, len(steps))
        contestants["loader"] = loader.load
        for contestant in contestants.values():
            contestant()
        times = alternate(contestants, ROUNDS, between=loader.settle)
    few = order[: 4 * BATCH]
    other = alternate(
        {
            "memmap": partial(copy, raw.__getitem__, few, BATCH),
            "zarr": partial(copy, lambda row: np.asarray(array[row]), few, BATCH),
        },
        3,
    )
    bars = {"never": f">={READER_BARS[name]}"}
    return [
        *(
            (f"{name}: reader, check {c} / memmap", times["memmap"] / times[c], bars.get(c, ""))
            for c in CHECKS
        ),
        (f"{name}: loader / memmap loop", times["memmap loop"] / times["loader"], ">=0.85"),
        (f"{name}: zarr-python's time / memmap's", other["zarr"] / other["memmap"], ""),
    ]


class Loader:
    """Times a ring in its stride: each load begins and ends with every slot filled."""

    def __init__(self, ring: Ring, steps: int) -> None:
        self._ring, self._steps = ring, steps
        self._held = [next(ring) for _ in range(SLOTS)]
        self.settle()

    def load(self) -> None:
        """Take and release the steps' slots; those filled meanwhile are awaited."""
        for _ in range(self._steps):
            next(self._ring).release()
        self._held = [next(self._ring) for _ in range(SLOTS)]

    def settle(self) -> None:
        """Let the slots that the last load awaited be filled, outside of the time taken."""
        if self._held:
            for slot in self._held:
                slot.release()
            self._held = []
            time.sleep(0.1)


def measure_large(folder: Path) -> list[Line]:
    """Opening a store of a million views, and the memory of a process that reads it."""
    store = million(folder)
    opened = [child("open", store.path) for _ in range(5)]
    seconds, required, grown = (
        float(np.median([measurement[name] for measurement in opened]))
        for name in ("opened", "required", "mb")
    )
    small, large = (
        child("read", store.path, str(count))["anonymous"]
        for count in (SMALL_READ, 10 * SMALL_READ)
    )
    return [
        ("1,000,000 views: s to open (tables, metadata, commit)", seconds, f"<={SECONDS_BAR}"),
        ("1,000,000 views: s until every row is known to be there", required, ""),
        ("1,000,000 views: MB that opening takes", grown, f"<={MB_BAR}"),
        ("anonymous memory after reading 10 times the records", large / small, "<=1.05"),
    ]


def million(folder: Path) -> FeatureStore:
    """A committed store of a million views of shape A, its shards all links to one file."""
    store = make_store(folder, SHAPES["A"], MILLION)
    capacity = store.metadata.shard_records
    tokens = record_numbers(SHAPES["A"], 1)[0]
    first = write_block(store.path, range(capacity), (tokens for _ in range(capacity)))
    entries = [
        first[0]._replace(shard=shard) for shard in range(len(store.group.table) // capacity)
    ]
    for entry in entries[1:]:
        path = store.shard_path(entry.shard)
        path.parent.mkdir(parents=True)
        path.hardlink_to(store.shard_path(0))
    store.append(entries)
    store.commit(np.flatnonzero(store.group.table["scene"] >= 0), 0.0)
    return store


def child(task: str, path: Path, *rest: str) -> dict[str, float]:
    """The report of a fresh process."""
    command = [sys.executable, __file__, "--child", task, str(path), *rest]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def child_main(task: str, path: Path, *rest: str) -> None:
    """The work of a fresh process: open a store and its first record, or read many records."""
    before, start = memory("Rss"), time.perf_counter()
    group = ViewGroup.at(path.parent)
    store = FeatureStore.open(path, group)
    store.read_commit()
    opened = time.perf_counter() - start
    store.require_rows(np.flatnonzero(group.table["scene"] >= 0))
    report = {
        "opened": opened,
        "required": time.perf_counter() - start,
        "mb": (memory("Rss") - before) / 1e6,
    }
    if task == "read":
        count = int(*rest)
        reader = FeatureReader(store, np.arange(count))
        steps = np.random.default_rng(0).permutation(count).reshape(-1, BATCH)
        with Ring({"a": reader}, steps.__getitem__, 0, len(steps), batch=BATCH) as ring:
            for slot in ring:
                slot.release()
            report["anonymous"] = memory("Anonymous")
    sys.stdout.write(json.dumps(report))


def memory(field: str) -> float:
    """Bytes of this process; Rss includes mapped files, and Anonymous does not."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) * 1024
    raise AssertionError(field)


def compare_clients(folder: Path, codec: str) -> list[Line]:
    """Share of records that other Zarr clients read as we do, bit for bit."""
    records = 40
    store = make_store(folder, SHAPES["B"], records, codec)
    fill(store, records)
    records_read = np.zeros((records, *store.codec.stored_shape), store.codec.dtype)
    FeatureReader(store, np.arange(records)).gather(np.arange(records), records_read)

    def same(other: np.ndarray) -> float:
        return float(
            np.mean([a.tobytes() == b.tobytes() for a, b in zip(records_read, other, strict=True)])
        )

    tensorstore = float("nan")
    if find_spec("tensorstore"):
        import tensorstore as ts

        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store.path}/"}}
        tensorstore = same(ts.open(spec, open=True).result()[:records].read().result())
    return [
        (
            f"{codec}: records equal in zarr-python",
            same(zarr.open_array(store.path)[:records]),
            ">=1",
        ),
        (f"{codec}: records equal in tensorstore", tensorstore, ">=1"),
    ]


def make_store(folder: Path, shape: TokenShape, views: int, codec: str = "fp16") -> FeatureStore:
    """An empty store with room for so many views, 64 to 256 records a shard."""
    count = min(views, 1000)
    scenes = [Scene(f"{n}", f"{n}.png", None, 64, 64, sha256=f"{n:064x}") for n in range(count)]
    plan = make_plan([], scenes, ViewSettings(crop=28, unlabeled_views=1, labeled_views=1), 0)
    # To draw a million views takes minutes; these are the first thousand again and again.
    table = np.tile(plan.table, -(-views // count))
    table["number"] = np.arange(len(table)) // count
    group = grow_group(folder, replace(plan, table=table))
    sample = partial(record_numbers, shape, 8)
    return create_store(
        group, {"weights_sha256": "0"}, shape, declare_codec(codec), sample, shard_bytes=2**28
    )


def fill(store: FeatureStore, records: int) -> None:
    """Write the first records of a store."""
    tokens = record_numbers(store.shape, DISTINCT)

    def of(block: range) -> Iterator[np.ndarray | None]:
        return (tokens[row % DISTINCT] if row < records else None for row in block)

    for block in store.blocks(np.arange(records)):
        store.append(write_block(store.path, block, of(block)))


def forget(folder: Path) -> None:
    """Have the page cache drop the files below `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def record_numbers(shape: TokenShape, count: int) -> np.ndarray:
    """Random float16 [count, H, W, D]: half precision already, so that rounding costs nobody."""
    draws = np.random.default_rng(0)
    return draws.standard_normal((count, *shape.record_shape), np.float32).astype(np.float16)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child_main(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        main()
