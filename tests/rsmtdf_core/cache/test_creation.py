"""A store is made once: its codec is fitted to a first sample, and the same teacher finds it again."""

import shutil

import numpy as np
import pytest

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.tokens import TokenShape
from tests.caches import make_store

IDENTITY = {"model": "tiny", "weights_sha256": "a" * 64}
SHAPE = TokenShape("tiny", 3, 3, 5)


def never():
    raise AssertionError("a store that is there needs no sample")


def sample():
    return np.random.default_rng(0).standard_normal((4, *SHAPE.record_shape), np.float32)


@pytest.fixture
def group(tmp_path):
    """A group with a store of another teacher."""
    return make_store(tmp_path / "cache", "other").group


def make(group, shape=SHAPE, identity=IDENTITY, codec="fp16", draw=sample, **options):
    return create_store(group, identity, shape, declare_codec(codec), draw, **options)


def test_a_new_store_has_the_groups_rows_and_the_fitted_codec(group):
    store = make(group, probe=[0.5], random_weights=True)
    assert store.path.parent == group.path
    assert store.metadata.rows == len(group.table)
    assert (store.metadata.identity, store.metadata.probe) == (IDENTITY, (0.5,))
    assert store.metadata.random_weights
    mean = sample().mean(axis=(0, 1, 2), dtype=np.float64)
    assert np.allclose(store.facts.parameters["mean"], mean)


def test_the_same_teacher_and_codec_find_the_store_under_any_name(group):
    first = make(group)
    again = make(group, shape=TokenShape("renamed", 3, 3, 5), draw=never)
    assert again.path == first.path


@pytest.mark.parametrize(
    "change", [{"codec": "int8"}, {"identity": IDENTITY | {"weights_sha256": "b" * 64}}]
)
def test_another_codec_or_teacher_has_a_separate_store(group, change):
    assert make(group, **change).path != make(group).path


def test_the_same_teacher_with_another_grid_is_refused(group):
    make(group)
    with pytest.raises(StoreMismatchError, match="tokens"):
        make(group, shape=TokenShape("tiny", 4, 4, 5), draw=never)


@pytest.mark.parametrize(("shard_bytes", "records"), [(1, 1), (90, 1), (400, 4), (10**9, 512)])
def test_shards_hold_a_power_of_two_of_records(group, shard_bytes, records):
    assert make(group, shard_bytes=shard_bytes).metadata.shard_records == records


def test_records_without_their_metadata_are_damage_and_never_fitted_again(group):
    store = make(group)
    (store.path / ZARR).unlink()
    for copy in store.path.glob(f"{ZARR}*"):
        copy.unlink()
    (store.path / "c").mkdir(exist_ok=True)
    with pytest.raises(StoreDamagedError, match="records"):
        make(group)
    shutil.rmtree(store.path)
    store.path.write_text("a file")
    with pytest.raises(StoreDamagedError, match="folder"):
        make(group)
