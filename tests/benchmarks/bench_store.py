"""What the store costs beside raw files: ratios, which hold on any machine, never times.

    python tests/benchmarks/bench_store.py [FOLDER]

Every ratio is of medians over rounds that take the contestants in turn, page cache warm. Needs up
to 0.7 GB in FOLDER (a temporary one by default), which is removed again.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import zarr

from rsmtdf_core.manifests.scenes import Scene
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import Check, FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import ViewSettings

SHAPES = {"A": TokenShape("a", 37, 37, 768), "B": TokenShape("b", 16, 16, 1024, 224)}
RECORDS = 128
BATCH = 16
ROUNDS = 9
CHECKS: tuple[Check, ...] = ("first", "always", "never")


def main() -> None:
    """Measure both shapes and print a markdown table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    columns = {}
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            columns[name] = {
                **measure_writing(Path(place), shape),
                **measure_reading(Path(place), shape),
            }
    sys.stdout.write(table(columns))


def table(columns: dict[str, dict[str, float]]) -> str:
    """The ratios as markdown."""
    shapes = [f"{name} {SHAPES[name].record_shape}" for name in columns]
    head = [f"| ratio | {' | '.join(shapes)} |", f"|---{'|---' * len(shapes)}|"]
    body = [
        f"| {label} | {' | '.join(f'{column[label]:.2f}' for column in columns.values())} |"
        for label in next(iter(columns.values()))
    ]
    return "\n".join([*head, *body]) + "\n"


def measure_writing(place: Path, shape: TokenShape) -> dict[str, float]:
    """Speed of writing one shard over raw `tofile` of the same numbers, 1 is equal."""
    tokens = record_numbers(shape, 64)
    store = make_store(place, shape)
    rows = range(store.metadata.shard_records)

    def own() -> None:
        write_block(store.path, rows, (tokens[row % 64] for row in rows))

    def own_unsynced() -> None:
        with patch("os.fsync"):
            own()

    def raw(*, sync: bool) -> None:
        with (place / "raw").open("wb") as file:
            for row in rows:
                tokens[row % 64].tofile(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())

    times = alternate(
        {
            "own": own,
            "own, no fsync": own_unsynced,
            "raw": lambda: raw(sync=False),
            "raw, fsync": lambda: raw(sync=True),
        },
        ROUNDS // 2,
    )
    (place / "raw").unlink()
    return {
        "writing: own without fsync / raw": times["raw"] / times["own, no fsync"],
        "writing: own / raw": times["raw"] / times["own"],
        "writing: raw with fsync / raw": times["raw"] / times["raw, fsync"],
        "writing: own / raw with fsync": times["raw, fsync"] / times["own"],
    }


def measure_reading(place: Path, shape: TokenShape) -> dict[str, float]:
    """Time to fill a buffer with random records, over np.memmap's time for it; 1 is equal."""
    store = make_store(place, shape)
    tokens = record_numbers(shape, 64)
    for block in store.blocks(np.arange(RECORDS)):
        records = (tokens[row % 64] if row < RECORDS else None for row in block)
        store.append(write_block(store.path, block, records))
    raw = np.lib.format.open_memmap(
        place / "raw.npy", mode="w+", dtype=np.float16, shape=(RECORDS, *shape.record_shape)
    )
    for row in range(RECORDS):
        raw[row] = tokens[row % 64]
    raw = np.load(place / "raw.npy", mmap_mode="r")
    batches = np.random.default_rng(0).permutation(RECORDS).reshape(-1, BATCH)
    out = np.zeros((BATCH, *shape.record_shape), np.float16)
    readers = {check: FeatureReader(store, np.arange(RECORDS), check) for check in CHECKS}
    array = zarr.open_array(store.path, mode="r")

    def copy(get: Callable[[int], np.ndarray]) -> None:
        for batch in batches.tolist():
            for slot, row in zip(out, batch, strict=True):
                slot[...] = get(row)

    def gather(reader: FeatureReader) -> None:
        for batch in batches:
            reader.gather(batch, out)

    contestants: dict[str, Callable[[], None]] = {"memmap": lambda: copy(raw.__getitem__)}
    for check in CHECKS:
        contestants[check] = partial(gather, readers[check])
    for contestant in contestants.values():
        contestant()
    times = alternate(contestants, ROUNDS)
    memmap = {"memmap": contestants["memmap"]}
    other = alternate({**memmap, "zarr": lambda: copy(lambda row: np.asarray(array[row]))}, 1)
    ratios = {f"reading: gather, check {c} / memmap": times[c] / times["memmap"] for c in CHECKS}
    return {**ratios, "reading: zarr-python / memmap": other["zarr"] / other["memmap"]}


def make_store(place: Path, shape: TokenShape) -> FeatureStore:
    """An empty store with room for the records."""
    scenes = [Scene(f"{n}", f"{n}.png", None, 64, 64) for n in range(RECORDS)]
    plan = make_plan([], scenes, ViewSettings(crop=28, unlabeled_views=1, labeled_views=1), 0)
    group = ViewGroup.open_or_create(place, plan)
    return FeatureStore.create(group, {"weights_sha256": "0"}, shape, "fp16", [], True, 2**27)


def record_numbers(shape: TokenShape, count: int) -> np.ndarray:
    """Random float16 [count, H, W, D]: half precision already, so that rounding costs nobody."""
    draws = np.random.default_rng(0)
    return draws.standard_normal((count, *shape.record_shape), np.float32).astype(np.float16)


def alternate(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each contestant; each round takes all of them in turn."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            taken[name].append(timed(contestant))
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def timed(contestant: Callable[[], None]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    contestant()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
