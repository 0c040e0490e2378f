"""Making a store: its codec is fitted to a first sample of tokens, its files are written once."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.fingerprints import canonical_json
from rsmtdf_core.store.codecs import Declared, Parameters, Tokens, fit_codec, make_codec
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
    """The store of this teacher and codec, made if it is not there, grown to the group's rows.

    A store that the same teacher made under another name is taken as it is, with its probe and
    shard size.

    Args:
        group: the views.
        identity: the teacher's.
        shape: its tokens.
        codec: the declared codec.
        sample: gives tokens [n, H, W, D] that the codec is fitted to; called for a new store alone.
        probe: the teacher's output on the probe image.
        random_weights: whether the teacher was never trained.
        source: what the records are transcoded from.
        shard_bytes: the most that a shard should have.

    Raises:
        StoreMismatchError: If it is there with another grid.
    """
    found = _there(group, identity, shape, codec)
    if found is None:
        parameters = fit_codec(codec, sample())
        typical = make_codec(codec, shape.record_shape, parameters).typical_bytes
        # Held, for another process may be making the same store.
        with locked(group.path):
            found = _there(group, identity, shape, codec)
            if found is None:
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
                found = _made(group, metadata, parameters)
    return found.grown_to(len(group.table))


def _there(
    group: ViewGroup, identity: Mapping[str, Any], shape: TokenShape, codec: Declared
) -> FeatureStore | None:
    wanted = json.loads(canonical_json(identity))
    # Its label may depend on the codec's settings, never on what was fitted.
    for path in sorted(group.path.glob(f"*-{store_suffix(wanted, codec['name'])}*/{ZARR}")):
        store = FeatureStore.open(path.parent, group)
        if store.metadata.identity != wanted or store.metadata.codec != codec:
            continue
        found = replace(store.shape, teacher=shape.teacher)
        if found != shape:
            raise StoreMismatchError(
                f"expected {shape.record_shape} tokens of this teacher, found {found.record_shape}",
                where=store.path,
                remedy="use another cache folder",
            )
        return store
    return None


def _made(group: ViewGroup, metadata: StoreMetadata, parameters: Parameters) -> FeatureStore:
    facts = StoreFacts.of(metadata, parameters)
    path = group.path / facts.folder_name
    if is_there(path) and (path.is_symlink() or not path.is_dir()):
        raise damage(path, "this is not a folder")
    if has_records(path):
        # Fitted again, the codec would decode the records that are there into other tokens.
        raise damage(path / ZARR, "the file is missing, and there are records")
    digest = write_parameters(path, parameters)
    facts = StoreFacts.of(replace(metadata, parameters_sha256=digest), parameters)
    # Last: without it the folder is no store.
    write_metadata(path, facts)
    return FeatureStore(path, group, facts)


def _records_a_shard(record_bytes: int, shard_bytes: int) -> int:
    """The largest power of two whose records fit `shard_bytes`; 1 to `SEGMENT_ROWS`."""
    fitting = max(1, min(SEGMENT_ROWS, shard_bytes // record_bytes))
    return 1 << (fitting.bit_length() - 1)
