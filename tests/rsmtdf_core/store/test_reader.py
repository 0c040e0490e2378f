import pickle

import numpy as np
import pytest

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore

SHAPE = (3, 3, 5)


def tokens_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).standard_normal(SHAPE, np.float32).astype(np.float16)


@pytest.fixture
def reader(store: FeatureStore, make) -> FeatureReader:
    return FeatureReader(store, store.require(make())[::-1])


def test_tokens_are_addressed_by_plan_row_and_read_only(reader: FeatureReader) -> None:
    for plan_row in range(18):
        assert np.array_equal(reader.tokens(plan_row), tokens_of(17 - plan_row))
    assert not reader.tokens(0).flags.writeable


def test_gather_fills_the_callers_buffer(reader: FeatureReader) -> None:
    rows = np.array([4, 0, 17, 4])
    out = np.zeros((4, *SHAPE), np.float16)
    reader.gather(rows, out)
    assert np.array_equal(out, np.stack([tokens_of(17 - row) for row in rows]))


def test_a_reader_can_be_sent_to_another_process(reader: FeatureReader) -> None:
    reader.tokens(0)
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.tokens(5), reader.tokens(5))


@pytest.mark.parametrize("check", ["always", "first", "never"])
def test_a_flipped_byte_is_found_when_checked(store: FeatureStore, make, check) -> None:
    rows = store.require(make())
    reader = FeatureReader(store, rows, check)
    reader.tokens(0)
    with store.shard_path(0).open("r+b") as file:  # in place: the mapping sees it
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))
    fresh = FeatureReader(store, rows, check)
    if check == "never":
        fresh.tokens(0)
    else:
        with pytest.raises(StoreDamagedError, match="record 0"):
            fresh.tokens(0)
    if check == "always":
        with pytest.raises(StoreDamagedError, match="record 0"):
            reader.tokens(0)
    else:
        reader.tokens(0)


def test_a_shard_that_vanished_is_named(reader: FeatureReader, store: FeatureStore) -> None:
    store.shard_path(4).unlink()
    with pytest.raises(StoreDamagedError, match="missing"):
        reader.tokens(0)
