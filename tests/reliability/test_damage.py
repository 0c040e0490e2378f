"""One changed bit, or a file that is cut off: found and named, unless checking is off."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.cache.usage import RUNS, begin_run, runs
from rsmtdf_core.errors import RsmtdfError, StoreDamagedError
from rsmtdf_core.files import read_json
from rsmtdf_core.runs.folder import LOCK_FORMAT, RunFolder
from rsmtdf_core.store.copies import COPY
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from tests.reliability import harness

# How often each kind of file is damaged, for each codec.
QUICK = {
    "shard": 96, "ledger.jsonl": 48, "commit.json": 40, "store zarr.json": 40, "group zarr.json": 24,
    "parameters.safetensors": 24, "scenes.json": 24, "views.npy": 32, "crops.npy": 32,
}  # fmt: skip


class _Store:
    """A committed store that is reopened and read after each damage."""

    def __init__(self, cache: Path, codec: str) -> None:
        self.job = harness.Job(views=2, codec=codec)
        self.store = harness.extract(cache, self.job)
        self.plan = harness.draw(cache, self.job)
        self.files: dict[str, list[Path]] = {}
        for name in harness.tree(cache):
            path = cache / name
            if path.suffix == COPY:
                continue
            kind = "shard" if "/c/" in name else path.name
            if kind == "zarr.json":
                kind = f"{'group' if path.parent == self.store.group.path else 'store'} zarr.json"
            self.files.setdefault(kind, []).append(path)

    def read(self, check: str = "always") -> int:
        group = ViewGroup.at(self.store.group.path)
        store = FeatureStore.open(self.store.path, group)
        return harness.read_store(store, self.plan, self.job, check)


def _damage_all(store: _Store, counts: dict[str, int]) -> int:
    """Damage each kind of file so often; every time it must be found, and the file named."""
    random, cases = np.random.default_rng(1), 0
    assert set(store.files) == set(counts)
    for kind, count in counts.items():
        for path in store.files[kind]:
            whole = path.read_bytes()
            for changed in harness.flips(whole, -(-count // len(store.files[kind])), random):
                path.write_bytes(changed)
                with pytest.raises(StoreDamagedError) as caught:
                    store.read()
                assert path.name in str(caught.value)
                assert str(path if kind == "shard" else path.parent) in str(caught.value)
                cases += 1
            path.write_bytes(whole)
    assert store.read() > 0
    return cases


@pytest.mark.parametrize("codec", harness.FEATURE_CODECS)
def test_every_damage_is_found_and_named(tmp_path, codec) -> None:
    cases = _damage_all(_Store(tmp_path, codec), QUICK)
    print(f"{cases} flips and truncations of a store in {codec}")
    assert cases >= 340


@pytest.mark.reliability
@pytest.mark.parametrize("codec", harness.FEATURE_CODECS)
def test_thousands_of_damages_are_found_and_named(tmp_path, codec) -> None:
    cases = _damage_all(_Store(tmp_path, codec), {kind: 8 * n for kind, n in QUICK.items()})
    print(f"{cases} flips and truncations of a store in {codec}")
    assert cases >= 2700


@pytest.mark.parametrize("codec", ["fp16", "int8"])
def test_without_checks_the_same_flips_pass_unseen(tmp_path, codec) -> None:
    """The control: it is the checksums that find them, not luck."""
    store = _Store(tmp_path, codec)
    reader = store.store.open_shard(0)
    places = [
        reader.offsets[number] + position
        for number in range(4)
        for position in np.random.default_rng(number)
        .integers(reader.sizes[number], size=10)
        .tolist()
    ]
    path = store.store.shard_path(0)
    whole, passed = path.read_bytes(), 0
    for position in places:
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        # The bytes are wrong and no checksum shows it.
        with pytest.raises(AssertionError, match="wrong tokens"):
            store.read("never")
        for check in ("first", "always"):
            with pytest.raises(StoreDamagedError):
                store.read(check)
        passed += 1
    print(f"{passed} flips in {codec} pass without checks")
    assert passed == 40


def test_damaged_locks_of_runs_are_found(tmp_path) -> None:
    """The run's list of the stores it reads, and the cache's list of runs."""
    cache, run = tmp_path / "cache", RunFolder(tmp_path / "run")
    store = harness.extract(cache, harness.Job())
    run.path.mkdir()
    run.lock({"views": "0" * 64, "stores": {"tiny": {"store": store.path.name}}})
    assert begin_run(cache, run.path, [store.path]) is None
    lock = run.path / "cache.lock.json"
    [entry] = (cache / RUNS).glob("*.json")
    readers = {
        lock: lambda: LOCK_FORMAT.unsealed(read_json(lock, StoreDamagedError), lock),
        entry: lambda: runs(cache),
    }
    cases = 0
    for path, read in readers.items():
        read()
        whole = path.read_bytes()
        for changed in harness.flips(whole, 60, np.random.default_rng(2)):
            path.write_bytes(changed)
            with pytest.raises(RsmtdfError) as caught:
                read()
            assert str(path) in str(caught.value)
            cases += 1
        path.write_bytes(whole)
    print(f"{cases} flips and truncations of locks")
    assert cases == 120


def test_a_shard_that_was_read_before_is_checked_again(tmp_path) -> None:
    """With `always`, damage that comes while the file is mapped is found too."""
    store = _Store(tmp_path, "fp16")
    rows = store.store.require(store.plan)
    reader = FeatureReader(store.store, rows, "always")
    reader.tokens(0)
    path = store.store.shard_path(int(rows[0]) // store.store.metadata.shard_records)
    shutil.copy(path, tmp_path / "kept")
    with path.open("r+b") as file:
        file.write(b"\xff\x00\xff\x00")
    with pytest.raises(StoreDamagedError, match="checksum"):
        reader.tokens(0)
