import os

import numpy as np
import pytest
import zarr

from rsmtdf_core.errors import StoreError
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block

SHAPE = (3, 3, 5)


def tokens_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).standard_normal(SHAPE, np.float32)


def test_zarr_reads_the_same_numbers_and_nan_for_absent_records(store: FeatureStore) -> None:
    array = zarr.open_array(store.path, mode="r")
    assert array.shape == (512, *SHAPE)
    assert array.dtype == np.float16
    for row in range(18):
        assert np.array_equal(array[row], tokens_of(row).astype(np.float16))
    assert np.isnan(array[18:24]).all()
    assert zarr.open_group(store.group.path, mode="r")[store.path.name].shape == array.shape


def test_none_keeps_existing_records_and_leaves_other_gaps(store: FeatureStore) -> None:
    [entry] = write_block(
        store.path, range(16, 20), iter([None, tokens_of(99), None, tokens_of(98)])
    )
    assert (entry.shard, entry.records) == (4, 3)
    array = zarr.open_array(store.path, mode="r")
    assert np.array_equal(array[16], tokens_of(16).astype(np.float16))
    assert np.array_equal(array[17], tokens_of(99).astype(np.float16))
    assert np.isnan(array[18]).all()


def test_every_folder_above_a_new_shard_is_synced_though_it_was_there_before(
    store: FeatureStore, monkeypatch
) -> None:
    """Whoever made the folders may have died before they were synced."""
    folders = list(store.shard_path(5).parents)[: len(SHAPE) + 2]
    assert folders[-1] == store.path
    folders[0].mkdir(parents=True)
    names = {folder.stat().st_ino: folder for folder in folders}
    synced, sync = [], os.fsync

    def noted(handle):
        if store.shard_path(5).exists():
            synced.append(names.get(os.fstat(handle).st_ino))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_block(store.path, range(20, 24), iter([tokens_of(20), None, None, None]))
    assert set(folders) <= set(synced)


def test_a_damaged_record_is_not_carried_over(store: FeatureStore) -> None:
    path = store.shard_path(0)
    data = bytearray(path.read_bytes())
    data[95] ^= 1
    path.write_bytes(data)
    [entry] = write_block(store.path, range(4), iter([None] * 4))
    assert entry.records == 3


def test_a_shard_without_records_is_not_written(store: FeatureStore) -> None:
    assert write_block(store.path, range(20, 28), iter([None] * 8)) == []
    assert not store.shard_path(5).exists()


def test_tokens_that_cannot_be_stored_name_their_row_and_leave_no_shard(
    store: FeatureStore,
) -> None:
    bad = tokens_of(0)
    bad[0, 0, 0] = np.nan
    with pytest.raises(StoreError, match="store row 21 of"):
        write_block(store.path, range(20, 24), iter([tokens_of(20), bad, None, None]))
    assert not [path for path in store.path.glob("c/5/**/*") if path.is_file()]
