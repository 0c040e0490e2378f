import multiprocessing
import pickle
import resource
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rsmtdf_core.codecs import Codec, make_codec
from rsmtdf_core.codecs.base import Packed, Tokens
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.shards import shard_path, write_shard
from rsmtdf_core.tokens import TokenShape

SHAPE = (3, 3, 5)
CAPACITY = 4
RECORDS = 18
CHECKS = ["always", "first", "never"]


class Deflated:
    """A codec whose records differ in size."""

    label = "deflated"
    dtype = np.dtype("<f2")
    stored_shape = SHAPE
    record_bytes = None
    typical_bytes = 90
    filters = ()

    def encode(self, tokens: Tokens) -> Packed:
        return np.frombuffer(zlib.compress(tokens.astype(self.dtype).tobytes()), np.uint8)

    def unpack(self, packed: Packed, out: np.ndarray) -> None:
        out[...] = np.frombuffer(zlib.decompress(packed), self.dtype).reshape(SHAPE)

    def decode(self, batch: torch.Tensor, device: torch.device | str) -> torch.Tensor:
        return batch.to(device).float()


CODECS = {"fp16": make_codec({"name": "fp16", "format": 1}, SHAPE, {}), "deflated": Deflated()}


def tokens_of(row: int) -> np.ndarray:
    """Tokens of a store row; even rows compress better than odd ones."""
    draws = np.random.default_rng(row).integers(-9, 9, SHAPE)
    return (draws * (row % 2) + row).astype(np.float16)


def make_store(path: Path, codec: Codec) -> SimpleNamespace:
    """The parts of a store that a reader needs, and its shards on disk."""
    summaries = {}
    for shard in range(-(-RECORDS // CAPACITY)):
        rows = range(shard * CAPACITY, (shard + 1) * CAPACITY)
        records = (codec.encode(tokens_of(row)) if row < RECORDS else None for row in rows)
        summaries[shard] = write_shard(shard_path(path, shard, codec), records, CAPACITY)
    return SimpleNamespace(
        path=path,
        codec=codec,
        shape=TokenShape("tiny", *SHAPE),
        metadata=SimpleNamespace(shard_records=CAPACITY),
        entries=lambda: {n: SimpleNamespace(summary=summary) for n, summary in summaries.items()},
    )


@pytest.fixture(params=CODECS)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> SimpleNamespace:
    return make_store(tmp_path, CODECS[request.param])


@pytest.fixture
def fp16_reader(tmp_path: Path) -> FeatureReader:
    return backwards(make_store(tmp_path, CODECS["fp16"]))


def backwards(store: SimpleNamespace, check="first") -> FeatureReader:
    """Plan row 0 is the last store row."""
    return FeatureReader(store, np.arange(RECORDS)[::-1].copy(), check)


def test_tokens_are_addressed_by_plan_row(store) -> None:
    reader = backwards(store)
    for plan_row in range(RECORDS):
        actual = reader.tokens(plan_row)
        assert actual.dtype == np.float32
        assert np.array_equal(actual, tokens_of(RECORDS - 1 - plan_row))


@pytest.mark.parametrize("check", CHECKS)
def test_gather_fills_the_callers_buffer(store, check) -> None:
    reader = backwards(store, check)
    rows = np.array([4, 0, 17, 4])
    for _ in range(2):
        out = np.zeros((4, *SHAPE), np.float16)
        reader.gather(rows, out)
        assert np.array_equal(out, np.stack([tokens_of(17 - row) for row in rows]))


def test_a_buffer_of_another_shape_or_type_is_refused(fp16_reader) -> None:
    for wrong in (
        np.zeros((1, *SHAPE), np.float16),
        np.zeros((2, *SHAPE), np.float32),
        np.zeros((4, *SHAPE), np.float16)[::2],
    ):
        with pytest.raises(AssertionError):
            fp16_reader.gather(np.array([0, 1]), wrong)


def test_prefetching_does_not_change_the_values(store) -> None:
    reader = backwards(store)
    reader.prefetch(np.arange(RECORDS))
    assert np.array_equal(reader.tokens(3), tokens_of(14))


def test_a_pickled_reader_carries_no_mapping_and_reads_the_same(store) -> None:
    reader = backwards(store)
    reader.tokens(0)
    sent = pickle.dumps(reader)
    assert len(sent) < 4096
    assert np.array_equal(pickle.loads(sent).tokens(5), reader.tokens(5))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_the_same_store(fp16_reader, method) -> None:
    fp16_reader.tokens(0)  # a mapping that a fork takes along
    with multiprocessing.get_context(method).Pool(2) as pool:
        actual = pool.map(fp16_reader.tokens, range(RECORDS))
    assert np.array_equal(np.stack(actual), [tokens_of(17 - row) for row in range(RECORDS)])


@pytest.mark.parametrize("check", CHECKS)
def test_a_flipped_byte_is_found_when_checked(tmp_path: Path, check) -> None:
    store = make_store(tmp_path, CODECS["fp16"])
    reader = backwards(store, check)
    reader.tokens(17)
    with shard_path(tmp_path, 0, store.codec).open("r+b") as file:  # in place: the mapping sees it
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))
    fresh = backwards(store, check)
    if check == "never":
        fresh.tokens(17)
    else:
        with pytest.raises(StoreDamagedError, match="record 0"):
            fresh.tokens(17)
        with pytest.raises(StoreDamagedError, match="record 0"):
            fresh.tokens(17)  # a record that failed has not been checked
        with pytest.raises(StoreDamagedError, match="record 0"):
            pickle.loads(pickle.dumps(reader)).tokens(17)  # another process checks for itself
    if check == "always":
        with pytest.raises(StoreDamagedError, match="record 0"):
            reader.tokens(17)
    else:
        reader.tokens(17)


def test_a_shard_that_vanished_is_named(store) -> None:
    shard_path(store.path, 4, store.codec).unlink()
    with pytest.raises(StoreDamagedError, match="missing"):
        backwards(store).tokens(0)


def test_a_shard_that_is_not_the_ledgers_is_refused(store) -> None:
    records = [store.codec.encode(tokens_of(0)), None, None, None]
    write_shard(shard_path(store.path, 0, store.codec), records, CAPACITY)
    with pytest.raises(StoreDamagedError, match="ledger"):
        backwards(store).tokens(17)


def test_a_shard_that_no_ledger_lists_is_read(store) -> None:
    store.entries = dict
    assert np.array_equal(backwards(store).tokens(17), tokens_of(0))


def test_no_file_is_written(store) -> None:
    paths = [store.path, *store.path.rglob("*")]
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    for path in paths:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        backwards(store).tokens(0)
        assert [(path, path.stat().st_mtime_ns) for path in paths] == before
        assert set(store.path.rglob("*")) == set(paths[1:])
    finally:
        for path in paths:
            path.chmod(0o700)


def test_many_readers_stay_within_the_processs_descriptors(tmp_path: Path) -> None:
    store = make_store(tmp_path, CODECS["fp16"])
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    readers = [backwards(store) for _ in range(min(limit, 20_000) // 5 + 1)]
    for reader in readers:
        for row in range(0, RECORDS, CAPACITY):
            reader.prefetch(np.array([row]))
    assert len(list(Path("/proc/self/fd").iterdir())) < limit * 0.75
