"""Create a store: fit its codec to a first sample of tokens and write its files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rsmtdf_core.codecs import Declared, Parameters, Tokens, fit_codec, make_codec
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.fingerprints import canonical_json
from rsmtdf_core.store.copies import is_there
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import (
    ZARR,
    StoreFacts,
    StoreMetadata,
    has_records,
    store_suffix,
    write_metadata,
)
from rsmtdf_core.store.parameters import write_parameters
from rsmtdf_core.store.shards import damage
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.tables import SEGMENT_ROWS
from rsmtdf_core.tokens import TokenShape

SHARD_BYTES = 256 * 2**20


def create_store(
    group: ViewGroup,
    identity: Mapping[str, Any],
    shape: TokenShape,
    codec: Declared,
    sample: Callable[[], Tokens],
    *,
    probe: Sequence[float] = (),
    random_weights: bool = False,
    source: dict[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> FeatureStore:
    """Open or create the store of this teacher and codec, with all rows of the group.

    A store of the same teacher under another name is reused with its probe and shard size.

    Args:
        group: the group of views.
        identity: the teacher's identity.
        shape: the shape of one record.
        codec: the declared codec.
        sample: returns tokens [n, H, W, D] for fitting the codec; called only for a new store.
        probe: the teacher's output on the probe image.
        random_weights: whether the teacher was never trained.
        source: codec and certificate of the store that the records are transcoded from.
        shard_bytes: target size of a shard.

    Raises:
        StoreMismatchError: If the store exists with another shape of tokens.
    """
    store = _existing(group, identity, shape, codec)
    if store is None:
        parameters = fit_codec(codec, sample())
        typical = make_codec(codec, shape.record_shape, parameters).typical_bytes
        # Locked, because another process may be creating the same store.
        with locked(group.path):
            store = _existing(group, identity, shape, codec)
            if store is None:
                metadata = StoreMetadata(
                    rows=len(group.table),
                    shard_records=_records_a_shard(typical, shard_bytes),
                    identity=json.loads(canonical_json(identity)),
                    shape=shape,
                    codec=codec,
                    parameters_sha256="",
                    probe=tuple(probe),
                    random_weights=random_weights,
                    source=source,
                )
                store = _created(group, metadata, parameters)
    return store.grown_to(len(group.table))


def _existing(
    group: ViewGroup, identity: Mapping[str, Any], shape: TokenShape, codec: Declared
) -> FeatureStore | None:
    wanted = json.loads(canonical_json(identity))
    # The label may depend on the codec's settings, but not on its fitted parameters.
    for path in sorted(group.path.glob(f"*-{store_suffix(wanted, codec['name'])}*/{ZARR}")):
        store = FeatureStore.open(path.parent, group)
        if store.metadata.identity != wanted or store.metadata.codec != codec:
            continue
        stored = replace(store.shape, teacher=shape.teacher)
        if stored != shape:
            raise StoreMismatchError(
                f"expected {shape.record_shape} tokens of this teacher, found {stored.record_shape}",
                where=store.path,
                remedy="use another cache folder",
            )
        return store
    return None


def _created(group: ViewGroup, metadata: StoreMetadata, parameters: Parameters) -> FeatureStore:
    facts = StoreFacts.of(metadata, parameters)
    path = group.path / facts.folder_name
    if is_there(path) and (path.is_symlink() or not path.is_dir()):
        raise damage(path, "this is not a folder")
    if has_records(path):
        # A newly fitted codec would decode the existing records into other tokens.
        raise damage(path / ZARR, "the file is missing, but the store has records")
    digest = write_parameters(path, parameters)
    facts = StoreFacts.of(replace(metadata, parameters_sha256=digest), parameters)
    # The metadata comes last: without it the folder is not a store.
    write_metadata(path, facts)
    return FeatureStore(path, group, facts)


def _records_a_shard(record_bytes: int, shard_bytes: int) -> int:
    """Return the largest power of two of records that fit `shard_bytes`, from 1 to `SEGMENT_ROWS`."""
    fitting = max(1, min(SEGMENT_ROWS, shard_bytes // record_bytes))
    return 1 << (fitting.bit_length() - 1)
