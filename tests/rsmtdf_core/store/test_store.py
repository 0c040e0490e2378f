import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreIncompleteError,
    StoreMismatchError,
)
from rsmtdf_core.store.commit import COMMIT
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.ledger import LEDGER
from rsmtdf_core.store.metadata import write_metadata
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan

FP16 = declare_codec("fp16")
OTHER = {"model": "other", "weights_sha256": "b" * 64}


def read_first(path: Path, group: ViewGroup, plan: ViewPlan) -> None:
    store = FeatureStore.open(path, group)
    FeatureReader(store, store.require(plan)).tokens(0)


def refuse() -> np.ndarray:
    raise AssertionError("the store is there already")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_committed_store_serves_its_plan(store: FeatureStore, make) -> None:
    rows = store.require(make())
    assert np.array_equal(rows, store.group.rows(make()))
    assert store.metadata.shard_records == 4
    commit = store.read_commit()
    assert commit is not None
    assert (commit.rows, commit.views, commit.seconds) == (512, 18, 1.5)
    assert store.verify() == ()


def test_an_uncommitted_store_is_refused(make, extract) -> None:
    store = extract(make(), commit=False)
    with pytest.raises(StoreIncompleteError, match="never committed"):
        store.require(make())


def test_a_commit_of_missing_rows_is_refused(store: FeatureStore, make) -> None:
    store.shard_path(1).unlink()
    with pytest.raises(StoreIncompleteError, match="4 of 18"):
        store.commit(store.group.rows(make()), 0.0)


def test_growth_keeps_every_byte_and_adds_up_the_seconds(make, extract) -> None:
    store = extract(make(2))
    before = contents(store.path / "c")
    grown = extract(make(5))
    after = contents(store.path / "c")
    assert before.items() <= after.items()
    assert len(after) > len(before)
    assert grown.metadata.rows == 1024
    grown.require(make(5))
    grown.require(make(2))
    commit = grown.read_commit()
    assert commit is not None
    assert (commit.views, commit.seconds) == (45, 3.0)


def test_killed_growth_leaves_the_old_promise(make, extract) -> None:
    extract(make(2))
    store = extract(make(5), commit=False)
    store.require(make(2))
    with pytest.raises(StoreIncompleteError, match="27 of 45"):
        store.require(make(5))


def test_a_later_plan_adds_missing_records_to_a_shard(make, extract) -> None:
    """Another teacher's larger plan laid out the rows; the small one fills shards in part."""
    extract(make(4), OTHER)
    small = extract(make(1))
    rows = small.require(make(1))
    reader = FeatureReader(small, rows)
    before = [reader.tokens(row).tobytes() for row in range(9)]
    grown = extract(make(4))
    reader = FeatureReader(grown, grown.require(make(1)))
    assert [reader.tokens(row).tobytes() for row in range(9)] == before
    commit = grown.read_commit()
    assert commit is not None
    assert commit.views == 36
    grown.require(make(4))


def test_shards_that_were_not_entered_are_adopted(store: FeatureStore, make) -> None:
    rows = store.require(make())
    for path in (store.path / LEDGER, store.path / COMMIT):
        path.unlink()
        copy_of(path).unlink()
    leftover = store.shard_path(0).with_name("0.tmp-12345")
    leftover.write_bytes(b"half a shard")
    flip(store.shard_path(2), 5)
    assert len(store.missing_rows(rows)) == len(rows)
    assert [entry.shard for entry in store.adopt()] == [0, 1, 3, 4]
    assert not leftover.exists()
    assert store.adopt() == ()
    assert store.missing_rows(rows).tolist() == [8, 9, 10, 11]


def test_a_shard_written_again_but_not_entered_is_adopted(store: FeatureStore, make) -> None:
    shutil.copy(store.shard_path(0), store.shard_path(4))
    with pytest.raises(StoreDamagedError, match="not the shard recorded in the ledger"):
        store.require(make())
    assert [entry.shard for entry in store.adopt()] == [4]
    assert store.adopt() == ()


def test_damage_is_mended_by_removing_the_file_and_extracting_again(
    store: FeatureStore, make, extract
) -> None:
    before = contents(store.path / "c")
    flip(store.shard_path(1), 3)
    problem = store.verify()[0]
    assert problem.where == str(store.shard_path(1))
    assert problem.remedy == f"rsmtdf cache repair {store.path}"
    store.shard_path(1).unlink()
    with pytest.raises(StoreDamagedError, match="missing"):
        store.require(make())
    extract(make()).require(make())
    assert contents(store.path / "c") == before


@pytest.mark.parametrize("name", [LEDGER, COMMIT, "zarr.json", "c/0/0/0/0"])
def test_a_flipped_byte_is_found_at_any_position(store: FeatureStore, make, name: str) -> None:
    path = store.path / name
    whole = path.read_bytes()
    for position in range(len(whole) - 68 if name.startswith("c/") else 0, len(whole), 23):
        flip(path, position)
        with pytest.raises((StoreDamagedError, StoreMismatchError)):
            read_first(store.path, store.group, make())
        path.write_bytes(whole)


def test_swapped_shards_are_found_by_verification(store: FeatureStore) -> None:
    first_path, second_path = store.shard_path(0), store.shard_path(1)
    first = first_path.read_bytes()
    first_path.write_bytes(second_path.read_bytes())
    second_path.write_bytes(first)
    assert [problem.where for problem in store.verify()] == [str(first_path), str(second_path)]


def test_the_same_teacher_under_another_name_shares_the_store(store: FeatureStore) -> None:
    identity = store.metadata.identity
    shape = TokenShape("renamed", 3, 3, 5)
    again = create_store(store.group, identity, shape, FP16, refuse, probe=[9.0])
    assert again.path == store.path
    assert again.metadata == store.metadata


def test_the_same_teacher_with_another_grid_is_refused(store: FeatureStore) -> None:
    shape = TokenShape("tiny", 4, 3, 5)
    with pytest.raises(StoreMismatchError, match=r"\(4, 3, 5\).*\(3, 3, 5\)"):
        create_store(store.group, store.metadata.identity, shape, FP16, refuse)


def test_more_rows_than_the_group_has_are_refused(
    store: FeatureStore, make, tmp_path: Path
) -> None:
    longer = replace(store.facts, metadata=replace(store.metadata, rows=1024))
    write_metadata(store.path, longer)
    with pytest.raises(StoreDamagedError, match="1024 rows, but the group has 512"):
        FeatureStore.open(store.path, store.group)


def test_a_store_that_grew_since_its_group_was_read_is_opened(make, extract) -> None:
    before = extract(make(2))
    extract(make(5))
    assert len(FeatureStore.open(before.path, before.group).group.table) == 1024


@pytest.mark.parametrize(("shard_bytes", "records"), [(1, 1), (90, 1), (400, 4), (2**30, 512)])
def test_shards_hold_a_power_of_two_of_records(
    make, extract, shard_bytes: int, records: int
) -> None:
    store = extract(make(), shard_bytes=shard_bytes)
    assert store.metadata.shard_records == records
    store.require(make())


def test_extraction_is_the_same_to_the_byte(make, extract) -> None:
    store = extract(make())
    before = contents(store.path)
    shutil.rmtree(store.path)
    assert contents(extract(make()).path) == before


def test_blocks_are_whole_shards(store: FeatureStore) -> None:
    assert store.blocks(np.array([9, 1, 2])) == (range(4), range(8, 12))
    assert store.blocks(np.empty(0, np.int64)) == ()
    with pytest.raises(AssertionError):
        write_block(store.path, range(2, 6), iter([]))
